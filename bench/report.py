"""Figures for people and machines: tables as text or Markdown, and JSON.

Rule: a figure is the median of its rounds, with the least and the greatest beside it; one number alone says nothing on
a machine that others use too.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Literal

Figures = dict[str, float]  # one round: the name of a figure -> its value
Kind = Literal["calls", "stream", "memory", "start"]
Row = list[str]

# Figures of each kind of case: name in the JSON, heading, decimals.
COLUMNS: Mapping[Kind, Sequence[tuple[str, str, int]]] = {
    "calls": (
        ("calls_per_cpu_second", "calls per CPU-second", 0),
        ("cpu_us_per_call", "CPU µs per call", 0),
        ("calls_per_second", "calls/s", 0),
        ("p50_ms", "p50 ms", 1),
        ("p99_ms", "p99 ms", 1),
        ("core_busy", "core busy", 2),
        ("rss_mib", "RSS MiB", 0),
    ),
    "stream": (
        ("messages_per_cpu_second", "messages per CPU-second", 0),
        ("cpu_us_per_message", "CPU µs per message", 0),
        ("messages_per_second", "messages/s", 0),
        ("core_busy", "core busy", 2),
        ("rss_mib", "RSS MiB", 0),
    ),
    "memory": (
        ("rss_idle_mib", "RSS MiB idle", 0),
        ("idle_streams", "idle streams", 0),
        ("rss_streams_mib", "RSS MiB with them", 0),
        ("kib_per_stream", "KiB per stream", 1),
    ),
    "start": (
        ("ready_ms", "ms to ready", 0),
        ("ready_cpu_ms", "CPU ms to ready", 0),
    ),
}


@dataclass(slots=True)
class Result:
    """One case: a `Figures` for each round that succeeded, and why the last failed, if one did."""

    name: str
    title: str
    kind: Kind
    rounds: list[Figures] = field(default_factory=list)
    error: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """A run. `machine`: what it ran on (machine.py)."""

    machine: Mapping[str, Any]
    effort: Mapping[str, int]
    results: Sequence[Result]

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Report":
        """Raises ValueError when it is not one."""
        try:
            content = json.loads(text)
            return cls(content["machine"], content["effort"], [Result(**result) for result in content["results"]])
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a report: {error}") from None

    def write(self, path: Path) -> None:
        """As JSON. Raises OSError."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.to_json(), "utf-8")

    @property
    def failures(self) -> list[str]:
        """A line for each case without all its rounds."""
        return [f"{result.name}: {result.error}" for result in self.results if result.error]

    def text(self) -> str:
        """Tables for a terminal."""
        blocks = [_aligned(table) for table in self._tables()] + [self._provenance(), *self.failures]
        return "\n\n".join(blocks)

    def markdown(self) -> str:
        """The same as Markdown, for the section `Figures` of README.md."""
        blocks = [_markdown(table) for table in self._tables()] + [self._provenance(), *self.failures]
        return "\n\n".join(blocks)

    def _tables(self) -> Iterator[list[Row]]:
        """For each kind that was measured: its heading and its rows."""
        for kind, columns in COLUMNS.items():
            measured = [result for result in self.results if result.kind == kind and result.rounds]
            rows = [[result.name, *_cells(result, columns)] for result in measured]
            if rows:
                yield [["case", *(heading for _, heading, _ in columns)], *rows]

    def _provenance(self) -> str:
        libraries = ", ".join(f"{name} {version}" for name, version in self.machine["libraries"].items())
        return (
            f"{self.machine['date']}, commit {self.machine['commit']}: {self.machine['cpu']}, "
            f"{self.machine['cores']} cores, {self.machine['system']}, Python {self.machine['python']}, {libraries}; "
            f"backend {self.machine['backend']}; {self.effort['rounds']} rounds of {self.effort['seconds']} s, "
            "median (least to greatest)."
        )


def _cells(result: Result, columns: Sequence[tuple[str, str, int]]) -> Iterator[str]:
    for name, _, decimals in columns:
        yield _spread([figures[name] for figures in result.rounds], decimals)


def _spread(values: Sequence[float], decimals: int) -> str:
    """`median (least to greatest)`, or one number if they are the same."""
    middle, least, greatest = (f"{value:,.{decimals}f}" for value in (median(values), min(values), max(values)))
    return middle if least == greatest else f"{middle} ({least} to {greatest})"


def _aligned(table: Sequence[Row]) -> str:
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if index else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in table
    )


def _markdown(table: Sequence[Row]) -> str:
    heading, *rows = table
    rule = ["---", *("---:" for _ in heading[1:])]
    return "\n".join(f"| {' | '.join(row)} |" for row in (heading, rule, *rows))
