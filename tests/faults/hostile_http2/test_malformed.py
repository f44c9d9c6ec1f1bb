"""A hostile client over HTTP/2: frames and requests that are none. Nothing breaks, nobody else notices."""

import asyncio
from collections.abc import Callable

import pytest

from gateway.demo.pb import demo_pb2
from gateway.protocol.metadata import Header, Headers
from tests.support.frames import take_apart
from tests.support.frames_http2 import (
    GREETING,
    INITIAL_WINDOW_SIZE,
    PREFACE,
    PRIORITY,
    PUSH_PROMISE,
    SETTINGS_ACK,
    block,
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
from tests.support.gateway import DEMO, RunningGateway, arrived
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
    Bystander,
    assert_gives_nothing_away,
    attacker,
    call,
    head,
    open_call,
)
from tests.support.http2 import PING, RST_STREAM, SETTINGS, frame
from tests.support.raw_http2 import hostile_client
from tests.support.wire import connect, request

pytestmark = pytest.mark.asyncio(loop_scope="module")


# --- requests that are none


def plus(*fields: Header) -> Callable[[Headers], Headers]:
    return lambda good: [*good, *fields]


def before(*fields: Header) -> Callable[[Headers], Headers]:
    return lambda good: [*fields, *good]


def without(name: bytes) -> Callable[[Headers], Headers]:
    return lambda good: [each for each in good if each[0] != name]


def instead(name: bytes, value: bytes) -> Callable[[Headers], Headers]:
    return lambda good: [(each[0], value) if each[0] == name else each for each in good]


MALFORMED = {
    "no method": without(b":method"),
    "no scheme": without(b":scheme"),
    "no path": without(b":path"),
    "no authority": without(b":authority"),
    "an empty path": instead(b":path", b""),
    "a path that is none": instead(b":path", b"zqxjk"),
    "an asterisk": instead(b":path", b"*"),
    "a method that is none": instead(b":method", b"PO ST"),
    "a scheme that is none": instead(b":scheme", b"1:/"),
    "an authority that is none": instead(b":authority", b"a b"),
    "an authority with a path": instead(b":authority", b"a/zqxjk"),
    "an authority with a user": instead(b":authority", b"zqxjk@gateway.test"),
    "an authority that is empty": instead(b":authority", b""),
    "two methods": before((b":method", b"POST")),
    "two paths": before((b":path", b"/zqxjk")),
    "two schemes": before((b":scheme", b"http")),
    "two authorities": before((b":authority", b"gateway.test")),
    "a path at the end": lambda good: [*without(b":path")(good), (b":path", b"/demo.v1.Demo/Echo")],
    "an unknown pseudo-header": before((b":zqxjk", b"1")),
    "a response's pseudo-header": before((b":status", b"200")),
    "extended CONNECT": before((b":protocol", b"websocket")),
    "CONNECT with a path": instead(b":method", b"CONNECT"),
    "upper case": plus((b"X-Zqxjk", b"1")),
    "connection": plus((b"connection", b"zqxjk")),
    "keep-alive": plus((b"keep-alive", b"timeout=5")),
    "proxy-connection": plus((b"proxy-connection", b"keep-alive")),
    "transfer-encoding": plus((b"transfer-encoding", b"chunked")),
    "upgrade": plus((b"upgrade", b"h2c")),
    "te": plus((b"te", b"gzip")),
    "an empty name": plus((b"", b"zqxjk")),
    "a name with a space": plus((b"x a", b"zqxjk")),
    "a name with a colon": plus((b"x:a", b"zqxjk")),
    "a name beyond ASCII": plus((b"x-\xc3\xb6", b"zqxjk")),
    "NUL in a value": plus((b"x-a", b"1\0zqxjk")),
    "LF in a value": plus((b"x-a", b"1\nzqxjk: 1")),
    "CR in a value": plus((b"x-a", b"1\rzqxjk: 1")),
    "a value with a space around it": plus((b"x-a", b" zqxjk ")),
    "two hosts": plus((b"host", b"gateway.test"), (b"host", b"gateway.test")),
    "two lengths": plus((b"content-length", b"12"), (b"content-length", b"12")),
    "length below zero": plus((b"content-length", b"-1")),
    "length in hex": plus((b"content-length", b"0xc")),
    "length beyond 64 bits": plus((b"content-length", b"99999999999999999999")),
    "a length of less than comes": plus((b"content-length", b"3")),
    "a length of more than comes": plus((b"content-length", b"99")),
}  # fmt: skip


@pytest.mark.parametrize("name", MALFORMED)
async def test_a_malformed_request_is_reset(gateway: RunningGateway, bystander: Bystander, name: str) -> None:
    seen = arrived(gateway)
    async with attacker(gateway) as (peer, _):
        await peer.send(headers(1, block(MALFORMED[name](head(gateway)))), data(1, ECHO, end=True))
        said = await peer.answer(1)
        assert (said.reset, said.heads, said.data) == (PROTOCOL_ERROR, [], b"")
        await call(gateway, peer, 3)
        assert_gives_nothing_away(peer)
    assert arrived(gateway) - seen <= 2  # a wrong length shows at the end
    assert gateway.world.backend.calls["/zqxjk"] == 0


REFUSED: dict[str, tuple[Callable[[Headers], Headers], int]] = {
    "another host": (plus((b"host", b"zqxjk.test")), 400),
    "a host that is none": (instead(b":authority", b"a,zqxjk"), 400),
    "CONNECT": (lambda good: [(b":method", b"CONNECT"), (b":authority", b"zqxjk.test:443")], 404),
    "an absolute path": (instead(b":path", b"/zqxjk"), 404),
    "a path with NUL": (instead(b":path", b"/demo.v1.Demo/Echo%00"), 404),
    "a method unknown": (instead(b":method", b"ZQXJK"), 405),
    "a method in lower case": (instead(b":method", b"post"), 405),
    "a content type unknown": (instead(b"content-type", b"application/zqxjk"), 415),
    "two content types": (plus((b"content-type", b"application/grpc-web")), 400),
    "two origins": (plus((b"origin", b"http://page.test")), 400),
    "a foreign origin": (instead(b"origin", b"http://zqxjk.test"), 403),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_a_request_that_is_no_call_gets_a_bare_answer(gateway: RunningGateway, name: str) -> None:
    change, status = REFUSED[name]
    seen = gateway.world.backend.calls.copy()
    async with attacker(gateway) as (peer, _):
        await peer.send(headers(1, block(change(head(gateway)))), data(1, ECHO, end=True))
        assert (await peer.answer(1)).status == status
        await call(gateway, peer, 3)
        assert_gives_nothing_away(peer)
    seen[DEMO + "Echo"] += 1  # the good one
    assert gateway.world.backend.calls == seen


# --- frames that no peer may send


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


async def test_trailers_of_a_request_are_no_headers(gateway: RunningGateway) -> None:
    late = [(b"x-late", b"1"), (b"authorization", b"Bearer zqxjk")]
    async with attacker(gateway) as (peer, _):
        await peer.send(headers(1, block(head(gateway, DEMO + "WhoAmI"))), data(1, bytes(5)))
        await peer.send(headers(1, block(late), end=True))
        messages, status, _ = take_apart((await peer.answer(1)).data)
        assert status.code == 0
        assert "x-late" not in demo_pb2.WhoAmIReply.FromString(messages[0]).metadata
        for stream, trailers in ((3, headers(3, block(late))), (5, headers(5, block([(b":path", b"/")]), end=True))):
            await peer.send(open_call(gateway, stream), data(stream, ECHO), trailers)  # no end; a pseudo-header
            assert (await peer.answer(stream)).reset == PROTOCOL_ERROR


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


# --- the beginning of a connection


async def test_a_preface_in_pieces(gateway: RunningGateway) -> None:
    async with hostile_client(gateway.port, greeting=b"") as peer:
        for byte in GREETING:
            await peer.send(bytes((byte,)))
            await asyncio.sleep(0)
        await call(gateway, peer, 1)


@pytest.mark.parametrize("place", range(0, len(PREFACE), 3))
async def test_what_only_begins_like_a_preface_is_bad_http1(gateway: RunningGateway, place: int) -> None:
    bad = PREFACE[:place] + b"~" + PREFACE[place + 1 :]
    async with connect(gateway.port) as line:
        await line.send(bad + CANARY * 20 + b"\r\n\r\n")
        answer = await line.rest()
    assert answer.startswith(b"HTTP/1.1 400 "), answer
    assert answer.endswith(b"\r\n\r\nbad request\n")
    assert CANARY not in answer


@pytest.mark.parametrize(
    "first", [CANARY * 20, b"GET /zqxjk HTTP/1.1\r\n\r\n", ping(), headers(1, GOOD), settings()[:-1] + b"\1"]
)
@pytest.mark.parametrize("tls", [False, True])
async def test_a_preface_without_settings(gateway: RunningGateway, first: bytes, tls: bool) -> None:
    port, context = gateway.door(tls, "h2")
    async with hostile_client(port, greeting=PREFACE + first, context=context) as peer:
        await peer.until_closed()
        assert peer.goaway in (PROTOCOL_ERROR, FRAME_SIZE_ERROR)
        assert_gives_nothing_away(peer)


@pytest.mark.parametrize("first", [request("/zqxjk"), CANARY * 100, PREFACE[:-1] + b"~" + settings(), b"\0" * 100])
async def test_another_protocol_than_was_agreed_on(gateway: RunningGateway, first: bytes) -> None:
    port, context = gateway.door(True, "h2")
    async with hostile_client(port, greeting=first, context=context) as peer:  # ALPN said h2
        await peer.until_closed()
        assert peer.goaway is not None
        assert not peer.streams
        assert_gives_nothing_away(peer)
    assert context is not None
    context.set_alpn_protocols(["http/1.1"])
    async with connect(port, context=context) as line:
        await line.send(GREETING)
        answer = await line.rest()
    assert answer.startswith(b"HTTP/1.1 400 "), answer
