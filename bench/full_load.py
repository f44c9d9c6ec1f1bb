"""As many calls as a subject takes.

Rule: a warm-up comes first, in which the subject connects to its backend and fills its caches.
"""

from collections.abc import Callable
from dataclasses import dataclass

from bench import part_load
from bench.harness import Spent
from bench.load import wrk
from bench.load.h2load import H2load
from bench.load.traffic import Outcome, Traffic
from bench.process import BenchError
from bench.result import Figures
from bench.trial import Trial

RESERVE = 1.5  # how much faster than its warm-up a subject may be
WARM_UP_TOKENS = 5_000  # they may be used again

Supply = Callable[[int], Traffic]  # for so many calls


@dataclass(frozen=True, slots=True)
class FullLoad:
    """What came of it."""

    outcome: Outcome
    spent: Spent

    @property
    def calls_per_cpu_second(self) -> float:
        return self.outcome.calls / self.spent.cpu

    @property
    def core(self) -> Figures:
        """How busy the subject's core was, and how long it was kept from it; without the generator's start."""
        seconds = self.outcome.seconds
        return {"core_busy": self.spent.cpu / seconds, "core_waited_for": self.spent.waited / seconds}


def send(trial: Trial, supply: Supply, cores: int = 1) -> FullLoad:
    """As the way asks for, to a subject that can fill so many cores. Raises BenchError."""
    return by_h2load(trial, supply(0)) if trial.way.http2 else by_wrk(trial, supply, cores)


def by_wrk(trial: Trial, supply: Supply, cores: int = 1) -> FullLoad:
    """Over HTTP/1.1, each answer judged by itself. Raises BenchError."""
    harness, process, way = trial.harness, trial.subject.process, trial.way

    def load(seconds: int, calls: int) -> Outcome:
        folder = harness.scratch
        return wrk.send(trial.url, supply(calls), connections=way.connections, seconds=seconds, folder=folder)

    with harness.spent_by(process) as spent:
        calls = load(trial.effort.warm_up, WARM_UP_TOKENS).calls
    enough = int(calls / spent.cpu * cores * trial.effort.seconds * RESERVE)
    with harness.measured(process) as spent:
        outcome = load(trial.effort.seconds, enough)
    if outcome.overdrawn:
        raise BenchError(f"tokens ran out: {outcome.overdrawn} calls used one again")
    return FullLoad(outcome, spent)


def by_h2load(trial: Trial, traffic: Traffic) -> FullLoad:
    """All answers judged together, after a few that were judged one by one. Raises BenchError."""
    load = H2load(trial.url, traffic, trial.way, part_load.answer_size(trial, traffic), trial.harness.scratch)
    load.warm_up(trial.effort.warm_up)
    with trial.harness.measured(trial.subject.process) as spent:
        outcome = load.send(trial.effort.seconds)
    return FullLoad(outcome, spent)
