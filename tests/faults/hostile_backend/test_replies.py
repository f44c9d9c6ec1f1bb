"""A hostile backend over HTTP/2: callers get a proper status, nothing grows, nothing is left, others are served."""

import asyncio
from collections.abc import Callable

import pytest

from gateway.protocol.metadata import Header
from tests.support import http2
from tests.support.frames import message
from tests.support.frames_http2 import (
    INITIAL_WINDOW_SIZE,
    PRIORITY,
    PUSH_PROMISE,
    block,
    continuation,
    data,
    goaway,
    headers,
    in_pieces,
    indexed,
    literal,
    ping,
    reset,
    settings,
    window_update,
)
from tests.support.gateway import RunningGateway, eventually
from tests.support.hostile import CANARY, ECHO, GROWTH, resident
from tests.support.hostile_backend import (
    HEAD,
    OK,
    HostileBackend,
    ask,
    head,
    open_call,
    reply,
    status_of,
    trailers,
    well,
)
from tests.support.http2 import frame
from tests.support.raw_http2 import Peer

pytestmark = pytest.mark.asyncio(loop_scope="module")


# --- replies that are none


def plus(*fields: Header) -> Callable[[int], bytes]:
    return lambda stream: headers(stream, block([*HEAD, *fields])) + reply(stream)


LITTLE, MUCH = [(b"x-a", b"zqxjk")], [(b"x-a", b"zqxjk" * 2000)]

ODD: dict[str, tuple[Callable[[int], bytes], int]] = {
    "trailers twice": (lambda s: reply(s) + trailers(s), 0),
    "DATA after the trailers": (lambda s: reply(s) + data(s, ECHO), 0),
    "RST_STREAM after the trailers": (lambda s: reply(s) + reset(s, 2), 0),
    "trailers that do not end": (lambda s: head(s) + data(s, ECHO) + headers(s, block(OK)), 13),
    "no trailers": (lambda s: head(s) + data(s, ECHO, end=True), 2),
    "trailers without a status": (lambda s: head(s) + headers(s, block([(b"x-a", b"1")]), end=True), 2),
    "trailers with a pseudo-header": (lambda s: head(s) + headers(s, block(HEAD), end=True), 13),
    "no HTTP status": (lambda s: headers(s, block(HEAD[1:])), 13),
    "two HTTP statuses": (lambda s: headers(s, block([HEAD[0], *HEAD])), 13),
    "an HTTP status of 2 digits": (lambda s: headers(s, block([(b":status", b"20")])), 13),
    "an HTTP status of letters": (lambda s: headers(s, block([(b":status", b"zqx")])), 13),
    "a request's pseudo-header": (lambda s: headers(s, block([*HEAD[:1], (b":path", b"/zqxjk"), *HEAD[1:]])), 13),
    "an upper-case name": (plus((b"X-Zqxjk", b"1")), 13),
    "connection": (plus((b"connection", b"zqxjk")), 13),
    "transfer-encoding": (plus((b"transfer-encoding", b"chunked")), 13),
    "LF in a value": (plus((b"x-a", b"1\nzqxjk: 1")), 13),
    "a length of less than comes": (
        lambda s: headers(s, block([*HEAD, (b"content-length", b"3")])) + data(s, ECHO),
        13,
    ),
    "a switch of protocols": (lambda s: headers(s, block([(b":status", b"101")])), 13),
    "informational answers without end": (
        lambda s: headers(s, block([(b":status", b"103"), (b"link", b"<zqxjk>")])) * 300 + reply(s),
        0,
    ),
    "a message of 4 GiB": (lambda s: head(s) + data(s, b"\0\xff\xff\xff\xff" + ECHO), 8),
    "a frame that is none": (lambda s: head(s) + data(s, b"zqxjk" * 10), 13),
    "a trailer frame": (lambda s: head(s) + data(s, message(b"grpc-status:0\r\n", 0x80)), 13),
    "a status that is none": (lambda s: headers(s, block([*HEAD, (b"grpc-status", b"zqxjk")]), end=True), 2),
    "no error at all": (lambda s: reset(s, 0), 13),
    "an unknown error": (lambda s: reset(s, 0xDEADBEEF), 13),
    "refused for ever": (lambda s: reset(s, 7), 14),
    "reset after the head": (lambda s: head(s) + reset(s, 7), 14),
    "reset after a message": (lambda s: head(s) + data(s, ECHO) + reset(s, 11), 8),
    "300 headers": (lambda s: in_pieces(s, block([*HEAD, *LITTLE * 300])) + data(s, ECHO) + trailers(s), 0),
    "a header list of 80 KiB": (lambda s: in_pieces(s, block([*HEAD, *MUCH * 8])) + data(s, ECHO) + trailers(s), 8),
    "trailers of 80 KiB": (lambda s: head(s) + data(s, ECHO) + in_pieces(s, block([*OK, *MUCH * 8]), end=True), 8),
    "padding": (lambda s: head(s) + data(s, ECHO, padding=255) + trailers(s), 0),
}


@pytest.mark.parametrize("name", ODD)
async def test_an_odd_reply_concerns_one_call(gateway: RunningGateway, backend: HostileBackend, name: str) -> None:
    """Another call on the same connection is answered."""
    frames, expected = ODD[name]

    async def odd(peer: Peer) -> None:
        other = await peer.request()
        await peer.send(head(other))
        answering = asyncio.create_task(oddly(peer))
        await over.wait()
        answering.cancel()
        await peer.send(data(other, ECHO), trailers(other))
        await well(peer)

    async def oddly(peer: Peer) -> None:
        while True:  # one that is refused comes again
            await peer.send(frames(await peer.request()))

    over = asyncio.Event()
    await backend.turn(odd)
    async with http2.connect(gateway.port) as client:
        other = await open_call(client, gateway)
        await other.head()
        assert (await ask(gateway))[1] == expected
        over.set()
        assert (await status_of(other)).code == 0
    assert len(backend.peers) == 1


HALVES: dict[str, Callable[[int], bytes]] = {
    "trailers": trailers,
    "the end": lambda s: data(s, end=True),
    "a reset": lambda s: reset(s, 2),
    "a reset that means nothing": lambda s: reset(s, 0),
    "a broken connection": lambda s: CANARY * 100,
}


@pytest.mark.parametrize("name", HALVES)
async def test_a_reply_that_breaks_off_inside_a_message_is_broken_off(
    gateway: RunningGateway, backend: HostileBackend, name: str
) -> None:
    """What came behind half a message would be taken for its rest."""

    async def half(peer: Peer) -> None:
        stream = await peer.request()
        await peer.send(head(stream), data(stream, ECHO[:-1]))
        await halfway.wait()
        await peer.send(HALVES[name](stream))
        await peer.until_closed()

    halfway = asyncio.Event()
    await backend.turn(half)
    async with http2.connect(gateway.port) as client:
        stream = await open_call(client, gateway)
        await stream.received(len(ECHO) - 1)
        halfway.set()
        await stream.response()
        assert (stream.data, stream.ended) == (ECHO[:-1], False)


# --- frames that no backend may send


BROKEN: dict[str, Callable[[int], bytes]] = {
    "garbage": lambda s: CANARY * 10_000,
    "HTTP/1.1": lambda s: b"HTTP/1.1 400 Bad Request\r\nserver: zqxjk\r\n\r\n",
    "PUSH_PROMISE": lambda s: frame(PUSH_PROMISE, 4, s, b"\0\0\0\2" + block(HEAD)),
    "HEADERS on a stream of its own": lambda s: headers(2, block(HEAD)),
    "HEADERS on no stream": lambda s: headers(0, block(HEAD)),
    "HEADERS on an idle stream": lambda s: headers(s + 100, block(HEAD)),
    "DATA before the head": lambda s: data(s, ECHO),
    "DATA on an idle stream": lambda s: data(s + 100, ECHO),
    "RST_STREAM on an idle stream": lambda s: reset(s + 100),
    "a window beyond 2^31": lambda s: window_update(2**31 - 1),
    "SETTINGS with a window of 2^31": lambda s: settings((INITIAL_WINDOW_SIZE, 2**31)),
    "SETTINGS with tiny frames": lambda s: settings((5, 1)),
    "SETTINGS of 33 values": lambda s: settings(*[(INITIAL_WINDOW_SIZE, 9)] * 33),
    "a frame of 16 MiB": lambda s: b"\xff\xff\xff" + data(s)[3:] + ECHO,
    "padding longer than DATA": lambda s: head(s) + frame(0, 8, s, b"\xff" + ECHO),
    "CONTINUATION of nothing": lambda s: continuation(s, block(HEAD)),
    "CONTINUATION without end": lambda s: headers(s, b"", more=True) + continuation(s, b"", more=True) * 100,
    "a header list of 2 MiB": lambda s: in_pieces(s, block([*HEAD, *[(b"x-a", b"a" * 16_000)] * 130])),
    "3000 headers": lambda s: in_pieces(s, block([*HEAD, *[(b"x-a", b"zqxjk")] * 3000])),
    "an HPACK bomb": lambda s: headers(s, block(HEAD) + literal(b"x-a", b"a" * 4000, 0x40) + indexed(62) * 10_000),
    "HPACK: an entry that is not there": lambda s: headers(s, indexed(99)),
    "a flood of PING": lambda s: ping() * 3000,
    "a flood of SETTINGS": lambda s: settings() * 3000,
    "a flood of empty DATA": lambda s: head(s) + data(s) * 3000,
    "a flood of PRIORITY": lambda s: frame(PRIORITY, 0, s, b"\0\0\0\0\0") * 3000,
    "a flood of WINDOW_UPDATE": lambda s: window_update(1) * 3000,
    "a flood of GOAWAY": lambda s: goaway(0, 2**31 - 1) * 3000,
    "a flood of unknown frames": lambda s: frame(0x99, 0, 0) * 3000,
    "a flood of ORIGIN": lambda s: frame(0xC, 0, 0) * 3000,
    "GOAWAY, and it is gone": lambda s: goaway(0xDEADBEEF, 2**31 - 1, CANARY),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_a_backend_that_breaks_the_protocol_loses_the_connection(
    gateway: RunningGateway, backend: HostileBackend, name: str
) -> None:
    async def broken(peer: Peer) -> None:
        stream = await peer.request()
        await peer.request()
        await peer.push(BROKEN[name](stream))
        if name.startswith("GOAWAY"):
            peer.wire.writer.close()
        await peer.until_closed()

    await backend.turn(broken)
    before = resident()
    for messages, status in await asyncio.gather(ask(gateway), ask(gateway)):
        assert (messages, status) == ([], 14)
    await eventually(lambda: backend.peers[0].closed)
    assert resident() - before < GROWTH // 2
