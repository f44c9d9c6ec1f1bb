"""Cases of several workers: the same calls to a gateway with one, and then to a gateway with two.

Rule: both have the same cores. With four cores or more these are two, and calls a second are compared. With fewer it is
one for both, where two workers cannot take more calls than one: what is compared there is calls per CPU-second, and how
evenly the kernel spreads connections over them.
"""

from bench import full_load
from bench.backend import Backend
from bench.full_load import FullLoad
from bench.harness import Harness
from bench.load.traffic import Traffic
from bench.methods import SMALL, frame
from bench.result import SATURATED, Figures
from bench.trial import Trial
from bench.way import Way
from bench.world import browser_headers

TWO = 2


def beside_one(harness: Harness, name: str, way: Way) -> Figures:
    """Raises BenchError."""
    with harness.cores_for(TWO) as behind:
        one, _ = _measured(harness, name, way, behind, 1)
        two, resident = _measured(harness, name, way, behind, TWO)
        figures = {
            "calls_per_cpu_second": two.calls_per_cpu_second,
            "calls_per_cpu_second_of_one": one.calls_per_cpu_second,
            "work_of_one": two.calls_per_cpu_second / one.calls_per_cpu_second,
            "least_share": min(two.spent.children) / sum(two.spent.children),
            "rss_mib": resident,
            **two.core,
        }
        if len(harness.subject_cores) == TWO and _full(one, 1) and _full(two, TWO):
            figures["rate_of_one"] = two.outcome.rate / one.outcome.rate
        return figures


def _measured(harness: Harness, name: str, way: Way, behind: Backend, workers: int) -> tuple[FullLoad, float]:
    """And its memory in MiB."""
    traffic = Traffic(SMALL.path, frame(SMALL.message), browser_headers(harness.token), reply=SMALL.reply)
    with harness.subject(name, behind, workers=workers) as subject:
        trial = Trial(harness, subject, way)
        load = full_load.by_h2load(trial, traffic) if way.http2 else full_load.by_wrk(trial, lambda _calls: traffic)
        return load, trial.resident_mib


def _full(load: FullLoad, cores: int) -> bool:
    """It could take no more."""
    return sum(load.core.values()) >= cores * SATURATED
