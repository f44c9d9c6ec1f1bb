"""A hostile client over HTTP/2: frames that no peer may send, and those that must be ignored. Nobody else notices."""

import pytest

from tests.support.frames import take_apart
from tests.support.frames_http2 import (
    INITIAL_WINDOW_SIZE,
    PRIORITY,
    PUSH_PROMISE,
    SETTINGS_ACK,
    continuation,
    data,
    goaway,
    headers,
    indexed,
    literal,
    number,
    ping,
    reset,
    settings,
    window_update,
)
from tests.support.gateway import RunningGateway
from tests.support.hostile import (
    CANARY,
    COMPRESSION_ERROR,
    ECHO,
    ENHANCE_YOUR_CALM,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    GOOD,
    PROTOCOL_ERROR,
    STREAM_CLOSED,
    assert_gives_nothing_away,
    attacker,
    call,
    open_call,
)
from tests.support.http2 import PING, RST_STREAM, SETTINGS, frame

pytestmark = pytest.mark.asyncio(loop_scope="module")

BROKEN: dict[str, tuple[bytes, int]] = {  # what follows on a connection with one call open, on stream 1
    "DATA after the end": (data(1, end=True) + data(1, ECHO), STREAM_CLOSED),
    "HEADERS after the end": (data(1, end=True) + headers(1, GOOD, end=True), STREAM_CLOSED),
    "DATA on an idle stream": (data(5, ECHO), PROTOCOL_ERROR),
    "DATA on no stream": (data(0, ECHO), PROTOCOL_ERROR),
    "DATA on a stream of ours": (data(2, ECHO), PROTOCOL_ERROR),
    "HEADERS on no stream": (headers(0, GOOD), PROTOCOL_ERROR),
    "HEADERS on a stream of ours": (headers(2, GOOD), PROTOCOL_ERROR),
    "HEADERS that depend on themselves": (frame(1, 0x24, 3, b"\0\0\0\3\0" + GOOD), PROTOCOL_ERROR),
    "RST_STREAM of an idle stream": (reset(5), PROTOCOL_ERROR),
    "RST_STREAM of no stream": (reset(0), PROTOCOL_ERROR),
    "RST_STREAM too short": (frame(RST_STREAM, 0, 1, b"1"), FRAME_SIZE_ERROR),
    "WINDOW_UPDATE of an idle stream": (window_update(1, 5), PROTOCOL_ERROR),
    "WINDOW_UPDATE of nothing": (window_update(0), PROTOCOL_ERROR),
    "WINDOW_UPDATE of nothing on a stream": (window_update(0, 1), PROTOCOL_ERROR),
    "WINDOW_UPDATE too short": (frame(8, 0, 0, b"123"), FRAME_SIZE_ERROR),
    "a window beyond 2^31": (window_update(2**31 - 1), FLOW_CONTROL_ERROR),
    "a stream's window beyond 2^31": (window_update(2**31 - 1, 1), FLOW_CONTROL_ERROR),
    "padding longer than DATA": (frame(0, 8, 1, b"\xff" + ECHO), PROTOCOL_ERROR),
    "padding longer than HEADERS": (frame(1, 0xC, 3, b"\xff" + GOOD), PROTOCOL_ERROR),
    "a frame above 16 KiB": (frame(0, 0, 1, bytes(16_385)), FRAME_SIZE_ERROR),
    "a frame of 16 MiB": (b"\xff\xff\xff" + data(1)[3:] + ECHO, FRAME_SIZE_ERROR),
    "PING too short": (frame(PING, 0, 0, b"1234"), FRAME_SIZE_ERROR),
    "PING on a stream": (frame(PING, 0, 1, b"12345678"), PROTOCOL_ERROR),
    "SETTINGS cut short": (frame(SETTINGS, 0, 0, b"12345"), FRAME_SIZE_ERROR),
    "SETTINGS on a stream": (frame(SETTINGS, 0, 1), PROTOCOL_ERROR),
    "SETTINGS that acknowledge too much": (SETTINGS_ACK, PROTOCOL_ERROR),
    "SETTINGS that acknowledge something": (frame(SETTINGS, 1, 0, bytes(6)), FRAME_SIZE_ERROR),
    "SETTINGS of 33 values": (settings(*[(INITIAL_WINDOW_SIZE, 9)] * 33), ENHANCE_YOUR_CALM),
    "SETTINGS with half a push": (settings((2, 2)), PROTOCOL_ERROR),
    "SETTINGS with a window of 2^31": (settings((INITIAL_WINDOW_SIZE, 2**31)), FLOW_CONTROL_ERROR),
    "SETTINGS with tiny frames": (settings((5, 1)), PROTOCOL_ERROR),
    "GOAWAY on a stream": (frame(7, 0, 1, bytes(8)), PROTOCOL_ERROR),
    "GOAWAY too short": (frame(7, 0, 0, bytes(4)), FRAME_SIZE_ERROR),
    "PUSH_PROMISE": (frame(PUSH_PROMISE, 4, 1, bytes(4) + GOOD), PROTOCOL_ERROR),
    "CONTINUATION of nothing": (continuation(1, GOOD), PROTOCOL_ERROR),
    "CONTINUATION of another stream": (headers(3, GOOD, more=True) + continuation(5, GOOD), PROTOCOL_ERROR),
    "a PING inside a header block": (headers(3, GOOD, more=True) + ping(), PROTOCOL_ERROR),
    "HPACK: an entry that is not there": (headers(3, GOOD + indexed(99)), COMPRESSION_ERROR),
    "HPACK: entry 0": (headers(3, GOOD + indexed(0)), COMPRESSION_ERROR),
    "HPACK: an integer without end": (headers(3, GOOD + b"\xff" * 20), COMPRESSION_ERROR),
    "HPACK: a block cut short": (headers(3, GOOD + literal(b"x", CANARY)[:-1]), COMPRESSION_ERROR),
    "HPACK: a table above the limit": (headers(3, number(2**20, 5, 0x20) + GOOD), COMPRESSION_ERROR),
    "HPACK: no Huffman code": (headers(3, GOOD + b"\0\x81\xff\x81\xff"), COMPRESSION_ERROR),
    "HTTP/1.1": (b"POST /demo.v1.Demo/Echo HTTP/1.1\r\nx-zqxjk: zqxjk\r\n\r\n", FRAME_SIZE_ERROR),
    "garbage": (CANARY * 1000, FRAME_SIZE_ERROR),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_who_breaks_the_protocol_loses_the_connection(gateway: RunningGateway, name: str) -> None:
    frames, error = BROKEN[name]
    async with attacker(gateway) as (peer, _):
        await peer.send(open_call(gateway))
        await gateway.world.backend.wait_open(2)
        await peer.push(frames, open_call(gateway, 7))  # what comes behind is not looked at any more
        await peer.until_closed()
        assert peer.goaway == error
        assert_gives_nothing_away(peer)
        await gateway.world.backend.wait_open(1)


HARMLESS = {
    "unknown frames": frame(0x99, 0xFF, 0, CANARY) + frame(0x99, 0xFF, 1, CANARY),
    "unknown settings": settings((0x99, 1)),
    "SETTINGS of 32 values": settings(*[(INITIAL_WINDOW_SIZE, 65_535)] * 32),
    "PRIORITY of what is to come": frame(PRIORITY, 0, 9, b"\0\0\0\0\0"),
    "PRIORITY that depends on itself": frame(PRIORITY, 0, 9, b"\0\0\0\x09\0"),
    "PONG unasked": ping(flags=1),
    "DATA on a closed stream": reset(1) + data(1, ECHO),
    "HEADERS on a closed stream": reset(1) + headers(1, GOOD, end=True),
    "RST_STREAM twice": reset(1) + reset(1),
    "RST_STREAM for an unknown reason": reset(1, 0xDEADBEEF),
    "WINDOW_UPDATE of a closed stream": reset(1) + window_update(1, 1),
}


@pytest.mark.parametrize("name", HARMLESS)
async def test_what_must_be_ignored_is(gateway: RunningGateway, name: str) -> None:
    async with attacker(gateway) as (peer, _):
        await peer.send(open_call(gateway))
        await gateway.world.backend.wait_open(2)
        await peer.send(HARMLESS[name])
        await peer.pong()
        await call(gateway, peer, 11)
        assert peer.goaway is None
        assert_gives_nothing_away(peer)


@pytest.mark.parametrize("reason", [0, ENHANCE_YOUR_CALM, 0xDEADBEEF])
@pytest.mark.parametrize("busy", [False, True])
async def test_a_goaway_of_the_client(gateway: RunningGateway, busy: bool, reason: int) -> None:
    """Who says goodbye is let go with the last call, whatever the reason."""
    async with attacker(gateway) as (peer, _):
        if busy:
            await peer.send(open_call(gateway, method="Collect"), goaway(reason, text=CANARY))
            await peer.send(data(1, ECHO, end=True))
            assert take_apart((await peer.answer(1)).data)[1].code == 0
        else:
            await peer.send(goaway(reason, text=CANARY))
        await peer.until_closed()
