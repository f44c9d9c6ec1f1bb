"""A run: all rounds of the chosen cases.

Rule: rounds go over all cases in turn, so that a minute in which the machine was busy falls on all of them alike.
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import load, machine
from bench.cases import Case
from bench.harness import Effort, Harness
from bench.process import BenchError
from bench.profile import Profiler
from bench.progress import Progress
from bench.report import Report, Result
from bench.world import World

PREFIX = "grpcweb-gateway-bench-"


def measure(cases: Sequence[Case], effort: Effort, limit: float) -> Report:
    """Each case until it fails; nothing is begun after `limit` seconds. Raises BenchError when nothing can run."""
    described = machine.describe()
    results = [Result(case.name, case.title, case.kind) for case in cases]
    progress = Progress(effort.rounds * len(cases))
    with TemporaryDirectory(prefix=PREFIX) as folder, Harness(World(Path(folder)), effort) as harness:
        for number in range(1, effort.rounds + 1):
            for case, result in zip(cases, results, strict=True):
                progress.step(f"{case.name}, round {number}")
                if not result.error:
                    late = progress.seconds > limit
                    _round(case, result, harness, left_out=f"not measured: {limit:g} s were over" if late else "")
    progress.end()
    return Report(described, asdict(effort), results)


def _round(case: Case, result: Result, harness: Harness, left_out: str) -> None:
    if case.kind == "calls" and load.find_wrk() is None:
        left_out = "not measured: wrk is missing"
    if left_out:
        result.error = left_out
        return
    try:
        result.rounds.append(case.measure(harness))
    except (BenchError, OSError) as error:  # TimeoutError is one
        result.error = str(error) or type(error).__name__


def profile(case: Case, effort: Effort) -> str:
    """One round of `case`, and where the gateway's main thread spent it. Raises BenchError, OSError."""
    with TemporaryDirectory(prefix=PREFIX) as name:
        folder = Path(name)
        profiler = Profiler(folder)
        with Harness(World(folder), effort, profiler.watch) as harness:
            case.measure(harness)
        return profiler.text()
