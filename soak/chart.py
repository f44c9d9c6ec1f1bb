"""A run as a picture: every curve over time, the changes as lines, the rests as shades."""

from pathlib import Path
from typing import TYPE_CHECKING

from soak.report import Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CURVES = (  # a part each: title, and what is drawn in it
    ("Resident memory, MiB", ("rss",)),
    ("Open files, threads, tasks", ("fds", "threads", "tasks")),
    ("Calls and streams that are open", ("calls", "backend streams", "load")),
    ("Connections", ("connections", "upstream connections", "configurations")),
)
INK, FAINT, SHADE = "#24292f", "#d0d7de", "#eaeef2"
COLORS = ("#0969da", "#bc4c00", "#1a7f37")
KINDS = {
    "certificate": "#8250df",
    "keys": "#9a6700",
    "configuration": "#0969da",
    "restart": "#1a7f37",
    "kill": "#cf222e",
}


def draw(report: Report, file: Path) -> None:
    """The ending of `file` says what it becomes: .svg, .png. Raises ImportError, OSError."""
    from matplotlib import rc_context  # noqa: PLC0415 - takes half a second
    from matplotlib.figure import Figure  # noqa: PLC0415
    from matplotlib.layout_engine import ConstrainedLayoutEngine  # noqa: PLC0415

    # Text stays text, and the same figures give the same file.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "soak", "font.size": 9, "text.color": INK}):
        figure = Figure(figsize=(9.6, 9), facecolor="white", layout=ConstrainedLayoutEngine(h_pad=0.08, w_pad=0.1))
        figure.suptitle(_title(report), fontsize=10.5, fontweight="bold")
        figure.supxlabel(_footnote(report), fontsize=7.5)
        for axis, (title, names) in zip(figure.subplots(len(CURVES), sharex=True), CURVES, strict=True):
            _part(axis, report, title, names)
        _name_marks(figure.axes[0], report)
        file.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(file, dpi=120, metadata={"Date": None} if file.suffix == ".svg" else {})


def _part(axis: "Axes", report: Report, title: str, names: tuple[str, ...]) -> None:
    run = report.run
    axis.set_title(title, fontsize=9.5, loc="left")
    for name, color in zip(names, COLORS, strict=False):
        points = [(sample["time"], sample[name]) for sample in run.samples if name in sample]
        if points:
            axis.plot(*zip(*points, strict=True), color=color, linewidth=1.1, label=name)
    for begin, end in ((run.warm_until, run.load_from), (run.load_until, run.rest_after["time"])):
        axis.axvspan(begin, end, color=SHADE, zorder=0)
    for at, name in report.marks:
        axis.axvline(at, color=_color(name), linewidth=0.7, linestyle=":", zorder=1)
    axis.set_ylim(bottom=0)
    axis.tick_params(colors=INK)
    axis.grid(axis="y", color=FAINT, linewidth=0.6)
    axis.spines[["top", "right"]].set_visible(False)
    if len(names) > 1:
        axis.legend(loc="upper left", fontsize=7.5, frameon=False, ncols=len(names))


def _name_marks(axis: "Axes", report: Report) -> None:
    """Which colour is which change, beside the title of the first part."""
    seen = [kind for kind in KINDS if any(kind in name for _, name in report.marks)]
    for place, kind in enumerate(reversed(seen)):
        axis.annotate(
            kind, (1, 1), (-75 * place, 4), "axes fraction", "offset points",
            color=KINDS[kind], fontsize=8, ha="right", va="bottom",
        )  # fmt: skip


def _color(name: str) -> str:
    return next((color for kind, color in KINDS.items() if kind in name), INK)


def _title(report: Report) -> str:
    run = report.run
    total = run.right + run.given_up + run.excused + sum(run.failures.values())
    return f"{total:,} calls, half of them given up, while everything around the gateway changes"


def _footnote(report: Report) -> str:
    machine, options = report.machine, report.options
    return (
        f"Seconds. Dotted: changes; grey: rest. {machine['date']}, commit {machine['commit']}, {machine['cpu']}, "
        f"{machine['cores']} cores, {options['workers']} worker(s), {options['rate']:g} calls/s, seed {options['seed']}"
    )
