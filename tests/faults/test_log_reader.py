"""Who reads the log stands still, as `docker logs` or a full journal may: that stops nobody."""

import asyncio
import os
import signal

import pytest

from tests.faults.conftest import Figures
from tests.faults.workers import SOON
from tests.support.serving import site

CALLS = 2000  # with a line each: many times what pipe and reader have room for
AT_ONCE = 50
QUICK = 5.0  # seconds for a page, and for an end at which nothing is to be waited for


@pytest.mark.parametrize("workers", [1, 2])
async def test_calls_pages_and_signals_do_not_wait_for_who_reads_the_log(workers: int, figures: Figures) -> None:
    async with site() as place:
        gateway = await place.serve(workers=workers)
        gateway.read_on.clear()
        fields = place.fields()
        good = 0
        for _ in range(CALLS // AT_ONCE):
            good += sum(await asyncio.gather(*(gateway.call(fields) for _ in range(AT_ONCE))))
        assert good == CALLS
        async with asyncio.timeout(QUICK):
            assert "alive" in await gateway.page("healthz")
        async with asyncio.timeout(QUICK):
            assert await gateway.is_ready()
        if workers > 1:
            killed = gateway.workers()[0]
            os.kill(killed, signal.SIGKILL)  # now the supervisor has something to say, too
            async with asyncio.timeout(SOON):
                while killed in gateway.workers() or len(gateway.workers()) < workers:
                    await asyncio.sleep(0.1)
            await gateway.all_ready()
            assert await gateway.call(fields)
        gateway.signal()
        assert await asyncio.wait_for(gateway.process.wait(), SOON) == 0
        figures(calls=good)


@pytest.mark.parametrize("workers", [1, 2])
async def test_who_reads_late_gets_all_of_it(workers: int) -> None:
    async with site() as place:
        gateway = await place.serve(workers=workers)
        gateway.read_on.clear()
        fields = place.fields()
        for _ in range(CALLS // AT_ONCE):
            await asyncio.gather(*(gateway.call(fields) for _ in range(AT_ONCE)))
        gateway.read_on.set()
        await gateway.event("call", CALLS)
        gateway.signal()
        assert await gateway.ended() == 0
        assert (await gateway.event("stopped"))["event"] == "stopped"
        assert not gateway.named("log_lines_lost")
