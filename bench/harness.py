"""What a case has at hand: backends, subjects of its own, and a meter of what they spend.

Rule: a subject has a core for itself; load and backend have the others. Each round has a new subject, so that no round
depends on the one before.
"""

import os
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self

from bench import backend
from bench.backend import Backend
from bench.process import BenchError, Process, core_seconds, split_cores
from bench.result import Pair
from bench.subject import SUBJECTS, Running
from bench.world import World

OPEN_FILES = 4096  # what 1,000 streams and their backend's need, with room

Watch = Callable[[Process], AbstractContextManager[object]]


@dataclass(frozen=True, slots=True)
class Effort:
    """How much of everything."""

    rounds: int = 5
    seconds: int = 3  # of load in each part of a round
    warm_up: int = 1  # seconds before it


@dataclass(slots=True)
class Spent:
    """What a subject needed; seconds. Zero until it is over."""

    cpu: float = 0.0
    wall: float = 0.0
    waited: float = 0.0  # for its core, while others had it
    core: float = 0.0  # what all processes spent on that core
    children: tuple[float, ...] = ()  # CPU time of each of its workers, where it has some

    @property
    def busy(self) -> float:
        """1 is a full core."""
        return self.cpu / self.wall

    @property
    def others(self) -> float:
        """How much of the core was not the subject's to have, nor idle."""
        return max(0.0, self.core - self.cpu) / self.wall


class Harness:
    """`with Harness(...)` ends the backends."""

    def __init__(self, world: World, effort: Effort, watch: Watch = lambda _process: nullcontext()) -> None:
        """`watch` gets a subject's process for as long as it is measured."""
        self.world = world
        self.effort = effort
        self.subject_cores, self.other_cores = split_cores()
        self.round: dict[str, Pair] = {}  # by case: what the round under way has so far
        self._watch = watch
        self._exits = ExitStack()

    def __enter__(self) -> Self:
        _raise_open_files()
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, self.other_cores)  # what sends calls inherits it
        self._exits.callback(os.sched_setaffinity, 0, before)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exits.close()

    @cached_property
    def file_backend(self) -> Backend:
        """For unary calls and bulk. Raises BenchError."""
        return self._kept(backend.nghttpd(self.world, self.other_cores))

    @cached_property
    def stream_backend(self) -> Backend:
        """For streams of small messages. Raises BenchError."""
        return self._kept(backend.ngh2(self.world, self.other_cores))

    @cached_property
    def token(self) -> str:
        """The one token of all calls that do not bring their own."""
        return self.world.tokens(1)[0]

    @property
    def scratch(self) -> Path:
        """A folder for what the load generators read."""
        return self.world.directory / "load"

    def subject(self, name: str, behind: Backend, transport: str = "auto", workers: int = 1) -> Running:
        """A new one. Raises BenchError."""
        return SUBJECTS[name](self.world.configuration(behind.port, transport, workers), self.subject_cores)

    @contextmanager
    def cores_for(self, count: int) -> Iterator[None]:
        """Inside the block `count` cores are the subjects', if as many are left for the load and the backend that this
        gives, which is for unary calls. Otherwise all cores are everybody's. Raises BenchError.
        """
        moved = 0, self.file_backend.process.pid
        before = self.subject_cores, self.other_cores
        self.subject_cores, self.other_cores = split_cores(before[0] | before[1], count)
        try:
            for pid in moved:
                os.sched_setaffinity(pid, self.other_cores)
            yield
        finally:
            self.subject_cores, self.other_cores = before
            for pid in moved:
                os.sched_setaffinity(pid, self.other_cores)

    @contextmanager
    def measured(self, subject: Process) -> Iterator[Spent]:
        """What `subject` spends inside the block; it is watched there."""
        with self._watch(subject), self.spent_by(subject) as spent:
            yield spent

    @contextmanager
    def spent_by(self, process: Process) -> Iterator[Spent]:
        """What `process` spends inside the block."""
        spent = Spent()
        core, waited = core_seconds(self.subject_cores), process.waited_seconds()
        children = process.cpu_of_children()
        cpu, wall = process.cpu_seconds(), time.perf_counter()
        yield spent
        spent.wall = time.perf_counter() - wall
        spent.cpu = process.cpu_seconds() - cpu
        spent.waited = process.waited_seconds() - waited
        spent.core = core_seconds(self.subject_cores) - core
        spent.children = tuple(cpu - children.get(pid, 0.0) for pid, cpu in process.cpu_of_children().items())

    def _kept(self, started: Backend) -> Backend:
        self._exits.enter_context(started.process)
        return started


def _raise_open_files() -> None:
    """A thousand streams are more than the usual 1,024 open files allow; children inherit the new limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < OPEN_FILES:
        raise BenchError(f"{hard} open files are too few: raise the hard limit (ulimit -Hn) to {OPEN_FILES}")
    if soft != resource.RLIM_INFINITY and soft < OPEN_FILES:
        resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, hard))
