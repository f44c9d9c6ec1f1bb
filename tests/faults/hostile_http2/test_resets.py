"""A hostile client over HTTP/2: too many streams, to be reset or at once. It is bounded, and nobody else notices."""

import contextlib

import pytest

from gateway.http2 import MAX_STREAMS
from tests.support.frames_http2 import PREFACE, block, data, headers, indexed, literal, reset, settings, window_update
from tests.support.gateway import DEMO, RunningGateway, arrived
from tests.support.hostile import ECHO, PROTOCOL_ERROR, REFUSED_STREAM, assert_gives_nothing_away, attacker, call, head
from tests.support.http2 import frame
from tests.support.raw_http2 import hostile_client

pytestmark = pytest.mark.asyncio(loop_scope="module")

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
