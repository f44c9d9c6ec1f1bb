"""A hostile client over HTTP/2: one that stops, in whatever way and wherever. It is let go, and nobody else notices."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from gateway.demo.pb import demo_pb2
from gateway.front import http2 as front_http2
from gateway.front import switch
from gateway.http2 import MAX_STREAMS, SEND_BUFFER, STREAM_WINDOW, WRITE_BUFFER, Link
from gateway.http2.wire import PING_TIMEOUT
from tests.support import http2
from tests.support.backends import ScriptedBackend
from tests.support.behaviours import PIECE
from tests.support.frames import message, take_apart
from tests.support.frames_http2 import (
    GREETING,
    INITIAL_WINDOW_SIZE,
    PREFACE,
    continuation,
    data,
    headers,
    ping,
    reset,
    settings,
    window_update,
)
from tests.support.gateway import DEMO, RunningGateway, at_rest, eventually, running
from tests.support.hostile import CANCEL, ECHO, GOOD, MIB, attacker, call, code, flood_call, open_call, waiting
from tests.support.http2 import PING
from tests.support.raw_http2 import hostile_client

pytestmark = pytest.mark.asyncio(loop_scope="module")

STALL = 0.5  # seconds: body_stall


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(backend: ScriptedBackend) -> AsyncIterator[RunningGateway]:
    async with running(backend.behind(body_stall=f"{int(STALL * 1000)}ms")) as gateway:
        ticking = asyncio.create_task(tick(gateway))
        yield gateway
        ticking.cancel()
        await asyncio.gather(ticking, return_exceptions=True)


async def tick(gateway: RunningGateway) -> None:
    """Twenty times as often as the gateway itself: nothing is decided otherwise, but sooner."""
    while True:
        gateway.gateway._http2.tick(asyncio.get_running_loop().time())
        await asyncio.sleep(0.05)


# --- windows


async def test_a_window_of_nothing(gateway: RunningGateway, backend: ScriptedBackend) -> None:
    async with hostile_client(gateway.port, greeting=GREETING + settings((INITIAL_WINDOW_SIZE, 0))) as peer:
        already = backend.sent
        await peer.send(flood_call(gateway))
        await peer.until(lambda: bool(peer.said(1).heads))
        (link,) = (each for each in gateway.gateway._http2.links if waiting(each))
        sent = await at_rest(lambda: backend.sent, pause=0.1) - already
        assert waiting(link) <= SEND_BUFFER + STREAM_WINDOW + PIECE
        assert sent * PIECE <= SEND_BUFFER + 2 * STREAM_WINDOW + 5 * MIB  # what waits here, there and in grpc-core
        said = await peer.answer(1)  # after body_stall
        assert (said.data, said.reset) == (b"", CANCEL)
        await eventually(lambda: backend.open == 0)
        await peer.send(window_update(100_000, 1), settings((INITIAL_WINDOW_SIZE, 65_535)))
        await call(gateway, peer, 3)


async def test_windows_of_one_byte(gateway: RunningGateway) -> None:
    async with http2.connect(gateway.port, settings={http2.SettingCodes.INITIAL_WINDOW_SIZE: 1}) as client:
        request = http2.head(DEMO + "Echo", *gateway.headers().items())
        stream = await client.request(request, message(demo_pb2.EchoRequest(text="a" * 200)))
        size = 0
        while len(await stream.received(size := size + 1)) == size and not stream.ended:
            await stream.open_window(1)
        assert {len(chunk) for chunk in stream.chunks} <= {0, 1}
        assert take_apart(stream.data)[1].code == 0


async def test_windows_that_open_and_close(gateway: RunningGateway, backend: ScriptedBackend) -> None:
    """A smaller initial window makes those of open streams negative (RFC 9113, section 6.9.2)."""
    async with attacker(gateway) as (peer, link):
        await peer.send(flood_call(gateway))
        for size in (0, 1, 2**31 - 1, 0, 100_000, 0, 1_000_000) * 3:
            await peer.send(settings((INITIAL_WINDOW_SIZE, size)), window_update(100_000))
            await peer.pong(b"%08d" % len(peer.frames))
            assert waiting(link) <= SEND_BUFFER + STREAM_WINDOW + PIECE
        assert peer.goaway is None
        assert not peer.said(1).over
        await peer.send(reset(1))


# --- readers


@pytest.mark.parametrize("calls", [1, 20])
@pytest.mark.parametrize("tls", [False, True])
async def test_a_reader_that_never_reads(
    gateway: RunningGateway, backend: ScriptedBackend, tls: bool, calls: int
) -> None:
    port, context = gateway.door(tls, "h2")
    greeting = GREETING + settings((INITIAL_WINDOW_SIZE, 2**31 - 1)) + window_update(2**31 - 1 - 65_535)
    before = set(gateway.gateway._http2.links)
    async with hostile_client(port, greeting=greeting, context=context, deaf=True) as peer:
        await peer.pong()
        (link,) = gateway.gateway._http2.links - before
        peer.wire.stop_reading()
        already = backend.sent
        await peer.send(*[flood_call(gateway, stream) for stream in range(1, 2 * calls, 2)])
        await eventually(lambda: backend.open == calls)
        await at_rest(lambda: backend.sent, pause=0.1)
        assert not link.transport.is_reading()  # who does not read is not read from
        assert link.transport.get_write_buffer_size() <= WRITE_BUFFER + calls * (STREAM_WINDOW + PIECE)
        assert waiting(link) <= calls * (SEND_BUFFER + STREAM_WINDOW + PIECE)
        assert (backend.sent - already) * PIECE <= calls * 8 * MIB
        await eventually(lambda: gateway.open_calls == 1, STALL + 4)
        await eventually(lambda: backend.open == 0)


async def test_a_reader_of_answers_to_small_calls_that_never_reads(gateway: RunningGateway) -> None:
    """Each answer is complete and small; it is their number that fills the connection."""
    greeting = GREETING + settings((INITIAL_WINDOW_SIZE, 2**31 - 1)) + window_update(2**31 - 1 - 65_535)
    body = message(demo_pb2.EchoRequest(payload=bytes(8000)))
    async with hostile_client(gateway.port, greeting=greeting, deaf=True) as peer:
        peer.wire.stop_reading()
        with contextlib.suppress(TimeoutError, ConnectionError):
            for stream in range(1, 4001, 2):
                async with asyncio.timeout(0.3):
                    await peer.wire.send(open_call(gateway, stream, "Echo") + data(stream, body, end=True))
        assert gateway.open_calls <= 1 + MAX_STREAMS
        await eventually(lambda: gateway.open_calls == 1, STALL + 4)


async def test_a_reader_that_is_slow_loses_nothing(gateway: RunningGateway) -> None:
    size = 2_000_000
    request = http2.head(DEMO + "Count", *gateway.headers().items())
    async with http2.connect(gateway.port, update_windows=True, deaf=True) as client:
        client.wire.stop_reading()
        stream = await client.request(request, message(demo_pb2.CountRequest(count=1, payload_bytes=size)))
        while not stream.ended:
            await asyncio.sleep(STALL / 5)
            client.wire.read_again()
            await stream.received(min(len(stream.data) + 100_000, size))
            client.wire.stop_reading()
        messages, status, _ = take_apart(stream.data)
        assert (len(messages), status.code) == (1, 0)


# --- who says nothing, or half of something


async def ticks(link: Link, *seconds: float) -> None:
    """What the gateway's own tick finds after so many seconds, one after the other."""
    now = asyncio.get_running_loop().time()
    for later in seconds:
        link.tick(now + later)
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    "said", [b"", settings()[:-1], b"\0\0\6\4\0\0\0\0\0\0"], ids=["nothing", "half a frame", "half a value"]
)
async def test_who_never_greets(gateway: RunningGateway, said: bytes) -> None:
    before = set(gateway.gateway._http2.links)
    async with hostile_client(gateway.port, greeting=PREFACE + said) as peer:
        await eventually(lambda: len(gateway.gateway._http2.links - before) == 1)
        (link,) = gateway.gateway._http2.links - before
        await ticks(link, front_http2.GREETING_TIMEOUT - 1)
        assert not peer.closed
        await ticks(link, front_http2.GREETING_TIMEOUT + 1)
        await peer.until_closed()


@pytest.mark.parametrize("piece", [b"", PREFACE[:1], PREFACE[:-1]])
async def test_who_never_says_what_he_speaks(
    gateway: RunningGateway, piece: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(switch, "FIRST_BYTES_TIMEOUT", 0.2)
    async with hostile_client(gateway.port, greeting=b"") as peer:
        for byte in piece:
            await peer.send(bytes((byte,)))
        await peer.until_closed()
        assert not peer.frames


@pytest.mark.parametrize(
    "said",
    [
        b"",
        headers(1, GOOD)[:5],
        headers(1, GOOD)[:-1],
        headers(1, GOOD, more=True),
        headers(1, GOOD, more=True) + continuation(1, b"", more=True),
    ],
    ids=["nothing", "half a frame's head", "half a frame", "half a block", "a block without end"],
)
async def test_a_request_that_is_never_complete(gateway: RunningGateway, said: bytes) -> None:
    """It is no stream yet, so it keeps no connection open, however often a byte comes."""
    async with attacker(gateway) as (peer, link):
        await peer.send(said)
        await ticks(link, front_http2.IDLE_TIMEOUT - 1)
        assert not peer.closed
        await peer.send(ping()[:1])
        await ticks(link, front_http2.IDLE_TIMEOUT + 1)
        await peer.until_closed()


async def test_who_is_silent_with_a_call_open(gateway: RunningGateway, backend: ScriptedBackend) -> None:
    async with attacker(gateway) as (peer, link):
        await peer.send(open_call(gateway))
        await gateway.world.backend.wait_open(2)
        await ticks(link, front_http2.PING_INTERVAL + 1)
        await peer.until(lambda: peer.count(PING, 0) == 1)
        await ticks(link, front_http2.PING_INTERVAL + PING_TIMEOUT + 2)
        await peer.until_closed()
        await gateway.world.backend.wait_open(1)


@pytest.mark.parametrize(
    "body", [ECHO[:3], ECHO[:-1], ECHO + ECHO[:6]], ids=["half a prefix", "half", "one and a half"]
)
async def test_a_message_that_never_ends(gateway: RunningGateway, body: bytes) -> None:
    async with attacker(gateway) as (peer, _):
        await peer.send(open_call(gateway, method="Collect"), data(1, body))
        assert code(await peer.answer(1)) == 4
        await call(gateway, peer, 3)
