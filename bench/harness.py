"""What a case has at hand: backends, a gateway of its own, and a meter of what the gateway spends.

Rule: the gateway has a core for itself; load and backend have the others. Each round has a new gateway, so that no
round depends on the one before.
"""

import os
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from types import TracebackType
from typing import Self

from bench import backend, load
from bench.backend import Backend
from bench.gateway import Gateway
from bench.load import Outcome, Traffic
from bench.process import BenchError, Process, split_cores
from bench.world import World

OPEN_FILES = 4096  # what 1,000 streams and their backend's need, with room

Watch = Callable[[Process], AbstractContextManager[object]]


@dataclass(frozen=True, slots=True)
class Effort:
    """How much of everything."""

    rounds: int = 5
    seconds: int = 5  # of load in a round
    warm_up: int = 2  # seconds before it
    streams: int = 1000  # that are idle


@dataclass(slots=True)
class Spent:
    """What a gateway needed; seconds. Zero until it is over."""

    cpu: float = 0.0
    wall: float = 0.0


class Harness:
    """`with Harness(...)` ends the backends."""

    def __init__(self, world: World, effort: Effort, watch: Watch = lambda _process: nullcontext()) -> None:
        """`watch` gets the gateway's process for as long as it is measured."""
        self.world = world
        self.effort = effort
        self.gateway_cores, self.other_cores = split_cores()
        self._watch = watch
        self._exits = ExitStack()

    def __enter__(self) -> Self:
        _raise_open_files()
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, self.other_cores)  # wrk inherits it
        self._exits.callback(os.sched_setaffinity, 0, before)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exits.close()

    @cached_property
    def fast_backend(self) -> Backend:
        """For unary calls: nghttpd if it is there."""
        program = backend.find_nghttpd()
        return (
            self.streaming_backend
            if program is None
            else self._kept(backend.nghttpd(program, self.world, self.other_cores))
        )

    @cached_property
    def streaming_backend(self) -> Backend:
        """For streams."""
        return self._kept(backend.grpcio(self.world, self.other_cores))

    @cached_property
    def token(self) -> str:
        """The one token of all calls that do not bring their own."""
        return self.world.tokens(1)[0]

    def gateway(self, behind: Backend, *, descriptors: bool = True) -> Gateway:
        """A new one. `descriptors`: it knows which methods are unary. Raises BenchError."""
        configuration = self.world.configuration(behind.port, behind.services, with_descriptors=descriptors)
        return Gateway(configuration, self.gateway_cores)

    def send(self, url: str, traffic: Traffic, *, connections: int, seconds: int) -> Outcome:
        """Calls by wrk. Raises BenchError."""
        folder = self.world.directory / "wrk"
        return load.send(url, traffic, connections=connections, seconds=seconds, folder=folder)

    @contextmanager
    def measured(self, gateway: Gateway) -> Iterator[Spent]:
        """What `gateway` spends inside the block."""
        spent = Spent()
        with self._watch(gateway.process):
            cpu, wall = gateway.process.cpu_seconds(), time.perf_counter()
            yield spent
            spent.wall = time.perf_counter() - wall
            spent.cpu = gateway.process.cpu_seconds() - cpu

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
