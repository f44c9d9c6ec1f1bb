"""What a run has to keep to, and whether it did.

Rules
- Judged is the gateway at rest, when all that was begun is over: at the end as after the warm-up. What it holds while
  calls run depends on the calls.
- Bounds stand here, with what they are for. Memory is never quite flat: an allocator keeps what it once had, caches
  fill. So it may grow by a little, by far less than a leak in every call, or in every change, would make of it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import linear_regression

from soak.samples import Sample

# Each worker may have so many more at the end: grpc-core keeps threads, and files that wake them, in pools.
FDS, THREADS, TASKS = 8, 8, 3
# Between the two rests, for each worker. Of 1,000 calls at once a gateway that is well grows by 9 MiB: what was used at
# once is kept in pieces. One that keeps every call grows by 27.
RSS_REST = 16.0  # MiB, and besides what the slope allows
RSS_SLOPE = 3.0  # MiB a minute for each worker; every call kept would be 30 at 20 calls/s
LONG = 300.0  # seconds of load
PER_MINUTE = 60


@dataclass(frozen=True, slots=True)
class Check:
    """`met`: None for what could not be judged, which is no failure; `figure` says why."""

    name: str
    figure: str
    bound: str
    met: bool | None


@dataclass(frozen=True, slots=True)
class Run:
    """What is judged."""

    workers: int
    samples: Sequence[Sample]
    rest_before: Sample  # after the warm-up
    rest_after: Sample  # at the end
    warm_until: float  # seconds: the end of the warm-up
    load_from: float  # the load between the rests
    load_until: float
    right: int
    given_up: int
    excused: int
    failures: Mapping[str, int]
    changes: Mapping[str, int]
    changes_failed: Sequence[str]
    errors: Sequence[str]  # of the gateway's log
    exit_code: int | None


def judge(run: Run) -> list[Check]:
    """All that is judged, in the order to be read."""
    return [*_calls(run), *_rest(run), *_memory(run), *_gateway(run)]


def slope(run: Run) -> float:
    """MiB a minute of resident memory, in the second half of the load."""
    middle = (run.load_from + run.load_until) / 2
    points = [(each["time"], each["rss"]) for each in run.samples if middle <= each["time"] <= run.load_until]
    return linear_regression(*zip(*points, strict=True)).slope * PER_MINUTE if len(points) > 2 else 0.0


def _calls(run: Run) -> Iterator[Check]:
    lost = sum(run.failures.values())
    yield Check("calls lost", str(lost), "0", not lost)
    share = run.given_up / max(1, run.given_up + run.right)
    yield Check("calls given up", f"{share:.0%}", "40 % to 60 %", 0.4 <= share <= 0.6)
    made = ", ".join(f"{name} {count}" for name, count in run.changes.items()) or "none"
    yield Check("changes made", made, "all of them", bool(run.changes) and not run.changes_failed)


def _rest(run: Run) -> Iterator[Check]:
    for curve, name in (("calls", "open calls"), ("connections", "open connections"), ("backend streams",) * 2):
        left = run.rest_after.get(curve)
        yield Check(f"{name} at rest", _told(left), "0", left == 0)
    for curve, name, more in (("fds", "open files", FDS), ("threads", "threads", THREADS), ("tasks", "tasks", TASKS)):
        before, after = run.rest_before.get(curve), run.rest_after.get(curve)
        if before is None or after is None:
            yield Check(f"{name} at rest", "/metrics does not tell", "", None)
        else:
            bound = before + more * run.workers
            yield Check(f"{name} at rest", f"{after:g}, before {before:g}", f"{bound:g}", after <= bound)


def _memory(run: Run) -> Iterator[Check]:
    before, after = run.rest_before["rss"], run.rest_after["rss"]
    minutes = (run.load_until - run.load_from) / PER_MINUTE
    bound = before + (RSS_REST + RSS_SLOPE * minutes) * run.workers
    yield Check("memory at rest", f"{after:.1f} MiB, before {before:.1f} MiB", f"{bound:.1f} MiB", after <= bound)
    found, most = slope(run), RSS_SLOPE * run.workers
    long = run.load_until - run.load_from >= LONG
    yield Check(
        "memory, slope", f"{found:+.2f} MiB/min", f"{most:g} MiB/min" if long else "", found <= most if long else None
    )


def _gateway(run: Run) -> Iterator[Check]:
    yield Check("errors in its log", str(len(run.errors)), "0", not run.errors)
    code = "does not end" if run.exit_code is None else str(run.exit_code)
    yield Check("exit code", code, "0", run.exit_code == 0)


def _told(value: float | None) -> str:
    return "not told" if value is None else f"{value:g}"
