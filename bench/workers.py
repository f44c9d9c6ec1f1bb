"""Cases of several workers: the same calls to a gateway with one, and then to a gateway with two.

Rule: both have the same cores. With four cores or more these are two of their own. With fewer, load and backend have
all of them, too: calls a second are compared only where they left the workers nearly all, as they do when each call
brings a signature to check. Work per CPU-second is compared always, of workers that run at the same time.
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
            "rss_mib": resident,
            **two.core,
        }
        if _filled(one, 1) and _filled(two, TWO):
            figures["rate_of_one"] = two.outcome.rate / one.outcome.rate
        return figures


def _measured(harness: Harness, name: str, way: Way, supply: Supply, workers: int) -> tuple[FullLoad, float]:
    """And its memory in MiB."""
    with harness.subject(name, harness.file_backend, workers=workers) as subject:
        trial = Trial(harness, subject, way)
        load = full_load.send(trial, supply, workers)
        return load, trial.resident_mib


def _filled(load: FullLoad, cores: int) -> bool:
    """It had so many, and no time to rest."""
    return load.core["core_busy"] >= cores * SATURATED
