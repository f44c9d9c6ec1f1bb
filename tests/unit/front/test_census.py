"""Connections and calls of all fronts together."""

import asyncio

import pytest
from structlog.testing import capture_logs

from gateway.call import Call
from gateway.front.census import Census
from gateway.permit import Permit
from gateway.protocol.status import Code, Status
from tests.support.ends import NOW, ManualGate, Road

GOING = Status(Code.UNAVAILABLE, "going")


def call(census: Census) -> Call:
    """One that goes on."""
    road = Road(gate=ManualGate(Permit(b"/test.v1.Test/Do", expires_at=NOW + 60))).start()
    census.begun(road.call)
    return road.call


def test_connections_up_to_the_limit() -> None:
    census = Census(2)
    with capture_logs() as events:
        assert [census.connected() for _ in range(4)] == [True, True, False, False]
    assert [event["event"] for event in events] == ["connection_refused"]  # the next a minute later
    assert census.connections == 4  # those refused say goodbye too
    census.disconnected()
    census.disconnected()
    assert not census.connected()
    census.disconnected()
    census.disconnected()
    assert census.connected()


async def test_a_drain_waits_for_the_last_call() -> None:
    census = Census(1)
    census.over(call(census))  # nobody was there, for a while
    one, two = call(census), call(census)
    waiting = asyncio.create_task(census.until_empty(30.0))
    await asyncio.sleep(0)
    census.over(one)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(waiting), 0.02)
    census.over(two)
    census.over(two)
    await asyncio.wait_for(waiting, 1.0)


async def test_a_drain_waits_for_the_last_connection_and_not_while_one_changes_hands() -> None:
    census = Census(2)
    census.connected()
    waiting = asyncio.create_task(census.until_empty(30.0))
    await asyncio.sleep(0)
    census.disconnected()
    census.connected()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(waiting), 0.02)
    census.disconnected()
    await asyncio.wait_for(waiting, 1.0)


async def test_a_drain_waits_no_longer_than_it_may() -> None:
    census = Census(1)
    going = call(census)
    await asyncio.wait_for(census.until_empty(0.01), 1.0)
    assert census.calls == {going}
    waiting = asyncio.create_task(census.until_empty(30.0))  # the calls' last words
    await asyncio.sleep(0)
    census.over(going)
    await asyncio.wait_for(waiting, 1.0)


async def test_without_calls_a_drain_waits_for_nothing() -> None:
    census = Census(1)
    await asyncio.wait_for(census.until_empty(30.0), 0.1)
    census.over(call(census))
    await asyncio.wait_for(census.until_empty(30.0), 0.1)


def test_all_calls_end_with_the_same_status() -> None:
    census = Census(1)
    calls = [call(census) for _ in range(3)]
    census.end_all(GOING, "drain")
    assert [(each.status, each.reason) for each in calls] == [(GOING, "drain")] * 3
    assert census.calls == set(calls)  # until they have left their fronts


def test_a_tick_reaches_every_call() -> None:
    census = Census(1)
    roads = [Road(gate=ManualGate(Permit(b"/test.v1.Test/Do", expires_at=NOW + 60))).start() for _ in range(2)]
    for road in roads:
        census.begun(road.call)
        road.clock.advance(61)
    census.tick()
    assert [road.call.reason for road in roads] == ["token_expired_midway"] * 2
