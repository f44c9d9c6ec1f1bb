"""What the gateway is to reach, and whether a run shows that it does.

Rule: a verdict follows from the median of the pairs, and only from pairs that can bear it. Work per CPU-second counts
where both subjects had all they could do: one that waits for its load or its backend does less in one go, and its
figure is too low. Without enough such pairs there is no figure, and a target without a figure is never met.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from operator import ge, le, lt
from statistics import median
from typing import Literal

from bench.result import SATURATED, Figures, Pair, Result, Spread
from bench.subject import ENVOY, GATEWAY

FEWEST = 3  # pairs behind a verdict; of more than five, more than half
MB_PER_MIB = 1.024**2
RELATIONS: Mapping[str, Callable[[float, float], bool]] = {"≥": ge, "≤": le, "<": lt}

LATE = "in the others Envoy's peak is not known, the sender was late, or other processes had the core"
NOT_PRESSED = "in the others the workers waited for calls"

Word = Literal["met", "missed", "no figure"]


@dataclass(frozen=True, slots=True)
class Target:
    """A bound on a figure of one case: on the ratio gateway/Envoy, or on the gateway's own value."""

    case: str
    what: str
    figure: str
    relation: str  # in RELATIONS
    bound: float
    unit: str = "x Envoy"  # another one: the gateway's own value counts
    scale: float = 1.0  # what one of the figure is in that unit
    absent: str = LATE  # why pairs may be without it, unless it is work

    @property
    def wanted(self) -> str:
        return f"{self.relation} {self.bound:g} {self.unit}"

    @property
    def decimals(self) -> int:
        return 2 if self.unit.startswith("x ") else 0

    @property
    def is_ratio(self) -> bool:
        return self.unit == "x Envoy"

    @property
    def is_work(self) -> bool:
        return self.figure.endswith("_per_cpu_second")


TARGETS = (
    Target("unary-h2-few", "calls per CPU-second", "calls_per_cpu_second", "≥", 1.5),
    Target("unary-h2-many", "calls per CPU-second", "calls_per_cpu_second", "≥", 1.2),
    Target("latency-h2", "p99 at 70 % of Envoy's peak", "p99_ms", "≤", 1.0),
    Target("stream-h2", "messages per CPU-second", "messages_per_cpu_second", "≥", 1.0),
    Target("bulk-h2", "MiB per CPU-second", "mib_per_cpu_second", "≥", 0.7),
    Target("unary-http", "calls per CPU-second", "calls_per_cpu_second", "≥", 0.8),
    Target("idle-h2", "RSS with 10,000 idle streams", "rss_streams_mib", "<", 400, "MB", MB_PER_MIB),
    Target("idle-h2", "slowest new call beside them", "worst_new_call_ms", "<", 100, "ms"),
    Target(
        "workers-http", "calls/s of two workers, a core each", "rate_with_cores", "≥", 1.8, "x one", absent=NOT_PRESSED
    ),
    Target(
        "workers-cold", "calls/s of two workers, a core each", "rate_with_cores", "≥", 1.8, "x one", absent=NOT_PRESSED
    ),
    Target(
        "workers-h2", "calls/s of two workers, a core each", "rate_with_cores", "≥", 1.8, "x one", absent=NOT_PRESSED
    ),
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """`why`: there is no figure."""

    target: Target
    word: Word
    spread: Spread | None = None
    why: str = ""

    def to_json(self) -> dict[str, object]:
        measured = {} if self.spread is None else asdict(self.spread)
        target = self.target
        return {
            "case": target.case,
            "what": target.what,
            "target": target.wanted,
            "verdict": self.word,
            **measured,
            **({"why": self.why} if self.why else {}),
        }


def verdicts(results: Sequence[Result], rounds: int) -> list[Verdict]:
    """On the targets whose cases belong to the run."""
    by_name = {result.name: result for result in results}
    return [judge(target, by_name[target.case], rounds) for target in TARGETS if target.case in by_name]


def judge(target: Target, result: Result, rounds: int) -> Verdict:
    values = [value for pair in result.pairs if (value := _value(target, pair)) is not None]
    spread = Spread.of(values)
    needed = max(FEWEST, rounds // 2 + 1)
    if spread is None or spread.count < needed:
        return Verdict(target, "no figure", spread, _why(target, result, len(values), needed))
    reached = RELATIONS[target.relation](spread.median, target.bound)
    return Verdict(target, "met" if reached else "missed", spread)


def _value(target: Target, pair: Pair) -> float | None:
    """None: this pair says nothing."""
    ours, theirs = pair.get(GATEWAY, {}), pair.get(ENVOY, {})
    if target.figure not in ours or (target.is_work and not pressed(ours)):
        return None
    if not target.is_ratio:
        return ours[target.figure] * target.scale
    if not theirs.get(target.figure) or (target.is_work and not pressed(theirs)):
        return None
    return ours[target.figure] / theirs[target.figure]


def pressed(figures: Figures) -> bool:
    """It had its core, or waited for it, nearly all the time; it never waited for work."""
    return figures.get("core_busy", 0.0) + figures.get("core_waited_for", 0.0) >= SATURATED


def _why(target: Target, result: Result, count: int, needed: int) -> str:
    if result.skipped:
        return result.skipped
    wanted = (GATEWAY, ENVOY) if target.is_ratio else (GATEWAY,)
    if failed := [f"{subject}: {result.errors[subject]}" for subject in wanted if subject in result.errors]:
        return "; ".join(failed)
    if absent := [subject for subject in wanted if not any(subject in pair for pair in result.pairs)]:
        return f"{' and '.join(absent)} not measured"
    short = f"pairs that count: {count} of {len(result.pairs)}, and {needed} are needed"
    reasons = [_idle(subject, result.pairs) for subject in wanted] if target.is_work else [target.absent]
    return "; ".join([short, *filter(None, reasons)]) if count < len(result.pairs) else short


def _idle(subject: str, pairs: Sequence[Pair]) -> str:
    """Whether something else than the subject was the bottleneck; empty: nowhere."""
    busy = [pair[subject]["core_busy"] for pair in pairs if subject in pair and not pressed(pair[subject])]
    if not busy:
        return ""
    return f"the load or the backend was the bottleneck in {len(busy)}, {subject}'s core busy {median(busy):.2f}"
