"""The connections of an upstream: kept, spread over, waited for and replaced."""

import asyncio
import itertools

import pytest
from structlog.testing import capture_logs

from gateway.protocol.status import Status
from gateway.upstream import pool
from gateway.upstream.backoff import GROWTH, JITTER
from gateway.upstream.h2 import H2Upstream
from gateway.upstream.pool import BACKOFF, CROWDED, UNREACHABLE
from tests.support.backend_http2 import (
    SettingCodes,
    backend,
    silent,
)
from tests.support.frames import message
from tests.support.wire import PATIENCE
from tests.unit.upstream.caller import ONE_STREAM, Caller, Held, call, ready, upstream_to

OK = Status(0)
AT_ONCE = 0.1  # seconds
SLOW = 2.0  # seconds that a busy machine may add


def waiting(upstream: H2Upstream) -> int:
    return len(upstream.pool.waiting)


# --- connecting


async def test_calls_wait_for_the_first_connection_and_go_in_order() -> None:
    async with backend() as there:
        there.greets = False
        async with upstream_to(there) as upstream:
            assert upstream.problem is None
            callers = [call(upstream, message(b"%d" % each)) for each in range(20)]
            await there.until(lambda: bool(there.connections))
            assert not await upstream.pool.reachable(0.01)
            assert waiting(upstream) == 20
            callers.pop(7).cancel()
            there.connections[0].greet()
            for caller in callers:
                assert await caller.end() == OK
            assert [request.data for request in there.requests] == [caller.data for caller in callers]
            assert await upstream.reachable()


async def test_when_every_place_has_failed_calls_fail_at_once() -> None:
    async with backend() as dead, backend() as slow:
        dead.stop()
        slow.greets = False
        with capture_logs() as events:
            async with upstream_to(dead, slow) as upstream:
                caller = call(upstream)
                await slow.until(lambda: bool(slow.connections) and bool(upstream.problem))
                assert caller.status is None  # the other one may still come
                slow.stop()
                slow.connections[0].abort()
                started = asyncio.get_running_loop().time()
                assert await caller.end() == UNREACHABLE.status
                late = call(upstream)
                assert late.status == UNREACHABLE.status  # without a turn of the loop
                assert asyncio.get_running_loop().time() - started < AT_ONCE
                assert not await upstream.pool.reachable(0.01)
        reports = [event for event in events if event["event"] == "backend_unreachable"]
        assert {event["address"] for event in reports} == {dead.target, slow.target}
        assert {event["upstream"] for event in reports} == {"test"}
        assert all(event["problem"] for event in reports)
        assert len(reports) == 2  # not one for each attempt


async def test_a_target_that_is_not_there_gets_no_calls_while_another_is() -> None:
    async with backend() as dead, backend() as there:
        dead.stop()
        async with upstream_to(dead, there) as upstream:
            callers = [call(upstream) for _ in range(10)]
            for caller in callers:
                assert await caller.end() == OK
            assert len(there.requests) == 10


@pytest.mark.parametrize("greets", [False, True])
async def test_attempts_become_rarer(greets: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backend that hangs up, before its SETTINGS or right after."""
    monkeypatch.setattr(pool, "BACKOFF_MOST", 0.6)
    dialled: list[float] = []
    loop = asyncio.get_running_loop()

    async def leave() -> None:
        while True:
            known = len(there.connections)
            await there.until(lambda known=known: len(there.connections) > known, None)  # type: ignore[misc]
            dialled.append(loop.time())
            if greets:
                there.connections[-1].greet()
            there.connections[-1].close()

    async with backend() as there:
        there.greets = False
        leaving = asyncio.create_task(leave())
        async with upstream_to(there):
            async with asyncio.timeout(PATIENCE):
                while len(dialled) < 6:
                    await asyncio.sleep(0.02)
        leaving.cancel()
    pauses = [after - before for before, after in itertools.pairwise(dialled)]
    for number, pause in enumerate(pauses):
        wanted = min(BACKOFF * GROWTH**number, 0.6)
        assert wanted * (1 - JITTER) - 0.02 < pause < wanted * (1 + JITTER) + SLOW


async def test_attempts_are_not_in_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many gateways that lost the same backend come back one by one."""
    slept: list[float] = []
    sleep = asyncio.sleep

    async def note(seconds: float) -> None:
        slept.append(seconds)
        await sleep(seconds)

    async with backend() as dead:
        dead.stop()
        monkeypatch.setattr(asyncio, "sleep", note)
        async with upstream_to(dead, connections=30):
            async with asyncio.timeout(PATIENCE):
                while len(slept) < 30:
                    await sleep(0.01)
        monkeypatch.undo()
    first = [seconds for seconds in slept if seconds < BACKOFF * (1 + JITTER)]
    assert len(first) >= 30
    assert min(first) >= BACKOFF * (1 - JITTER)
    assert max(first) - min(first) > BACKOFF * JITTER


async def test_a_connection_that_stood_is_replaced_at_once_when_it_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "STOOD", 0.05)
    monkeypatch.setattr(pool, "BACKOFF", 10 * PATIENCE)
    monkeypatch.setattr(pool, "BACKOFF_MOST", 10 * PATIENCE)
    async with backend() as there, upstream_to(there) as upstream:
        assert await call(upstream).end() == OK
        await asyncio.sleep(0.06)
        there.connections[0].abort()
        await there.until(lambda: len(there.connections) == 2)  # in less than any pause
        assert await call(upstream).end() == OK


async def test_a_backend_that_comes_back_is_found_again() -> None:
    async with backend() as there, upstream_to(there) as upstream:
        assert await call(upstream).end() == OK
        there.die()
        async with asyncio.timeout(PATIENCE):
            while await call(upstream).end() != UNREACHABLE.status:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.5)
        await there.start()
        async with asyncio.timeout(PATIENCE):
            while await call(upstream).end() != OK:
                await asyncio.sleep(0.02)


async def test_a_backend_that_takes_its_leave_with_its_first_words_is_dialled_again() -> None:
    async with backend() as there:
        there.greets = False
        async with upstream_to(there) as upstream:
            caller = call(upstream)
            await there.until(lambda: bool(there.connections) and there.connections[0].heard)
            there.greets = True
            there.connections[0].greet_and_leave()
            status = await caller.end()
            assert status in (OK, UNREACHABLE.status)  # it may have been the last hope
            async with asyncio.timeout(PATIENCE):
                while await call(upstream).end() != OK:
                    await asyncio.sleep(0.02)
            assert len(there.connections) == 2


# --- room


async def test_calls_beyond_the_backends_limit_wait_in_order() -> None:
    answer = Held()
    async with (
        backend(answer, settings={SettingCodes.MAX_CONCURRENT_STREAMS: 3}) as there,
        upstream_to(there) as upstream,
    ):
        callers = [call(upstream, message(b"%d" % each)) for each in range(30)]
        await there.arrivals(3)
        for done in range(30):
            assert len(there.connections[0].open) <= 3
            assert waiting(upstream) == max(0, 27 - done)
            answer.step.release()
            await there.until(lambda done=done: sum(request.replied for request in there.requests) == done + 1)  # type: ignore[misc]
            await there.arrivals(min(30, done + 4))
        for caller in callers:
            assert await caller.end() == OK
        assert [request.data for request in there.requests] == [message(b"%d" % each) for each in range(30)]
        assert len(there.connections) == 1


async def test_the_backend_may_change_its_limit() -> None:
    answer = Held()
    async with (
        backend(answer, settings={SettingCodes.MAX_CONCURRENT_STREAMS: 0}) as there,
        upstream_to(there) as upstream,
    ):
        callers = [call(upstream) for _ in range(9)]
        assert await upstream.reachable()
        assert waiting(upstream) == 9
        (connection,) = there.connections
        connection.announce({SettingCodes.MAX_CONCURRENT_STREAMS: 4})
        await there.arrivals(4)
        connection.announce({SettingCodes.MAX_CONCURRENT_STREAMS: 1})
        await asyncio.sleep(0.05)
        for _ in range(4):
            answer.step.release()
        await there.arrivals(5)
        await asyncio.sleep(0.05)
        assert len(there.requests) == 5
        for _ in range(5):
            answer.step.release()
        for caller in callers:
            assert await caller.end() == OK


async def test_the_queue_is_bounded_and_who_leaves_it_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "MAX_WAITING", 5)
    answer = Held()
    async with backend(answer, settings=ONE_STREAM) as there, upstream_to(there) as upstream:
        assert await upstream.reachable()
        callers = [call(upstream, message(b"%d" % each)) for each in range(6)]
        await there.arrivals(1)
        crowded = call(upstream)
        assert crowded.status == CROWDED.status
        callers.pop(3).cancel()
        callers.append(call(upstream, message(b"new")))
        assert call(upstream).status == CROWDED.status
        assert waiting(upstream) == 5
        for _ in callers:
            answer.step.release()
        for caller in callers:
            assert await caller.end() == OK
        assert [request.data for request in there.requests] == [
            message(text) for text in (b"0", b"1", b"2", b"4", b"5", b"new")
        ]


async def test_a_stream_that_is_reset_makes_room() -> None:
    async with backend(silent, settings=ONE_STREAM) as there, upstream_to(there) as upstream:
        callers = [call(upstream) for _ in range(5)]
        for number, caller in enumerate(callers):
            await there.arrivals(number + 1)
            caller.cancel()
        await there.until(lambda: not there.connections[0].open)


async def test_calls_that_wait_for_room_fail_when_nobody_is_left() -> None:
    async with backend(silent, settings=ONE_STREAM) as there, upstream_to(there) as upstream:
        callers = [call(upstream) for _ in range(5)]
        await there.arrivals(1)
        there.die()
        codes = [(await caller.end()).code for caller in callers]
        assert codes == [14] * 5


# --- spread


@pytest.mark.parametrize("balance", ["round_robin", "least_request"])
async def test_calls_are_spread_over_targets_and_connections(balance: str) -> None:
    async with backend(silent) as one, backend(silent) as two, backend(silent) as three:
        there = [one, two, three]
        async with upstream_to(*there, connections=2, balance=balance) as upstream:
            await ready(upstream, 6)
            callers = [call(upstream) for _ in range(60)]
            for each in there:
                await each.arrivals(15)
            async with asyncio.timeout(PATIENCE):
                while sum(len(each.requests) for each in there) < 60:
                    await asyncio.sleep(0.005)
            loads = [len(connection.requests) for each in there for connection in each.connections]
            assert len(loads) == 6
            assert loads == [10] * 6 if balance == "round_robin" else max(loads) - min(loads) <= 4
            for caller in callers:
                caller.cancel()


async def test_least_request_spares_the_backend_that_is_slow() -> None:
    async with backend(silent) as slow, backend() as fast, upstream_to(slow, fast, balance="least_request") as upstream:
        await ready(upstream, 2)
        callers: list[Caller] = []
        for _ in range(40):
            callers.append(call(upstream))
            await asyncio.sleep(0.002)
        async with asyncio.timeout(PATIENCE):
            while sum(caller.status == OK for caller in callers) + len(slow.requests) < 40:
                await asyncio.sleep(0.005)
        assert len(slow.requests) <= 8
        for caller in callers:
            if caller.status is None:
                caller.cancel()


# --- the end


async def test_closing_ends_everything() -> None:
    async with backend(silent, settings=ONE_STREAM) as there, upstream_to(there, connections=2) as upstream:
        await ready(upstream, 2)
        callers = [call(upstream) for _ in range(10)]
        await there.arrivals(2)
        await upstream.close()
        assert [(await caller.end()).code for caller in callers] == [14] * 10
        await there.until(lambda: not there.standing)
        assert {connection.goaway for connection in there.connections} == {(0, 0)}
        await asyncio.sleep(0.3)  # longer than a backoff
        assert len(there.connections) == 2


async def test_closing_waits_for_nobody_who_does_not_listen() -> None:
    async with backend(silent) as there, upstream_to(there) as upstream:
        assert await upstream.reachable()
        there.connections[0].stop_reading()
        for _ in range(3):
            call(upstream)
        started = asyncio.get_running_loop().time()
        await upstream.close()
        assert asyncio.get_running_loop().time() - started < pool.GOODBYE + SLOW
        there.connections[0].read_again()


async def test_closing_while_connecting() -> None:
    async with backend() as there:
        there.greets = False
        async with upstream_to(there, connections=3):
            await there.until(lambda: len(there.connections) == 3)
        await there.until(lambda: not there.standing)
