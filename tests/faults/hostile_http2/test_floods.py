"""A hostile client over HTTP/2: too many frames that are allowed. It is bounded, and nobody else notices."""

import asyncio
import contextlib
import socket

import pytest

from gateway.http2 import WRITE_BUFFER
from tests.support.frames_http2 import (
    GREETING,
    INITIAL_WINDOW_SIZE,
    PRIORITY,
    continuation,
    data,
    goaway,
    headers,
    literal,
    ping,
    reset,
    settings,
    window_update,
)
from tests.support.gateway import RunningGateway
from tests.support.hostile import (
    ENHANCE_YOUR_CALM,
    GOOD,
    INTERNAL_ERROR,
    MIB,
    Bystander,
    assert_gives_nothing_away,
    attacker,
    open_call,
)
from tests.support.http2 import frame
from tests.support.wire import PATIENCE

pytestmark = pytest.mark.asyncio(loop_scope="module")

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
