"""`serve` with several workers: they share the listeners, one that dies is replaced, and one signal ends all."""

import asyncio
import os
import signal
import time

import pytest

from tests.faults.conftest import Figures
from tests.faults.workers import SOON, lives, serving
from tests.support.gateway import at_rest


async def test_workers_share_the_port_and_are_seen_together() -> None:
    async with serving() as workers:
        gateway = workers.gateway
        assert len(gateway.workers()) == 2
        assert all(await workers.calls(40))
        metrics = await gateway.metrics()
        assert metrics["gateway_workers_ready"] == 2
        calls = [metrics[f'gateway_calls_total{{code="OK",method="/demo.v1.Demo/Echo",worker="{i}"}}'] for i in (0, 1)]
        assert sum(calls) == 40
        assert all(calls)  # each has had some
        assert await gateway.is_ready()
        assert '"workers": 2' in await gateway.page("config")
        assert {event.get("worker") for event in gateway.named("call")} <= {0, 1}


async def test_a_worker_that_is_killed_is_replaced_and_no_call_is_lost(figures: Figures) -> None:
    async with serving() as workers:
        gateway = workers.gateway
        before = gateway.workers()
        os.kill(before[0], signal.SIGKILL)
        killed = time.monotonic()
        # New connections to the dead one's share wait until its successor accepts them.
        async with asyncio.timeout(20):
            results = await workers.calls(40)
        assert all(results)
        assert (await gateway.event("worker_ended"))["cause"] == "signal SIGKILL"
        await gateway.all_ready()
        figures(
            calls=len(results), failed=results.count(False), seconds_to_replaced=round(time.monotonic() - killed, 2)
        )
        after = gateway.workers()
        assert len(after) == 2
        assert before[1] in after
        assert (await gateway.metrics())['gateway_worker_restarts_total{worker="0"}'] == 1


async def test_connections_that_wait_for_a_worker_that_is_killed_are_served_by_the_next_one() -> None:
    async with serving() as workers:
        worker, _ = workers.gateway.workers()
        os.kill(worker, signal.SIGSTOP)  # from now on the kernel takes connections for it, and nobody accepts them
        calls = [asyncio.create_task(workers.calls(1)) for _ in range(40)]
        answered = await at_rest(lambda: sum(call.done() for call in calls), pause=1.0)
        assert 0 < answered < len(calls)
        os.kill(worker, signal.SIGKILL)
        async with asyncio.timeout(20):
            assert all(ok for (ok,) in await asyncio.gather(*calls))


async def test_workers_told_to_end_one_after_the_other_lose_no_call(figures: Figures) -> None:
    async with serving() as workers:
        gateway = workers.gateway
        going_on = True
        results: list[bool] = []

        async def load() -> None:
            while going_on:
                results.extend(await workers.calls(1))

        callers = [asyncio.create_task(load()) for _ in range(4)]
        for number, worker in enumerate(gateway.workers()):
            os.kill(worker, signal.SIGTERM)
            await gateway.event("worker_ended", number + 1)
            await gateway.all_ready()
        going_on = False
        await asyncio.gather(*callers)
        assert len(results) > len(callers)
        assert all(results)
        figures(calls=len(results), failed=results.count(False), workers_ended=2)


# -- the end ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_one_signal_drains_all_of_them(number: signal.Signals) -> None:
    async with serving() as workers:
        gateway = workers.gateway
        processes = gateway.workers()
        gateway.signal(number)
        assert await gateway.ended(SOON) == 0
        assert not any(map(lives, processes))


async def test_workers_end_when_the_supervisor_is_killed() -> None:
    async with serving() as workers:
        gateway = workers.gateway
        processes = gateway.workers()
        gateway.process.kill()
        async with asyncio.timeout(SOON):
            while any(map(lives, processes)):
                await asyncio.sleep(0.1)


async def test_nobody_is_started_once_all_are_to_stop() -> None:
    """A worker that waits for its next start when the signal comes does not come back, and nobody waits for it."""
    async with serving(drain="60s") as workers:
        gateway = workers.gateway
        for number in (1, 2, 3, 4):  # it waits longer each time
            await gateway.all_ready()
            os.kill(gateway.workers()[-1], signal.SIGKILL)
            await gateway.event("worker_ended", number)
        gateway.signal()
        assert await gateway.ended(SOON) == 0
        assert len(gateway.named("draining")) == 2  # the supervisor and the other worker


async def test_the_drain_is_as_long_as_the_configuration_in_use_says() -> None:
    async with serving(drain="0s") as workers:
        gateway = workers.gateway
        gateway.reconfigure(drain="45s")
        await gateway.event("configuration_changed", 2)
        gateway.signal()
        assert {event["seconds"] for event in [await gateway.event("draining", number) for number in (1, 2, 3)]} == {45}
        assert await gateway.ended(SOON) == 0
