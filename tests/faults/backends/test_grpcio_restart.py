"""Real backends, in processes, that are restarted one after the other under calls over grpcio."""

import asyncio
import contextlib
import itertools
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

from tests.faults.backends.fleet import NOTICE, all_connected, before, fleet
from tests.faults.conftest import Figures
from tests.support.frames import message
from tests.support.gateway import RunningGateway, eventually, running

GET, DO = "/test.v1.Test/Get", "/test.v1.Test/Do"
CALLERS = 16  # of each method
BETWEEN = 50  # calls
UNREACHED = "the backend cannot be reached"


class Load:
    """Callers of both methods that call one after the other, and count how it went."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()  # by method
        self.failures: Counter[tuple[str, str]] = Counter()  # by method and text

    async def more(self, calls: int) -> None:
        """Return after so many calls more."""
        goal = self.calls.total() + calls
        await eventually(lambda: self.calls.total() >= goal, 20)

    async def call(self, gateway: RunningGateway, method: str, over: asyncio.Event) -> None:
        for number in itertools.count():
            if over.is_set():
                return
            text = b"%d" % number
            async with asyncio.timeout(10):  # none hangs
                reply = await gateway.post(method, message(text))
            self.calls[method] += 1
            assert reply.status is not None
            if reply.code:
                self.failures[method, reply.status.message] += 1
            assert reply.messages == ([] if reply.code else [text])


@contextlib.asynccontextmanager
async def under_load(gateway: RunningGateway) -> AsyncIterator[Load]:
    load, over = Load(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for method in (GET, DO) * CALLERS:
            group.create_task(load.call(gateway, method, over))
        yield load
        over.set()


async def rolling_restart(notice: float, **more: Any) -> Load:
    """What became of calls to three backends that were restarted one after the other."""
    change = {"transport": "grpcio", "idempotent_methods": [GET], **more}
    async with (
        fleet(3, notice) as backends,
        running(before(*backends, **change)) as gateway,
        under_load(gateway) as load,
    ):
        await load.more(BETWEEN)
        await all_connected(gateway, 3)
        for backend in backends:
            await load.more(BETWEEN)
            await backend.stop()  # SIGTERM
            await load.more(BETWEEN)
            await backend.start()
            await all_connected(gateway, 3)
        await load.more(BETWEEN)
    assert load.calls.keys() == {GET, DO}
    return load


async def test_a_rolling_restart_loses_no_call(figures: Figures) -> None:
    """Backends that say beforehand that they stop. What comes for one in that moment is never sent to it, and goes to
    another, whether its method is idempotent or not.
    """
    load = await rolling_restart(NOTICE, health_check=True)
    figures(calls=load.calls.total(), failed=load.failures.total(), restarts=3)
    assert not load.failures


async def test_a_rolling_restart_without_notice_fails_no_call_that_was_not_sent(figures: Figures) -> None:
    """Others may have reached a backend that stops, whose grpc cancels them, more at once than are sent again."""
    load = await rolling_restart(0.0)
    figures(calls=load.calls.total(), failed=load.failures.total(), restarts=3)
    assert UNREACHED not in {text for _, text in load.failures}, load.failures
