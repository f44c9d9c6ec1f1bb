"""A hostile client over HTTP/2: too much of what is allowed. It is bounded, and nobody else notices."""

import asyncio
import contextlib
import socket

import pytest

from gateway.http2 import MAX_STREAMS, WRITE_BUFFER
from tests.support.frames_http2 import (
    GREETING,
    INITIAL_WINDOW_SIZE,
    PREFACE,
    PRIORITY,
    block,
    continuation,
    data,
    goaway,
    headers,
    indexed,
    literal,
    ping,
    reset,
    settings,
    window_update,
)
from tests.support.gateway import DEMO, RunningGateway, arrived
from tests.support.hostile import (
    ECHO,
    ENHANCE_YOUR_CALM,
    GOOD,
    INTERNAL_ERROR,
    MIB,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    Bystander,
    assert_gives_nothing_away,
    attacker,
    call,
    head,
    open_call,
)
from tests.support.http2 import frame
from tests.support.raw_http2 import hostile_client
from tests.support.wire import PATIENCE

pytestmark = pytest.mark.asyncio(loop_scope="module")


# --- floods


ENOUGH = 3000  # frames: more than a client that means well sends in a second, and nothing to a machine

FLOODS = {
    "PRIORITY": frame(PRIORITY, 0, 1, b"\0\0\0\0\0"),
    "empty DATA": data(1),
    "DATA of no padding alone": data(1, padding=0),
    "unknown frames": frame(0x99, 0, 0),
    "PRIORITY_UPDATE": frame(0x10, 0, 0, b"\0\0\0\1u=1"),
    "ALTSVC": frame(0xA, 0, 0, b"\0\1zh2=1"),
    "PING": ping(),
    "SETTINGS": settings(),
    "SETTINGS that say something": settings(*[(INITIAL_WINDOW_SIZE, 65_535)] * 32),
    "RST_STREAM": reset(1),
    "WINDOW_UPDATE": window_update(1),
    "WINDOW_UPDATE of a stream": window_update(1, 1),
    "PONG": ping(flags=1),
    "GOAWAY": goaway(),
}


@pytest.mark.parametrize("name", FLOODS)
async def test_a_flood_ends_the_connection(gateway: RunningGateway, name: str) -> None:
    async with attacker(gateway) as (peer, _):
        await peer.send(open_call(gateway))
        await gateway.world.backend.wait_open(2)
        await peer.push(FLOODS[name] * ENOUGH)
        await peer.until_closed()
        assert peer.goaway in (ENHANCE_YOUR_CALM, INTERNAL_ERROR)
        assert_gives_nothing_away(peer)
        await gateway.world.backend.wait_open(1)


@pytest.mark.parametrize("unit", [ping(), settings()], ids=["PING", "SETTINGS"])
async def test_a_flood_whose_answers_are_read_ends_the_connection_too(gateway: RunningGateway, unit: bytes) -> None:
    async with attacker(gateway) as (peer, _):
        with contextlib.suppress(ConnectionError):
            for number in range(ENOUGH // 100):
                await peer.send(unit * 100)
                await peer.pong(b"%08d" % number)
        await peer.until_closed()
        assert peer.goaway == ENHANCE_YOUR_CALM


def swamp(port: int, first: bytes, flood: bytes, rounds: int) -> None:
    """Run in a thread: write faster than anybody reads."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as line, contextlib.suppress(OSError):
        line.sendall(first)
        for _ in range(rounds):
            line.sendall(flood)


@pytest.mark.parametrize("unit", [data(1, b"x"), window_update(1, 1)], ids=["DATA", "WINDOW_UPDATE"])
async def test_one_connection_has_its_turn_and_others_have_theirs(
    gateway: RunningGateway, bystander: Bystander, unit: bytes
) -> None:
    """Frames of a closed stream cost next to nothing, and so they may come. Who reads a socket until it is empty would
    do nothing else.
    """
    first = GREETING + open_call(gateway) + reset(1)
    already = bystander.rounds
    await asyncio.to_thread(swamp, gateway.port, first, unit * (MIB // len(unit)), 60)
    assert bystander.rounds - already >= 10


async def test_continuation_without_end(gateway: RunningGateway) -> None:
    for piece in (b"", literal(b"x-a", b"zqxjk"), literal(b"x-a", bytes(range(97, 122)) * 600)):
        async with attacker(gateway) as (peer, _):
            await peer.send(headers(1, GOOD, more=True))
            await peer.push(continuation(1, piece, more=True) * 20)
            await peer.until_closed()
            assert peer.goaway == ENHANCE_YOUR_CALM
            assert_gives_nothing_away(peer)


@pytest.mark.parametrize("unit", [ping(), settings(), settings(*[(INITIAL_WINDOW_SIZE, 65_535)] * 32)])
async def test_answers_that_nobody_reads(gateway: RunningGateway, unit: bytes) -> None:
    """Who does not read is not read from: what waits for him is bounded."""
    async with attacker(gateway, deaf=True) as (peer, link):
        peer.wire.stop_reading()
        most = 0
        with contextlib.suppress(TimeoutError, ConnectionError):
            for _ in range(4000):
                async with asyncio.timeout(0.3):
                    await peer.wire.send(unit * 200)
                most = max(most, link.transport.get_write_buffer_size())
        assert most <= WRITE_BUFFER + 64 * 1024
        assert len(link.streams) == 0


RAPID = {
    "reset at once": lambda good, stream: headers(stream, good) + reset(stream),
    "reset after all of it": lambda good, stream: headers(stream, good) + data(stream, ECHO, end=True) + reset(stream),
    "a head that is none": lambda good, stream: headers(stream, literal(b"x-a", b"1")),
    "trailers that are none": lambda good, stream: headers(stream, good) + headers(stream, indexed(2), end=True),
    "a length that is wrong": lambda good, stream: headers(stream, good + literal(b"content-length", b"3"), end=True),
    "a window of nothing": lambda good, stream: headers(stream, good) + window_update(0, stream),
    "a stream that depends on itself": lambda good, stream: frame(
        1, 0x24, stream, stream.to_bytes(4, "big") + b"\0" + good
    ),
}


@pytest.mark.parametrize("paced", [False, True])
@pytest.mark.parametrize("name", RAPID)
async def test_rapid_reset(gateway: RunningGateway, name: str, paced: bool) -> None:
    """Streams that are opened only to be reset, by the client or by what he makes us do."""
    good = block(head(gateway))
    seen = arrived(gateway)
    streams = range(1, 2 * 1300, 2)
    async with attacker(gateway) as (peer, _):
        for start in range(0, len(streams), 100):
            await peer.push(*[RAPID[name](good, stream) for stream in streams[start : start + 100]])
            if peer.closed:
                break
            if paced:
                with contextlib.suppress(ConnectionError):
                    await peer.pong(b"%08d" % start)
        await peer.until_closed()
        assert peer.goaway is not None
        assert_gives_nothing_away(peer)
    if name == "reset at once":  # in the same breath: no backend hears of it
        assert arrived(gateway) == seen


async def test_rapid_reset_of_calls_that_have_reached_the_backend(gateway: RunningGateway) -> None:
    good = block(head(gateway, DEMO + "Chat"))
    async with attacker(gateway) as (peer, _):
        for start in range(0, 400, 100):
            streams = range(2 * start + 1, 2 * (start + 100), 2)
            await peer.send(*[headers(stream, good) for stream in streams])
            await gateway.world.backend.wait_open(101)
            await peer.send(*[reset(stream) for stream in streams])
            await gateway.world.backend.wait_open(1)
        await call(gateway, peer, 801)


async def test_more_streams_than_were_announced(gateway: RunningGateway) -> None:
    good = block(head(gateway, DEMO + "Chat"))
    streams = range(1, 2 * (MAX_STREAMS + 10), 2)
    async with attacker(gateway) as (peer, link):
        await peer.push(*[headers(stream, good) for stream in streams])
        await peer.until_closed()
        assert peer.goaway == PROTOCOL_ERROR
        assert len(link.streams) <= MAX_STREAMS
    async with hostile_client(gateway.port, greeting=PREFACE + settings()) as peer:  # it may not have heard of it yet
        await peer.send(*[headers(stream, good) for stream in streams])
        await peer.pong()
        await gateway.world.backend.wait_open(MAX_STREAMS + 1)
        refused = [stream for stream in streams if peer.said(stream).reset is not None]
        assert refused == list(streams[MAX_STREAMS:])
        assert {peer.said(stream).reset for stream in refused} == {REFUSED_STREAM}
