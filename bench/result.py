"""Figures of one case, and what follows from them: ratios gateway/Envoy.

Rule: a figure is the median of its rounds, with the least and the greatest beside it; one number alone says nothing on
a machine that others use too. A ratio is made of the two subjects of one pair, which ran one after the other, never of
medians of different minutes.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Literal, NamedTuple

from bench.subject import ENVOY, GATEWAY

Figures = dict[str, float]  # one round of one subject: the name of a figure -> its value
Pair = dict[str, Figures]  # one round: subject -> its figures
Kind = Literal["calls", "times", "stream", "bulk", "memory", "workers", "start"]

WORK, MEMORY, START = "work per CPU-second", "RSS", "time to ready"
P50, P99 = "p50 at 70 % load", "p99 at 70 % load"
P50_SAME, P99_SAME = "p50 at the same load", "p99 at the same load"
COMPARED: Mapping[str, bool] = {  # more is better?
    WORK: True, P50: False, P99: False, P50_SAME: False, P99_SAME: False, MEMORY: False, START: False
}  # fmt: skip
SATURATED = 0.85  # how busy a core is at least, if it was its subject that could not take more


class Column(NamedTuple):
    """A figure in the tables. `compared`: under which name its ratio is shown; empty: it is not."""

    figure: str
    heading: str
    decimals: int
    compared: str = ""


RSS = Column("rss_mib", "RSS MiB", 0, MEMORY)
BUSY = Column("core_busy", "core busy", 2)

COLUMNS: Mapping[Kind, Sequence[Column]] = {
    "calls": (
        Column("calls_per_cpu_second", "calls per CPU-second", 0, WORK),
        Column("calls_per_second", "calls/s", 0),
        BUSY,
        Column("p50_ms", "p50 ms at 70 % load", 2, P50),
        Column("p99_ms", "p99 ms at 70 % load", 2, P99),
        Column("core_busy_then", "core busy then", 2),
        RSS,
    ),
    "times": (
        Column("calls_per_second", "calls/s sent", 0),
        Column("p50_ms", "p50 ms", 2, P50_SAME),
        Column("p99_ms", "p99 ms", 2, P99_SAME),
        Column("core_busy_then", "core busy", 2),
        RSS,
    ),
    "stream": (
        Column("messages_per_cpu_second", "messages per CPU-second", 0, WORK),
        Column("messages_per_second", "messages/s", 0),
        BUSY,
        RSS,
    ),
    "bulk": (
        Column("mib_per_cpu_second", "MiB per CPU-second", 0, WORK),
        Column("mib_per_second", "MiB/s", 0),
        BUSY,
        RSS,
    ),
    "memory": (
        Column("rss_idle_mib", "RSS MiB idle", 0),
        Column("idle_streams", "idle streams", 0),
        Column("rss_streams_mib", "RSS MiB with them", 0, MEMORY),
        Column("kib_per_stream", "KiB per stream", 1),
        Column("new_call_ms", "ms of a new call", 1),
        Column("worst_new_call_ms", "of the slowest", 1),
    ),
    "workers": (
        Column("calls_per_cpu_second", "calls per CPU-second, two workers", 0),
        Column("calls_per_cpu_second_of_one", "of one", 0),
        Column("work_of_one", "two/one", 2),
        Column("rate_with_cores", "a core each", 2),
        Column("rate_of_one", "calls/s here", 2),
        Column("least_share", "lesser share", 2),
        BUSY,
        RSS,
    ),
    "start": (
        Column("ready_ms", "ms to ready", 0, START),
        Column("ready_cpu_ms", "CPU ms to ready", 0),
    ),
}


@dataclass(frozen=True, slots=True)
class Spread:
    """Of the rounds."""

    least: float
    median: float
    greatest: float
    count: int  # of the rounds that have a figure

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread | None":
        return cls(min(values), median(values), max(values), len(values)) if values else None

    def few(self, rounds: int) -> str:
        """What to say beside it when some of the rounds have none."""
        return f" [{self.count} of {rounds}]" if self.count < rounds else ""


@dataclass(slots=True)
class Result:
    """One case: a pair for each round, without the subjects that failed; why the last failed, if one did."""

    name: str
    title: str
    kind: Kind
    pairs: list[Pair] = field(default_factory=list)
    errors: dict[str, str] = field(default_factory=dict)  # by subject
    skipped: str = ""  # why it was not begun

    def values(self, subject: str, figure: str) -> list[float]:
        """Of the rounds that have this figure."""
        return [pair[subject][figure] for pair in self.pairs if figure in pair.get(subject, {})]

    def ratios(self, figure: str) -> list[float]:
        """Gateway/Envoy, of the pairs in which both have this figure."""
        both = ((pair.get(GATEWAY, {}).get(figure), pair.get(ENVOY, {}).get(figure)) for pair in self.pairs)
        return [ours / theirs for ours, theirs in both if ours is not None and theirs]

    def compared(self) -> dict[str, Spread]:
        """The ratios that are shown, by the names in COMPARED."""
        return {
            column.compared: spread
            for column in COLUMNS[self.kind]
            if column.compared and (spread := Spread.of(self.ratios(column.figure)))
        }

    @property
    def incomplete(self) -> bool:
        """A round is without a figure that others of its kind have."""
        return self.kind != "workers" and any(  # their target says why there is none
            column.figure not in figures
            for pair in self.pairs
            for figures in pair.values()
            for column in COLUMNS[self.kind]
        )


def subjects(results: Iterable[Result]) -> list[str]:
    """Which have figures, in the order of a pair."""
    present = {subject for result in results for pair in result.pairs for subject in pair}
    return [subject for subject in (GATEWAY, ENVOY) if subject in present]
