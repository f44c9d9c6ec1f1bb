"""One call over HTTP/2: what goes over the wire, either way."""

import asyncio
import gzip
import struct
from collections.abc import AsyncIterator

import pytest

from gateway.protocol import timeout
from gateway.protocol.metadata import Header
from gateway.protocol.status import Status
from tests.support.backend_http2 import Backend, ErrorCodes, Request, backend, silent
from tests.support.frames import message
from tests.unit.upstream.caller import MAX_RESPONSE, Caller, call, nothing_open, upstream_to

REFUSED = ErrorCodes.REFUSED_STREAM
OK = (b"grpc-status", b"0")


@pytest.fixture
async def quiet() -> AsyncIterator[Backend]:
    """Takes everything and says nothing."""
    async with backend(silent) as quiet:
        yield quiet


# --- the wire


async def test_the_request_on_the_wire() -> None:
    metadata: list[Header] = [
        (b"x-one", b"1"), (b"x-two", b"a"), (b"x-raw-bin", b"AP8"), (b"x-two", b"b"), (b"authorization", b"Bearer t"),
    ]  # fmt: skip
    async with backend() as there, upstream_to(there) as upstream:
        caller = call(upstream, message(b"one") + message(b""), *metadata)
        assert await caller.end() == Status(0)
        assert (caller.head, caller.data, caller.trailers) == ([], message(b"one") + message(b""), [])
        (request,) = there.requests
        assert request.data == message(b"one") + message(b"")
        assert request.ended
        assert sorted(request.headers[:4]) == [
            (b":authority", there.target.encode()),
            (b":method", b"POST"),
            (b":path", b"/test.v1.Test/Do"),
            (b":scheme", b"http"),
        ]
        own = [header for header in request.headers[4:] if header not in metadata]
        assert sorted(own) == [
            (b"content-type", b"application/grpc+proto"),
            (b"grpc-accept-encoding", b"identity"),
            (b"te", b"trailers"),
            (b"user-agent", b"test/1"),
        ]
        assert [header for header in request.headers if header in metadata] == metadata


async def test_the_body_crosses_as_it_comes_and_so_does_the_reply() -> None:
    step = asyncio.Semaphore(0)

    async def converse(request: Request) -> None:
        request.head((b"x-early", b"1"))
        for _ in range(2):
            await step.acquire()
            await request.send(b"ab")
        await request.whole()
        request.trailers(OK)

    async with backend(converse) as there, upstream_to(there) as upstream:
        caller = call(upstream, b"", end=False)
        assert caller.stream is not None
        await caller.until(lambda: caller.head == [(b"x-early", b"1")])  # before any byte of the request
        for sent in (b"\0\0", b"\0\0\0"):  # a frame may come in any pieces
            caller.stream.send(sent)
            step.release()
            await caller.until(lambda sent=sent: caller.size == 2 * len(there.requests[0].chunks) > 0)  # type: ignore[misc]
        caller.stream.end()
        assert await caller.end() == Status(0)
        assert there.requests[0].data == message(b"")


async def test_the_deadline_that_is_left_is_forwarded(quiet: Backend) -> None:
    quiet.greets = False
    async with upstream_to(quiet) as upstream:
        await quiet.until(lambda: bool(quiet.connections))
        loop = asyncio.get_running_loop()
        deadline = loop.time() + 7.0
        timed, untimed = call(upstream, deadline=deadline), call(upstream)
        await asyncio.sleep(0.3)  # the time that a call waits is its own
        (connection,) = quiet.connections
        connection.greet()
        await quiet.arrivals(2)
        left = timeout.parse(quiet.requests[0].fields[b"grpc-timeout"])
        assert deadline - loop.time() - 0.01 < left < 6.71
        assert b"grpc-timeout" not in quiet.requests[1].fields
        await asyncio.sleep(0.02)  # the loop's clock ticks in milliseconds
        quiet.requests[0].rst(REFUSED)
        await quiet.arrivals(3)
        assert timeout.parse(quiet.requests[2].fields[b"grpc-timeout"]) < left
        timed.cancel()
        untimed.cancel()


async def test_a_deadline_that_is_over_is_said_to_be(quiet: Backend) -> None:
    async with upstream_to(quiet) as upstream:
        caller = call(upstream, deadline=asyncio.get_running_loop().time() - 1)
        (request,) = await quiet.arrivals(1)
        assert request.fields[b"grpc-timeout"] == b"0n"
        caller.cancel()


# --- compressed replies

TEXT = b"the same again and again " * 100
GZIP = (b"grpc-encoding", b"gzip")
PACKED = message(gzip.compress(TEXT), flags=1)


async def compressed(body: bytes, *, names_encodings: bool = False) -> Caller:
    async def answer(request: Request) -> None:
        request.head(GZIP, (b"x-a", b"1"))
        for start in range(0, len(body), 1000):
            await request.send(body[start : start + 1000])
        request.trailers(OK)

    async with backend(answer) as there, upstream_to(there) as upstream:
        caller = call(upstream, names_encodings=names_encodings)
        await caller.end()
        await nothing_open(upstream)
        assert (b"grpc-accept-encoding" in there.requests[0].fields) != names_encodings
        return caller


async def test_a_reply_that_is_compressed_unasked_is_opened() -> None:
    caller = await compressed(PACKED + message(b"plain") + PACKED)
    assert (caller.head, caller.status) == ([(b"x-a", b"1")], Status(0))
    assert caller.data == message(TEXT) + message(b"plain") + message(TEXT)


async def test_a_reply_that_is_compressed_for_a_caller_that_can_open_it_passes_as_it_is() -> None:
    caller = await compressed(PACKED, names_encodings=True)
    assert (caller.head, caller.status, caller.data) == ([GZIP, (b"x-a", b"1")], Status(0), PACKED)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (message(b"no gzip", flags=1), 13),
        (PACKED[:-1], 13),
        (message(b"m", flags=2), 13),
        (message(b"m", flags=0x80), 13),
        (message(gzip.compress(bytes(MAX_RESPONSE + 1)), flags=1), 8),
        (struct.pack(">BI", 0, MAX_RESPONSE + 1), 8),
    ],
    ids=["corrupt", "cut short", "unknown flag", "trailers", "opens to too much", "too long"],
)
async def test_a_compressed_reply_that_cannot_be_opened(body: bytes, code: int) -> None:
    caller = await compressed(message(b"good") + body)
    assert caller.status is not None
    assert caller.status.code == code
