"""A run: all rounds of the chosen cases.

Rule: in a round the subjects of a case run one after the other, always in the same order (A B, A B): they make a pair,
and see the same machine. Rounds go over all cases in turn, so that a minute in which the machine was busy falls on one
pair of each case, not on all pairs of one.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import backend, machine
from bench.cases import Case, Tool
from bench.harness import Effort, Harness
from bench.load import h2load, wrk
from bench.process import BenchError
from bench.profile import Profiler
from bench.progress import Progress
from bench.report import Report
from bench.result import Figures, Pair, Result
from bench.subject import GATEWAY
from bench.world import World

PREFIX = "grpcweb-gateway-bench-"
TOOLS: dict[Tool, Callable[[], object]] = {
    "wrk": wrk.find, "h2load": h2load.find, "nghttpd": backend.find_nghttpd
}  # fmt: skip


def measure(cases: Sequence[Case], subjects: Sequence[str], effort: Effort, limit: float) -> Report:
    """Each subject of each case until it fails; nothing is begun after `limit` seconds.

    Raises BenchError when nothing can run.
    """
    described = machine.describe()
    with TemporaryDirectory(prefix=PREFIX) as folder, Harness(World(Path(folder)), effort) as harness:
        results = [Result(case.name, case.title, case.kind, skipped=missing(case)) for case in cases]
        work = [
            (case, result, [subject for subject in subjects if subject in case.subjects])
            for case, result in zip(cases, results, strict=True)
            if not result.skipped
        ]
        progress = Progress(effort.rounds * sum(len(chosen) for _, _, chosen in work))
        for number in range(1, effort.rounds + 1):
            harness.round = {}
            for case, result, chosen in work:
                pair: Pair = {}
                harness.round[case.name] = pair
                for subject in chosen:
                    progress.step(f"{case.name}, {subject}, round {number}")
                    if subject in result.errors:
                        continue
                    if progress.seconds > limit:
                        result.errors[subject] = f"not measured: {limit:g} s were over"
                    elif isinstance(outcome := _outcome(case, subject, harness), str):
                        result.errors[subject] = outcome
                    else:
                        pair[subject] = outcome
                if pair:
                    result.pairs.append(pair)
    progress.end()
    return Report(described, asdict(effort), results)


def _outcome(case: Case, subject: str, harness: Harness) -> Figures | str:
    """The figures, or why there are none."""
    try:
        return case.measure(harness, subject)
    except (BenchError, OSError) as error:  # TimeoutError is one
        return str(error) or type(error).__name__


def missing(case: Case) -> str:
    """Why `case` cannot be measured; empty: it can."""
    absent = [tool for tool in case.tools if not TOOLS[tool]()]
    return f"not measured: {' and '.join(absent)} missing" if absent else ""


def profile(case: Case, effort: Effort) -> str:
    """One round of `case`, and where the gateway's main thread spent it. Raises BenchError, OSError."""
    if reason := missing(case):
        raise BenchError(reason)
    with TemporaryDirectory(prefix=PREFIX) as name:
        folder = Path(name)
        profiler = Profiler(folder)
        with Harness(World(folder), effort, profiler.watch) as harness:
            case.measure(harness, GATEWAY)
        return profiler.text()
