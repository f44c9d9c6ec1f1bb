"""Connections over HTTP/2 that are told to end: what runs is finished, what is new is refused."""

import asyncio
from collections.abc import Callable

import pytest
from h2.errors import ErrorCodes

from gateway.front import http2
from gateway.front.census import Census
from gateway.protocol.status import Code, Status
from tests.support.http2 import GoAway
from tests.unit.front.world import DO, WEB, World, world


async def test_a_drain_finishes_what_runs_and_refuses_what_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http2, "DRAIN_NOTICE", 0.01)
    here = await world()
    running = await here.ask(DO, WEB)
    here.front.drain()
    here.front.drain()
    on_its_way = await here.ask(DO, WEB)
    assert here.peer.goaways == [GoAway(2**31 - 1, ErrorCodes.NO_ERROR, b"")]
    assert len(here.up.opened) == 2
    async with asyncio.timeout(1):
        while len(here.peer.goaways) == 1:
            await asyncio.sleep(0.002)
            await here.peer.talk()
    assert here.peer.goaways[1:] == [GoAway(on_its_way, ErrorCodes.NO_ERROR, b"")]
    await here.ask(DO, WEB)
    assert len(here.up.opened) == 2
    for reply in here.up.replies:
        assert not here.peer.transport.closed
        reply.reply_end(Status(Code.OK), [])
        await here.peer.talk()
    assert here.peer.ended(running)
    assert here.peer.ended(on_its_way)
    assert here.peer.transport.closed
    assert here.census.connections == 0


async def closed(here: World) -> None:
    async with asyncio.timeout(1):
        while not here.peer.transport.closed:
            await asyncio.sleep(0.002)


async def test_a_drain_is_over_with_the_last_stream_after_the_notice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http2, "DRAIN_NOTICE", 0.05)
    here = await world()
    for _ in range(2):
        await here.ask(DO, WEB)
    here.front.drain()
    for reply in here.up.replies:
        reply.reply_end(Status(Code.OK), [])
        await here.peer.talk()
        assert not here.peer.transport.closed
    await closed(here)


async def test_a_stream_that_was_on_its_way_when_the_last_one_ended_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http2, "DRAIN_NOTICE", 0.05)
    here = await world()
    last = await here.ask(DO, WEB, end=False)
    here.front.drain()
    here.peer.h2.reset_stream(last)
    late = await here.ask(DO, WEB)
    await here.answer()
    assert here.peer.ended(late)
    await closed(here)


async def test_a_drain_closes_a_connection_without_streams_after_the_notice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http2, "DRAIN_NOTICE", 0.01)
    here = await world()
    here.front.drain()
    await here.peer.talk()
    assert not here.peer.transport.closed
    await closed(here)


async def test_a_drain_waits_for_what_a_full_transport_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    here = await world()
    later: list[Callable[[], None]] = []
    monkeypatch.setattr(here.peer.clock, "call_later", lambda _, act: later.append(act), raising=False)
    here.front.drain()
    await here.peer.talk()
    here.peer.transport.fill()
    later[0]()
    await asyncio.sleep(0)
    assert not here.peer.transport.closed
    here.peer.transport.drain()
    assert here.peer.transport.closed
    assert not here.peer.transport.aborted
    here.peer.hear()
    assert [goaway.last_stream for goaway in here.peer.goaways] == [2**31 - 1, 0]


async def test_a_connection_that_is_made_during_a_drain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its handshake outlasted the beginning of it."""
    monkeypatch.setattr(http2, "DRAIN_NOTICE", 0.01)
    census = Census(10)
    census.draining = True
    here = await world(census=census)
    assert here.peer.goaways == [GoAway(2**31 - 1, ErrorCodes.NO_ERROR, b"")]
    async with asyncio.timeout(1):
        while not here.peer.transport.closed:
            await asyncio.sleep(0.002)


# --- who is too old


async def test_who_is_too_old_is_drained_and_what_runs_is_finished(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http2, "DRAIN_NOTICE", 0.01)
    here = await world(census=Census(10, 100.0))
    running = await here.ask(DO, WEB)
    await here.tick(89)
    assert here.peer.goaways == []
    await here.tick(22)
    assert here.peer.goaways == [GoAway(2**31 - 1, ErrorCodes.NO_ERROR, b"")]
    on_its_way = await here.ask(DO, WEB)
    await here.answer()
    assert here.peer.ended(on_its_way)
    async with asyncio.timeout(1):
        while len(here.peer.goaways) == 1:
            await asyncio.sleep(0.002)
            await here.peer.talk()
    await here.tick(1000)
    assert not here.peer.transport.closed
    here.up.replies[0].reply_end(Status(Code.OK), [])
    await here.peer.talk()
    assert here.peer.ended(running)
    await closed(here)


async def test_another_age_holds_for_who_is_there() -> None:
    here = await world()
    await here.ask(DO, WEB)
    await here.tick(1e9)
    assert here.peer.goaways == []
    here.census.max_connection_age = 1e6
    await here.tick(0)
    assert here.peer.goaways == [GoAway(2**31 - 1, ErrorCodes.NO_ERROR, b"")]
