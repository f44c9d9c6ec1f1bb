"""A run: warm-up with every change but new keys, rest, load with changes, rest.

Rules
- It is bounded: the time is known at the start, each wait has an end, and all traffic stays on 127.0.0.1.
- The warm-up is like the load, so that what is made once is there when the first rest is measured.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from bench import machine
from soak.changes import Changes
from soak.gateway import Gateway
from soak.issuer import Issuer
from soak.lines import Lines
from soak.load import Load
from soak.plan import Planner
from soak.replica import Replica
from soak.report import Report
from soak.samples import Sample, Sampler
from soak.verdict import Run
from soak.world import World

WARM_UP = 0.3  # of the time
MOST_WARM_UP = 60.0  # seconds
REST = 3.0  # seconds without load before it is looked
REST_MOST = 30.0  # seconds for what is still open to end: grpc takes its time to close what it has replaced
EXPECTED = frozenset({"configuration_refused"})  # in the log, at level error
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Options:
    seconds: float
    rate: float  # calls a second
    workers: int
    seed: int
    tree: Path  # the checkout whose gateway/ it is
    log: Path | None = None  # where the gateway's goes, to be kept

    @property
    def warm_up(self) -> float:
        return min(WARM_UP * self.seconds, MOST_WARM_UP)

    @property
    def load(self) -> float:
        return max(1.0, self.seconds - self.warm_up - 2 * REST)

    @property
    def change_every(self) -> float:
        """Seconds: all changes are made at least once."""
        return min(8.0, self.load / 16)


async def run(options: Options, say: Say) -> Report:
    """Raises SoakError, OSError."""
    async with contextlib.AsyncExitStack() as exits:
        folder = Path(exits.enter_context(TemporaryDirectory(prefix="grpcweb-gateway-soak-")))
        issuer = await exits.enter_async_context(Issuer(folder / "jwks.json"))
        world = World(folder, issuer)
        replicas = await exits.enter_async_context(_replicas(folder, issuer.url))
        world.configure([replica.port for replica in replicas])
        gateway = await exits.enter_async_context(
            Gateway(world.path, options.log or folder / "gateway.log", workers=options.workers, tree=options.tree)
        )  # fmt: skip
        load = Load(Lines(gateway.urls, world.pki.ca), world, Planner(options.seed), options.rate)
        changes = Changes(world, gateway, replicas, load, options.workers)
        sampler = Sampler(gateway, replicas, load)
        await exits.enter_async_context(_meanwhile(sampler.go_on(), _tell(sampler, load, say)))

        say(f"warm-up for {options.warm_up:.0f} s, then {options.load:.0f} s")
        await _under(load, changes, options.warm_up, options.change_every / 2)
        warm = sampler.samples[-1]["time"]
        before = await _rest(sampler)
        began = before["time"]
        await _under(load, changes, options.load, options.change_every)
        until = sampler.samples[-1]["time"]
        after = await _rest(sampler, before)
        exit_code = await gateway.stop()
    return Report(
        machine.describe(),
        {"seconds": options.seconds, "rate": options.rate, "workers": options.workers, "seed": options.seed},
        [(round(at - sampler.began, 2), name) for at, name in changes.marks],
        Run(
            workers=options.workers,
            samples=sampler.samples,
            rest_before=before,
            rest_after=after,
            warm_until=warm,
            load_from=began,
            load_until=until,
            right=load.right,
            given_up=load.given_up,
            excused=load.excused,
            failures=dict(load.failures.most_common()),
            changes=dict(changes.done),
            changes_failed=changes.failed,
            errors=[line for line in gateway.errors if not any(event in line for event in EXPECTED)],
            exit_code=exit_code,
        ),
    )


@contextlib.asynccontextmanager
async def _replicas(folder: Path, issuer: str) -> AsyncIterator[tuple[Replica, ...]]:
    replicas = tuple(Replica(name, folder, issuer) for name in ("A", "B"))
    try:
        await asyncio.gather(*(replica.start() for replica in replicas))
        yield replicas
    finally:
        await asyncio.gather(*(replica.kill() for replica in replicas))


@contextlib.asynccontextmanager
async def _meanwhile(*running: Coroutine[None, None, None]) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(each) for each in running]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _under(load: Load, changes: Changes, seconds: float, every: float) -> None:
    """Changes for so long, and calls as long as there are changes."""
    enough = asyncio.Event()
    sending = asyncio.create_task(load.send(enough))
    try:
        await changes.go_on(seconds, every)
    finally:
        enough.set()
        await sending


async def _rest(sampler: Sampler, before: Sample | None = None) -> Sample:
    """What there is when nothing is asked for; what is still open, or more than `before`, has some time to end."""
    loop = asyncio.get_running_loop()
    until = loop.time() + REST_MOST
    await asyncio.sleep(REST)
    sample = await sampler.take()
    while loop.time() < until and (
        any(sample.get(curve) for curve in ("calls", "connections", "backend streams"))
        or (before is not None and sample["fds"] > before["fds"])
    ):
        await asyncio.sleep(0.5)
        sample = await sampler.take()
    return sample


async def _tell(sampler: Sampler, load: Load, say: Say) -> None:
    """A line every ten seconds."""
    began = time.monotonic()
    while True:
        await asyncio.sleep(10)
        last = sampler.samples[-1] if sampler.samples else {}
        figures = ", ".join(f"{name} {last.get(name, 0):.0f}" for name in ("rss", "fds", "calls", "backend streams"))
        say(f"{time.monotonic() - began:4.0f} s: {load.begun} calls, {sum(load.failures.values())} lost; {figures}")
