"""Cases of several workers: the same calls to a gateway with one, and then to a gateway with two.

Rule: both have the same cores. With four cores or more these are two of their own. With fewer, load and backend run on
them, too, and take a part, so that calls a second say too little; but two workers run at the same time here as well,
and what they did in a CPU-second tells what they do with two whole cores.
"""

from bench import full_load
from bench.full_load import FullLoad, Supply
from bench.harness import Harness
from bench.result import SATURATED, Figures
from bench.trial import Trial
from bench.way import Way

TWO = 2


def beside_one(harness: Harness, name: str, way: Way, supply: Supply) -> Figures:
    """Raises BenchError."""
    with harness.cores_for(TWO):
        one, _ = _measured(harness, name, way, supply, 1)
        two, resident = _measured(harness, name, way, supply, TWO)
        figures = {
            "calls_per_cpu_second": two.calls_per_cpu_second,
            "calls_per_cpu_second_of_one": one.calls_per_cpu_second,
            "work_of_one": two.calls_per_cpu_second / one.calls_per_cpu_second,
            "least_share": min(two.spent.children) / sum(two.spent.children),
            "rate_of_one": two.outcome.rate / one.outcome.rate,
            "rss_mib": resident,
            **two.core,
        }
        if _pressed(one, 1) and _pressed(two, TWO):
            figures["rate_with_cores"] = TWO * figures["work_of_one"]
        return figures


def _measured(harness: Harness, name: str, way: Way, supply: Supply, workers: int) -> tuple[FullLoad, float]:
    """And its memory in MiB."""
    with harness.subject(name, harness.file_backend, workers=workers) as subject:
        trial = Trial(harness, subject, way)
        load = full_load.send(trial, supply, workers)
        return load, trial.resident_mib


def _pressed(load: FullLoad, cores: int) -> bool:
    """It had so many, or waited for them, nearly all the time; it never waited for calls."""
    return sum(load.core.values()) >= cores * SATURATED
