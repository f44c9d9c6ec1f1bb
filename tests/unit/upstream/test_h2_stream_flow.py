"""Leaving and waiting: what a caller that stands still, or goes, costs the backend, the gateway and the other calls."""

import asyncio
import gzip
import struct

import pytest

from gateway.http2 import SEND_BUFFER, STREAM_WINDOW
from gateway.protocol.status import Status
from gateway.upstream import backend_link
from gateway.upstream.h2_stream import HELD
from tests.support.backend_http2 import ErrorCodes, Request, backend, ok, silent
from tests.support.frames import message
from tests.support.http2 import RST_STREAM, frame
from tests.unit.upstream.caller import MAX_REQUEST, call, nothing_open, upstream_to

MIB = 1024 * 1024
PIECE = 64 * 1024
SOON = 0.1  # seconds within which a caller's leave must reach the backend
OK = (b"grpc-status", b"0")
FAST = b"/test.v1.Test/Fast"


# --- leaving


@pytest.mark.parametrize("begun", [False, True])
async def test_a_caller_that_leaves_resets_the_stream(begun: bool) -> None:
    async def answer(request: Request) -> None:
        if begun:
            request.head()

    async with backend(answer) as there, upstream_to(there) as upstream:
        caller = call(upstream, end=False)
        await (caller.until(lambda: caller.head is not None) if begun else there.arrivals(1))
        (request,) = there.requests
        left_at = asyncio.get_running_loop().time()
        caller.cancel()
        await there.until(lambda: request.reset is not None)
        assert request.reset == ErrorCodes.CANCEL
        assert request.reset_at - left_at < SOON
        await nothing_open(upstream)
        assert caller.ends == 0


async def test_a_caller_that_leaves_at_once_leaves_nothing_behind() -> None:
    async with backend(silent) as there, upstream_to(there) as upstream:
        assert await upstream.reachable()
        for _ in range(50):
            call(upstream).cancel()  # before a byte of it has left
        await nothing_open(upstream)
        there.answer = ok
        assert await call(upstream).end() == Status(0)
        assert not there.connections[0].open
        assert len(there.connections) == 1


async def test_a_reset_that_crosses_another_leaves_nothing_behind() -> None:
    """Both ends break off at once: the backend's RST_STREAM is for a stream that is gone already."""
    async with backend(silent) as there, upstream_to(there) as upstream:
        assert await upstream.reachable()
        (link,) = upstream.pool.ready
        for number in range(20):
            caller = call(upstream)
            request = (await there.arrivals(number + 1))[-1]
            caller.cancel()
            await there.until(lambda request=request: request.reset is not None)  # type: ignore[misc]
            request.connection.transport.write(frame(RST_STREAM, 0, request.id, struct.pack(">I", ErrorCodes.CANCEL)))
        there.answer = ok
        assert await call(upstream).end() == Status(0)  # all that was sent before it has been read
        assert upstream.pool.ready == [link]
        assert not link._reset_by_peer


async def test_a_call_that_the_backend_breaks_off_leaves_nothing_behind() -> None:
    """Its request was complete: nobody may wait for the end of a stream that is closed."""

    async def break_off(request: Request) -> None:
        await request.whole()
        request.rst(ErrorCodes.INTERNAL_ERROR)

    async with backend(break_off) as there, upstream_to(there) as upstream:
        for _ in range(3):
            assert (await call(upstream).end()).code == 13
        (link,) = upstream.pool.ready
        assert not link._unfinished


async def test_a_caller_that_leaves_when_all_is_said_says_nothing() -> None:
    async with backend() as there, upstream_to(there) as upstream:
        caller = call(upstream)
        await caller.end()
        caller.cancel()
        assert await call(upstream).end() == Status(0)
        assert [request.reset for request in there.requests] == [None, None]


async def test_replies_to_callers_that_left_give_their_room_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend_link, "CONNECTION_WINDOW", 12 * MIB)

    async def pour(request: Request) -> None:
        request.head()
        await request.send(bytes(8 * MIB))

    async with backend(pour) as there, upstream_to(there) as upstream:
        assert await upstream.reachable()
        for _ in range(4):
            callers = [call(upstream) for _ in range(10)]
            for caller in callers:
                assert caller.stream is not None
                caller.stream.pause()
            for caller in callers:
                await caller.until(lambda caller=caller: caller.size > MIB // 2)  # type: ignore[misc]
                caller.cancel()
            await nothing_open(upstream)
            await there.until(lambda: not there.connections[0].open)
        there.answer = ok
        body = message(bytes(3 * MIB))
        assert await call(upstream, body).end() == Status(0)
        assert len(there.connections) == 1


# --- readers that stand still


async def test_readers_that_stand_still_keep_the_window_of_their_own_stream_alone() -> None:
    size = 3 * MIB // 2

    async def answer(request: Request) -> None:
        if request.fields[b":path"] == FAST:
            await ok(request)
            return
        request.head()
        await request.send(bytes([request.id % 251]) * size)
        request.trailers(OK)

    async with backend(answer) as there, upstream_to(there) as upstream:
        stalled = [call(upstream) for _ in range(24)]
        for caller in stalled:
            assert caller.stream is not None
            caller.stream.pause()
        for caller in stalled:
            await caller.until(lambda caller=caller: caller.size >= STREAM_WINDOW)  # type: ignore[misc]
        body = message(bytes(2 * MIB))
        fast = [call(upstream, body, path=FAST) for _ in range(4)]  # more than a window of their own
        for caller in fast:
            assert await caller.end() == Status(0)
            assert caller.data == body
        assert len(there.connections) == 1
        for caller, request in zip(stalled, there.requests, strict=False):
            assert (caller.size, request.sent, caller.status) == (STREAM_WINDOW, STREAM_WINDOW, None)
        for caller in stalled:
            assert caller.stream is not None
            caller.stream.resume()
        for caller, request in zip(stalled, there.requests, strict=False):
            assert await caller.end() == Status(0)
            assert caller.data == bytes([request.id % 251]) * size


async def test_a_reply_that_ends_while_its_reader_stands_still_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend_link, "CONNECTION_WINDOW", 2 * MIB)

    async def answer(request: Request) -> None:
        request.head()
        await request.send(bytes(MIB // 2))
        request.trailers(OK)

    async with backend(answer) as there, upstream_to(there) as upstream:
        for _ in range(20):  # more in all than the connection's window
            caller = call(upstream)
            assert caller.stream is not None
            caller.stream.pause()
            assert await caller.end() == Status(0)
            await nothing_open(upstream)
        assert len(there.connections) == 1


async def test_a_reader_that_stands_still_holds_back_what_would_be_opened() -> None:
    """A window of compressed bytes may be a thousand times as much."""
    large = bytes(64 * 1024)
    packed = message(gzip.compress(large), flags=1)

    async def answer(request: Request) -> None:
        request.head((b"grpc-encoding", b"gzip"))
        await request.send(packed * 200)
        request.trailers(OK)

    async with backend(answer) as there, upstream_to(there) as upstream:
        caller = call(upstream)
        assert caller.stream is not None
        caller.stream.pause()
        (request,) = await there.arrivals(1)
        await there.until(lambda: request.replied)
        assert await call(upstream, path=FAST).end() == Status(0)  # all that was sent before it has been read
        assert caller.size <= 2 * MIB
        caller.stream.resume()
        assert await caller.end() == Status(0)
        assert caller.data == message(large) * 200


# --- backends that stand still


async def test_a_backend_that_stands_still_pauses_its_caller_alone() -> None:
    async def answer(request: Request) -> None:
        if request.fields[b":path"] == FAST:
            await ok(request)

    async with backend(answer) as there:
        there.holds = True
        async with upstream_to(there) as upstream:
            await there.until(lambda: bool(there.connections))
            (connection,) = there.connections
            connection.widen(64 * MIB)
            assert await upstream.reachable()
            slow = [call(upstream, b"", end=False) for _ in range(20)]
            sent = []
            for caller in slow:
                assert caller.stream is not None
                pieces = 0
                while not caller.paused:
                    assert pieces < 100
                    caller.stream.send(bytes([pieces]) * PIECE)
                    pieces += 1
                    await asyncio.sleep(0)
                sent.append(pieces * PIECE)
            assert max(sent) <= 65535 + SEND_BUFFER + 2 * PIECE
            (link,) = upstream.pool.ready
            assert sum(map(link.waiting, link.streams)) <= 20 * (SEND_BUFFER + PIECE)
            for _ in range(5):
                assert await call(upstream, path=FAST).end() == Status(0)
            assert all(caller.paused for caller in slow)
            connection.release()
            for caller in slow:
                await caller.until(lambda caller=caller: not caller.paused)  # type: ignore[misc]
                assert caller.stream is not None
                caller.stream.end()
            for request, size in zip(there.requests, sent, strict=False):
                assert await request.whole() == b"".join(bytes([each]) * PIECE for each in range(size // PIECE))
            for caller in slow:
                caller.cancel()


async def test_a_long_upload_to_a_backend_with_small_windows_goes_through() -> None:
    """Each 64 KiB of it may cost the backend four frames of WINDOW_UPDATE: no reason to lose patience with it."""
    async with backend(silent) as there, upstream_to(there) as upstream:
        caller = call(upstream, b"", end=False)
        assert caller.stream is not None
        piece = bytes(256_000)  # as uvloop reads them
        for _ in range(250):
            caller.stream.send(piece)
            if caller.paused:
                await caller.until(lambda: not caller.paused or caller.closed)
            assert caller.status is None
        (request,) = there.requests
        await there.until(lambda: request.over or request.size == 250 * len(piece))
        assert caller.status is None
        caller.cancel()


async def test_a_call_that_waits_for_a_connection_and_then_for_the_backend_stays_paused() -> None:
    async with backend(silent) as there:
        there.greets, there.holds = False, True
        async with upstream_to(there) as upstream:
            caller = call(upstream, b"", end=False)
            assert caller.stream is not None
            sent = 0
            while not caller.paused:
                caller.stream.send(bytes(PIECE))
                sent += PIECE
            assert HELD < sent <= HELD + 2 * PIECE
            await there.until(lambda: bool(there.connections))
            (connection,) = there.connections
            connection.greet()
            (request,) = await there.arrivals(1)
            await there.until(lambda: request.size == 65535)
            for _ in range(100):  # what is on its way when the browser is told to wait may still come
                if not caller.paused:
                    caller.stream.send(bytes(PIECE))
                    sent += PIECE
            assert sent <= HELD + SEND_BUFFER + 3 * PIECE
            connection.release()
            await caller.until(lambda: not caller.paused)
            await there.until(lambda: request.size == sent)
            caller.cancel()


async def test_a_call_that_waits_for_a_connection_goes_on_when_there_is_one() -> None:
    async with backend() as there:
        there.greets = False
        async with upstream_to(there) as upstream:
            body = message(bytes(HELD + PIECE))
            caller = call(upstream, body)
            assert caller.paused
            await there.until(lambda: bool(there.connections))
            there.connections[0].greet()
            assert await caller.end() == Status(0)
            assert not caller.paused
            assert caller.data == body


async def test_a_small_compressed_message_that_opens_to_more_than_is_allowed_is_refused() -> None:
    async with backend(silent) as there, upstream_to(there) as upstream:
        caller = call(upstream, b"", end=False, encoding=b"gzip")
        assert caller.stream is not None
        (request,) = await there.arrivals(1)
        caller.stream.send(message(gzip.compress(bytes(MAX_REQUEST + 1)), flags=1))
        assert (await caller.end()).code == 8
        await there.until(lambda: request.reset is not None)
        assert request.size == 0
