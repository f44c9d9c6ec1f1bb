"""One connection to a backend: alive while it answers, left when it is used up."""

import asyncio

import pytest

from gateway import http2
from gateway.upstream import backend_link
from gateway.upstream.backend_link import BackendLink
from tests.support.backend_http2 import Backend, SettingCodes, backend, silent
from tests.support.wire import PATIENCE
from tests.unit.upstream.linking import Keeper, connected, news, open_stream, plain

# --- alive


async def test_a_quiet_connection_with_a_call_is_pinged_and_given_up_without_an_answer() -> None:
    async with backend(silent) as there, connected(there, plain(keepalive=100.0)) as link:
        _, stream = open_stream(link)
        (request,) = await there.arrivals(1)
        (connection,) = there.connections
        link.heard_at = now = link.now - 1000
        link.tick(now + 99)
        link.tick(now + 101)
        await there.until(lambda: connection.pings == 1)
        await news(lambda: link.heard_at > now)  # the answer
        now = link.heard_at
        link.tick(now + 1)
        link.tick(now + 99)
        assert connection.pings == 1
        connection.answers_pings = False
        link.tick(now + 101)
        await there.until(lambda: connection.pings == 2)
        link.tick(now + 101 + http2.wire.PING_TIMEOUT - 1)
        assert not link.closed.done()
        link.tick(now + 101 + http2.wire.PING_TIMEOUT + 1)
        await asyncio.wait_for(link.closed, PATIENCE)
        assert stream.gone == ["lost"]
        await there.until(lambda: request.over)


async def test_a_connection_without_calls_is_not_pinged() -> None:
    """gRPC's servers take it for abuse (keepalive.md, `permit_keepalive_without_calls`)."""
    async with backend(silent) as there, connected(there, plain(keepalive=10.0)) as link:
        for each in range(1, 20):
            link.tick(link.heard_at + 11 * each)
        await all_read(there, link)
        assert there.connections[0].pings == 0
        assert not link.closed.done()


async def test_without_a_keepalive_there_is_no_ping() -> None:
    async with backend(silent) as there, connected(there, plain(keepalive=None)) as link:
        open_stream(link)
        await there.arrivals(1)
        link.tick(link.heard_at + 1e6)
        await all_read(there, link)
        assert there.connections[0].pings == 0


async def all_read(there: Backend, link: BackendLink) -> None:
    """Return once the backend has read all that was sent."""
    before = len(there.requests)
    open_stream(link)
    await there.arrivals(before + 1)


async def test_a_backend_that_no_longer_reads_is_given_up() -> None:
    """It may say much; what it must take does not leave."""
    most = {SettingCodes.INITIAL_WINDOW_SIZE: 2**28}
    async with backend(silent, settings=most) as there, connected(there, plain()) as link:
        number, stream = open_stream(link)
        await there.arrivals(1)
        (connection,) = there.connections
        connection.widen(2**28)
        await all_read(there, link)
        connection.stop_reading()
        later = link.now
        for _ in range(500):
            link.send(number, bytes(256 * 1024))
            await asyncio.sleep(0)
            if link.stuck_for(link.now + 1) > 0:
                break
        await asyncio.sleep(0.05)  # the sockets between are full
        for seconds in (1, backend_link.STUCK_TIMEOUT - 1):
            link.tick(later + seconds)
        assert not link.closed.done()
        link.tick(link.now + 1)
        link.tick(link.now + backend_link.STUCK_TIMEOUT + 2)
        await asyncio.wait_for(link.closed, PATIENCE)
        assert stream.gone == ["lost"]


# --- used up


async def test_room_is_what_the_backend_says() -> None:
    keeper = Keeper()
    limit = {SettingCodes.MAX_CONCURRENT_STREAMS: 2}
    async with backend(silent, settings=limit) as there, connected(there, plain(), keeper) as link:
        assert link.has_room
        number, _ = open_stream(link)
        assert link.has_room
        open_stream(link)
        assert not link.has_room
        assert link.load == 2
        requests = await there.arrivals(2)
        there.connections[0].announce({SettingCodes.MAX_CONCURRENT_STREAMS: 3})
        await news(lambda: link.max_streams == 3)
        assert link.has_room
        keeper.said.clear()
        requests[0].rst(8)
        await news(lambda: link.load == 1)
        assert keeper.said == ["room"]
        assert number == 1


async def test_a_connection_that_is_retired_takes_nothing_new_and_closes_with_its_last_call() -> None:
    keeper = Keeper()
    async with backend(silent) as there, connected(there, plain(), keeper) as link:
        _, stream = open_stream(link)
        (request,) = await there.arrivals(1)
        link.retire()
        link.retire()
        assert not link.has_room
        assert keeper.said.count("retired") == 1
        assert not there.connections[0].closed
        request.rst(8)
        await asyncio.wait_for(link.closed, PATIENCE)
        assert stream.gone == ["closed 8"]
        assert keeper.said.count("lost") == 1
        await there.until(lambda: there.connections[0].closed)
        assert there.connections[0].goaway == (0, 0)  # it says goodbye


async def test_a_connection_that_is_lost_tells_its_keeper_once_and_every_stream() -> None:
    keeper = Keeper()
    async with backend(silent) as there, connected(there, plain(), keeper) as link:
        streams = [open_stream(link)[1] for _ in range(3)]
        await there.arrivals(3)
        keeper.said.clear()
        there.connections[0].abort()
        await asyncio.wait_for(link.closed, PATIENCE)
        assert keeper.said == ["retired", "lost"]
        assert [stream.gone for stream in streams] == [["lost"]] * 3


async def test_a_connection_whose_numbers_end_is_retired(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend_link, "LAST_STREAM", 5)
    async with backend(silent) as there, connected(there, plain()) as link:
        assert [open_stream(link)[0] for _ in range(3)] == [1, 3, 5]
        assert not link.has_room
        assert len(await there.arrivals(3)) == 3


async def test_a_connection_that_is_closing_opens_nothing() -> None:
    async with backend(silent) as there, connected(there, plain()) as link:
        link.close()
        assert open_stream(link)[0] == 0
        assert link.retired
        await there.until(lambda: not there.standing)


async def test_a_connection_that_has_lost_its_window_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a caller has not consumed is not lost; what nobody owes and the engine has never given back is."""
    keeper = Keeper()
    monkeypatch.setattr(backend_link, "CONNECTION_WINDOW", 400_000)
    async with backend(silent) as there, connected(there, plain(), keeper) as link:
        number, _ = open_stream(link)
        link.hold(number)
        (request,) = await there.arrivals(1)
        request.head()
        await request.send(bytes(350_000))
        await news(lambda: link.unacknowledged == 350_000)
        link.tick(link.now)
        assert not link.retired
        link._held.clear()
        link.tick(link.now)
        assert link.retired
        assert keeper.said.count("retired") == 1
        assert not link.closed.done()
        link.reset(number, 8)
        await asyncio.wait_for(link.closed, PATIENCE)
