"""The HTTP/2 front: streams become calls or plain answers. h2 is at the other end, and lists stand for the backend."""

import asyncio
import gc
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import h2.events
import pytest
from h2.errors import ErrorCodes
from h2.settings import SettingCodes
from structlog.testing import capture_logs

from gateway.call import HOLD_LIMIT, Call
from gateway.ends import CallHead
from gateway.front import http2
from gateway.front.census import Census
from gateway.front.http2 import BrowserLink, Http2Front
from gateway.front.http2_stream import SMALL, Exchange
from gateway.front.reception import Reception
from gateway.front.snapshot import FrontSnapshot
from gateway.http2 import SEND_BUFFER, STREAM_WINDOW
from gateway.http2.link import GRACE
from gateway.http2.wire import CLOSE_TIMEOUT, PING_TIMEOUT
from gateway.permit import Permit, Refusal
from gateway.policy.cors import CorsPolicy
from gateway.protocol.frames import frame
from gateway.protocol.metadata import Header, Headers
from gateway.protocol.status import Code, Status
from gateway.request import Answer, RequestHead
from gateway.settings import Cors
from tests.support import http2 as client
from tests.support.ends import ListUpstream, ManualGate, Road
from tests.support.frames import message, take_apart
from tests.support.http2 import GoAway
from tests.support.memory import Peer

ORIGIN = (b"origin", b"https://page.test")
WEB: Header = (b"content-type", b"application/grpc-web+proto")
NATIVE: Header = (b"content-type", b"application/grpc")
DO = "/test.v1.Test/Do"
FRAME = message(b"abc")
OK = b"\x80\x00\x00\x00\x0fgrpc-status:0\r\n"
STALL = 30.0


class Indifferent:
    """An observer."""

    def refused(self, head: RequestHead, answer: Answer) -> None:
        """Looks away."""


class Watched(Reception):
    """A reception that keeps the heads it was shown."""

    def __init__(self) -> None:
        super().__init__(CorsPolicy(Cors(allow_origins=("https://page.test",))), Indifferent(), pages)
        self.heads: list[RequestHead] = []

    def receive(self, head: RequestHead) -> CallHead | Answer:
        self.heads.append(head)
        return super().receive(head)


def pages(head: RequestHead) -> Answer | None:
    answers = {
        b"/": Answer(200, [(b"content-type", b"text/html"), (b"etag", b'"1"')], b"<p>hello"),
        b"/large": Answer(200, [], bytes(100_000)),
        b"/empty": Answer(200, []),
        b"/nothing": Answer(204, []),
        b"/same": Answer(304, [(b"etag", b'"1"')]),
    }
    return answers.get(head.target)


@dataclass
class World:
    """A front with one connection."""

    front: Http2Front
    link: BrowserLink
    peer: Peer
    reception: Watched
    census: Census
    road: Road

    @property
    def up(self) -> ListUpstream:
        return self.road.up

    @property
    def gate(self) -> ManualGate:
        return self.road.gate

    def forget(self) -> None:
        """What the lists know of calls."""
        self.up.replies.clear()
        self.gate.answer = None
        self.road.over.clear()

    async def ask(
        self, path: str = DO, *fields: Header, method: str = "POST", body: bytes | None = None, end: bool = True
    ) -> int:
        """A request, and what can be said about it at once."""
        stream = self.peer.request(head(path, *fields, method=method), body, end=end)
        await self.peer.talk()
        return stream

    async def answer(self, *replies: bytes) -> None:
        """The newest call's."""
        for reply in replies:
            self.up.replies[-1].reply_bytes(reply)
        self.up.replies[-1].reply_end(Status(Code.OK), [])
        await self.peer.talk()

    async def tick(self, seconds: float) -> None:
        """So much later than the last time."""
        self.peer.clock.now += seconds
        self.front.tick(self.peer.clock.now)
        await self.peer.talk()

    async def wait(self, seconds: float) -> None:
        """As time goes by: with a tick each second."""
        for _ in range(int(seconds)):
            await self.tick(1.0)


def head(path: str, *fields: Header, method: str = "POST") -> Headers:
    return [*client.head(path, method=method), *fields]


async def world(
    *,
    settings: Mapping[int, int] | None = None,
    gate: ManualGate | None = None,
    up: ListUpstream | None = None,
    census: Census | None = None,
    body_stall: float = STALL,
    talk: bool = True,
    **extra: Any,
) -> World:
    road = Road(gate=gate, upstream=up)
    reception, census = Watched(), census or Census(10)
    front = Http2Front(lambda: FrontSnapshot(reception, road.side, body_stall), census)
    link = front()
    peer = Peer(link, settings=settings, **{"peername": ("192.0.2.1", 4711), **extra})
    if talk:
        await peer.talk()
    return World(front, link, peer, reception, census, road)


def fields(headers: Headers) -> dict[bytes, bytes]:
    found = dict(headers)
    assert len(found) == len(headers), f"repeated: {headers}"
    return found


# --- the head of a request


async def test_a_head_is_made_of_pseudo_headers_and_fields() -> None:
    here = await world()
    await here.ask(DO, WEB, ORIGIN, (b"x-a", b"1"), (b"x-b", b"2"), (b"x-a", b"3"))
    (found,) = here.reception.heads
    assert found == RequestHead(
        method="POST",
        target=DO.encode(),
        headers=[WEB, ORIGIN, (b"x-a", b"1"), (b"x-b", b"2"), (b"x-a", b"3"), (b"host", b"gateway.test")],
        peer="192.0.2.1",
        scheme=b"http",  # the connection's: the client may say what it likes
        identities=(),
        takes_trailers=True,
    )


async def test_a_connection_over_tls_and_its_certificate() -> None:
    certificate = {"subject": ((("commonName", "batch"),),), "subjectAltName": (("DNS", "ops.internal"),)}
    here = await world(sslcontext=object(), peercert=certificate)
    await here.ask(DO, WEB)
    (found,) = here.reception.heads
    assert (found.scheme, found.identities) == (b"https", ("DNS:ops.internal", "CN:batch"))


async def test_a_unix_socket_has_no_peer() -> None:
    here = await world(peername="")
    await here.ask()
    assert here.reception.heads[0].peer == ""


@pytest.mark.parametrize(
    ("hosts", "found"),
    [
        ([], [b"gateway.test"]),
        ([b"gateway.test"], [b"gateway.test"]),  # said twice, which is once
        ([b"evil.test"], [b"evil.test", b"gateway.test"]),
    ],
)
async def test_host_and_authority(hosts: list[bytes], found: list[bytes]) -> None:
    here = await world()
    stream = await here.ask(DO, WEB, *((b"host", host) for host in hosts))
    (request,) = here.reception.heads
    assert [value for name, value in request.headers if name == b"host"] == found
    if len(found) > 1:
        assert fields(here.peer.headers(stream))[b":status"] == b"400"
    else:
        assert here.up.opened[0][1].metadata[-1] == (b"x-forwarded-host", b"gateway.test")


async def test_two_hosts_are_malformed() -> None:
    here = await world()
    stream = await here.ask(DO, WEB, *[(b"host", b"gateway.test")] * 2)
    assert here.peer.reset(stream) == ErrorCodes.PROTOCOL_ERROR
    assert here.reception.heads == []


async def test_a_host_without_an_authority() -> None:
    here = await world()
    pseudo = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", DO.encode())]
    here.peer.request([*pseudo, (b"host", b"alone.test"), WEB])
    (request,) = here.reception.heads
    assert [value for name, value in request.headers if name == b"host"] == [b"alone.test"]


async def test_connect_has_no_path() -> None:
    here = await world()
    stream = here.peer.request([(b":method", b"CONNECT"), (b":authority", b"evil.test:443")], end=False)
    await here.peer.talk()
    assert fields(here.peer.headers(stream))[b":status"] == b"404"


# --- answers that are no calls


async def test_a_page() -> None:
    here = await world()
    stream = await here.ask("/", method="GET")
    found = fields(here.peer.headers(stream))
    parsedate_to_datetime(found.pop(b"date").decode())
    assert found == {
        b":status": b"200",
        b"content-type": b"text/html",
        b"etag": b'"1"',
        b"server": b"grpcweb-gateway",
        b"content-length": b"8",
    }
    assert here.peer.body(stream) == b"<p>hello"
    assert here.peer.ended(stream)
    assert here.link.streams == {}


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 2, 1, 0], [1, 0, 3, 2]])
async def test_a_head_request_gets_no_body(order: list[int]) -> None:
    """RFC 9113, section 8.3: pseudo-headers come before the others, in any order of their own."""
    here = await world()
    pseudo = head("/", method="HEAD")
    stream = here.peer.request([pseudo[index] for index in order])
    await here.peer.talk()
    assert here.peer.body(stream) == b""
    assert here.peer.ended(stream)
    assert fields(here.peer.headers(stream))[b"content-length"] == b"8"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("path", "status", "length"), [("/nothing", b"204", None), ("/same", b"304", None), ("/empty", b"200", b"0")]
)
async def test_answers_without_a_body(path: str, status: bytes, length: bytes | None, method: str) -> None:
    """RFC 9110, section 8.6: no content-length with 204, and with 304 only what the page's would be."""
    here = await world()
    stream = await here.ask(path, method=method)
    found = fields(here.peer.headers(stream))
    assert (found[b":status"], found.get(b"content-length")) == (status, length)
    assert not here.peer.heard(h2.events.DataReceived, stream)
    assert here.peer.ended(stream)


async def test_a_refusal_is_said_at_once_and_a_body_that_goes_on_is_cut_off() -> None:
    here = await world()
    stream = await here.ask(DO, (b"content-type", b"text/plain"), body=b"x", end=False)
    assert fields(here.peer.headers(stream))[b":status"] == b"415"
    assert here.peer.ended(stream)
    for _ in range(4):  # what comes is passed over, and takes no window
        here.peer.send(stream, bytes(STREAM_WINDOW // 2))
        await here.peer.talk()
    assert here.peer.h2.local_flow_control_window(stream) >= STREAM_WINDOW // 2
    await here.tick(GRACE / 2)
    assert here.peer.reset(stream) is None
    await here.tick(GRACE / 2)
    assert here.peer.reset(stream) == ErrorCodes.NO_ERROR
    assert here.link.streams == {}


async def test_a_page_that_nobody_reads_is_let_go() -> None:
    here = await world(settings={SettingCodes.INITIAL_WINDOW_SIZE: 1000})
    stream = await here.ask("/large", method="GET")
    await here.wait(STALL - 1)
    here.peer.open_window(1000, stream)  # it moves
    await here.wait(STALL)
    assert here.peer.reset(stream) is None
    await here.wait(2)
    assert here.peer.reset(stream) == ErrorCodes.CANCEL
    assert len(here.peer.body(stream)) == 2000


# --- calls


async def test_a_call_goes_through_and_back() -> None:
    here = await world()
    stream = await here.ask(DO, WEB, ORIGIN, body=FRAME)
    assert len(here.census.calls) == 1
    assert (here.up.chunks, here.up.events) == ([FRAME], ["end"])
    here.up.replies[0].reply_head([(b"x-backend", b"b")])
    await here.peer.talk()
    found = fields(here.peer.headers(stream))
    parsedate_to_datetime(found.pop(b"date").decode())
    exposed = b"grpc-status, grpc-message, grpc-status-details-bin, x-backend"
    assert found == {
        b":status": b"200",
        b"content-type": b"application/grpc-web+proto",
        b"vary": b"Origin",
        b"access-control-allow-origin": b"https://page.test",
        b"access-control-expose-headers": exposed,
        b"x-backend": b"b",
        b"server": b"grpcweb-gateway",
    }
    await here.answer(message(b"reply"))
    assert here.peer.body(stream) == message(b"reply") + OK
    assert here.peer.ended(stream)
    assert here.census.calls == set()
    assert (here.gate.entered, here.gate.left) == (1, 1)
    assert here.link.streams == {}


async def test_a_native_call_ends_with_trailers() -> None:
    here = await world()
    stream = await here.ask(DO, NATIVE, (b"te", b"trailers"), body=FRAME)
    assert here.up.opened[0][1].content_type == b"application/grpc"
    here.up.replies[0].reply_bytes(message(b"reply"))
    here.up.replies[0].reply_end(Status(Code.NOT_FOUND, "none"), [(b"x-late", b"1")])
    await here.peer.talk()
    assert fields(here.peer.headers(stream))[b"content-type"] == b"application/grpc"
    assert here.peer.body(stream) == message(b"reply")
    assert here.peer.trailers(stream) == [(b"grpc-status", b"5"), (b"grpc-message", b"none"), (b"x-late", b"1")]
    assert here.peer.ended(stream)


async def test_a_request_may_end_with_trailers() -> None:
    here = await world()
    stream = await here.ask(DO, WEB, body=FRAME, end=False)
    here.peer.h2.send_headers(stream, [(b"x-late", b"1")], end_stream=True)
    await here.peer.talk()
    assert here.up.events == ["end"]
    assert here.peer.reset(stream) is None


async def test_calls_of_one_connection_are_not_mixed_up() -> None:
    here = await world()
    streams = [await here.ask(DO, WEB, body=message(b"%d" % number)) for number in range(5)]
    for number, reply in reversed(list(enumerate(here.up.replies))):
        reply.reply_bytes(message(b"reply %d" % number))
        reply.reply_end(Status(Code.OK), [])
    await here.peer.talk()
    for number, stream in enumerate(streams):
        assert take_apart(here.peer.body(stream))[0] == [b"reply %d" % number]


async def test_a_browser_that_leaves_ends_its_call() -> None:
    here = await world()
    stream = await here.ask(DO, WEB, body=FRAME, end=False)
    (call,) = here.census.calls
    here.peer.h2.reset_stream(stream, ErrorCodes.CANCEL)
    await here.peer.talk()
    assert here.up.events == ["cancel"]
    assert (call.reason, here.census.calls, here.gate.left) == ("disconnect", set(), 1)
    here.up.replies[0].reply_bytes(FRAME)  # too late
    here.up.replies[0].reply_end(Status(Code.OK), [])
    await here.peer.talk()
    assert not here.peer.heard(h2.events.ResponseReceived)


async def test_a_connection_that_is_lost_ends_all_of_its_calls() -> None:
    here = await world()
    for _ in range(3):
        await here.ask(DO, WEB, end=False)
    here.peer.transport.abort()
    await asyncio.sleep(0)
    assert here.up.events == ["cancel"] * 3
    assert (here.census.calls, here.census.connections, here.gate.left) == (set(), 0, 3)
    assert here.front.links == set()


async def test_a_call_that_is_answered_counts_until_little_of_the_answer_waits() -> None:
    here = await world(settings={SettingCodes.INITIAL_WINDOW_SIZE: 5})
    stream = await here.ask(DO, WEB, body=FRAME, end=False)
    await here.answer()
    assert (here.peer.body(stream), here.gate.left) == (OK[:5], 1)
    large = await here.ask(DO, WEB, body=FRAME, end=False)
    here.up.replies[-1].reply_bytes(frame(bytes(SMALL)))
    await here.answer()
    assert here.gate.left == 1
    here.peer.open_window(SMALL + 100, large)
    await here.peer.talk()
    assert here.gate.left == 2
    here.peer.open_window(100, stream)
    await here.peer.talk()
    assert (here.peer.body(stream), here.gate.left) == (OK, 2)
    await here.tick(GRACE)
    assert here.peer.reset(stream) == ErrorCodes.NO_ERROR
    assert (here.census.calls, here.gate.left) == (set(), 2)


async def test_a_refusal_by_the_gate() -> None:
    denied = Refusal(Status(Code.PERMISSION_DENIED, "no"), "permission_denied", ((b"www-authenticate", b"Bearer"),))
    here = await world(gate=ManualGate(denied))
    for kind in (WEB, NATIVE):
        stream = await here.ask(DO, kind, body=FRAME)
        assert fields(here.peer.headers(stream))[b"www-authenticate"] == b"Bearer"
        assert here.peer.ended(stream)
    told = fields(here.peer.headers(stream))  # of the native call: Trailers-Only
    assert (told[b"grpc-status"], told[b"grpc-message"]) == (b"7", b"no")
    assert here.up.opened == []


@pytest.mark.parametrize("ending", ["answered", "cancelled", "refused", "lost", "failed", "unread"])
async def test_a_call_that_is_over_leaves_no_cycle_behind(ending: str) -> None:
    """The collector is set to run rarely."""
    denied = Refusal(Status(Code.PERMISSION_DENIED, "no"), "permission_denied", ())
    here = await world(gate=ManualGate(denied if ending == "refused" else None))
    gc.collect()
    gc.disable()
    try:
        before = of_calls()
        stream = await here.ask(DO, WEB, body=FRAME, end=ending in ("answered", "refused"))
        if ending == "answered":
            await here.answer()
        elif ending == "cancelled":
            here.peer.h2.reset_stream(stream)
        elif ending == "lost":
            here.peer.transport.abort()
        elif ending == "failed":
            here.peer.send(stream, b"rubbish")
            await here.wait(2 * GRACE)
        elif ending == "unread":
            await here.answer()
            await here.wait(2 * GRACE)
        await here.peer.talk()
        here.forget()
        assert of_calls() == before
    finally:
        gc.enable()


def of_calls() -> int:
    return sum(isinstance(each, Call | Exchange) for each in gc.get_objects())


@pytest.mark.parametrize("kind", [WEB, NATIVE])
async def test_a_reply_that_breaks_off_inside_a_message(kind: Header) -> None:
    """Over gRPC-Web there is no way to say so, save to break off as well: a client reads on in the message."""
    here = await world()
    stream = await here.ask(DO, kind)
    here.up.replies[0].reply_bytes(message(b"whole") + FRAME[:-1])
    await here.peer.talk()
    here.up.replies[0].reply_end(Status(Code.OK), [])
    await here.peer.talk()  # what has come leaves first
    await here.peer.talk()
    assert here.peer.body(stream) == message(b"whole") + FRAME[:-1]
    if kind is WEB:
        assert here.peer.reset(stream) == ErrorCodes.INTERNAL_ERROR
    else:
        assert dict(here.peer.trailers(stream))[b"grpc-status"] == b"13"
    assert (here.census.calls, here.gate.left) == (set(), 1)


# --- back pressure


async def test_what_a_call_does_not_take_keeps_the_browsers_window_shut() -> None:
    here = await world()
    stream = await here.ask(DO, WEB, end=False)
    here.up.replies[0].pause_request()
    here.peer.send(stream, message(bytes(STREAM_WINDOW - 5)))
    await here.peer.talk()
    assert here.peer.h2.local_flow_control_window(stream) == 0
    here.up.replies[0].resume_request()
    await here.peer.talk()
    assert here.peer.h2.local_flow_control_window(stream) == STREAM_WINDOW


async def test_what_the_gate_holds_back_is_bounded() -> None:
    here = await world(gate=ManualGate(at_once=False))
    stream = await here.ask(DO, WEB, end=False)
    here.peer.send(stream, message(bytes(STREAM_WINDOW - 5)))
    await here.peer.talk()
    held = STREAM_WINDOW - here.peer.h2.local_flow_control_window(stream)
    assert held > STREAM_WINDOW - HOLD_LIMIT - 40_000  # the window of what came first is open again
    answer = here.gate.answer
    assert answer is not None
    answer(Permit(DO.encode()))
    await here.peer.talk()
    assert b"".join(here.up.chunks) == message(bytes(STREAM_WINDOW - 5))
    assert here.peer.h2.local_flow_control_window(stream) == STREAM_WINDOW


async def test_the_window_of_a_stream_that_went_is_given_back_to_the_connection() -> None:
    here = await world()
    for _ in range(20):  # 20 MiB over a connection that takes 16 ahead
        stream = await here.ask(DO, WEB, end=False)
        here.up.replies[-1].pause_request()
        here.peer.send(stream, message(bytes(STREAM_WINDOW - 5)))
        here.peer.h2.reset_stream(stream)
        await here.peer.talk()
    assert here.peer.h2.outbound_flow_control_window >= http2.CONNECTION_WINDOW // 2  # told now and then


async def test_a_slow_reader_pauses_the_backend() -> None:
    here = await world(settings={SettingCodes.INITIAL_WINDOW_SIZE: 10})
    stream = await here.ask(DO, WEB)
    here.up.events.clear()
    here.up.replies[0].reply_bytes(message(bytes(SEND_BUFFER - 5)))
    assert here.up.events == []
    here.up.replies[0].reply_bytes(message(bytes(20)))
    assert here.up.events == ["pause"]
    here.peer.open_window(2**20)
    here.peer.open_window(2**20, stream)
    await here.peer.talk()
    assert here.up.events == ["pause", "resume"]
    assert len(here.peer.body(stream)) == SEND_BUFFER + 25


async def test_who_does_not_read_is_not_read_from() -> None:
    here = await world()
    here.peer.transport.fill()
    assert not here.peer.transport.reading
    here.peer.transport.drain()
    assert here.peer.transport.reading


# --- who stands still


async def test_a_body_that_stops_inside_a_message() -> None:
    here = await world()
    stream = await here.ask(DO, WEB, body=FRAME[:-1], end=False)
    (call,) = here.census.calls
    await here.wait(STALL)
    assert not call.closed
    await here.wait(1)
    assert take_apart(here.peer.body(stream))[1].code == Code.DEADLINE_EXCEEDED
    assert call.reason == "body_stall"
    assert here.up.events == ["cancel"]


async def test_a_body_that_moves_now_and_then() -> None:
    here = await world()
    stream = await here.ask(DO, WEB, end=False)
    (call,) = here.census.calls
    for byte in FRAME[:-1]:
        here.peer.send(stream, bytes((byte,)))
        await here.wait(STALL - 1)
    assert not call.closed


@pytest.mark.parametrize("body", [None, FRAME])
async def test_between_two_messages_a_stream_may_rest(body: bytes | None) -> None:
    here = await world()
    await here.ask(DO, WEB, body=body, end=False)
    (call,) = here.census.calls
    await here.wait(3 * STALL)
    assert not call.closed


async def test_a_body_that_this_end_holds_back_has_not_stopped() -> None:
    here = await world()
    stream = await here.ask(DO, WEB, end=False)
    (call,) = here.census.calls
    here.up.replies[0].pause_request()
    here.peer.send(stream, FRAME[:-1])
    await here.wait(3 * STALL)
    assert not call.closed
    here.up.replies[0].resume_request()
    await here.wait(STALL + 1)
    assert call.reason == "body_stall"


async def test_a_reader_that_takes_nothing() -> None:
    here = await world(settings={SettingCodes.INITIAL_WINDOW_SIZE: 10})
    stream = await here.ask(DO, WEB)
    (call,) = here.census.calls
    here.up.replies[0].reply_bytes(message(bytes(100)))
    await here.peer.talk()
    await here.wait(STALL - 1)
    here.peer.open_window(1, stream)  # it moves
    await here.wait(STALL)
    assert not call.closed
    await here.wait(2)
    assert call.reason == "reader_stall"
    assert here.peer.reset(stream) == ErrorCodes.CANCEL
    assert here.up.events == ["end", "cancel"]
    assert (here.census.calls, here.gate.left) == (set(), 1)


async def test_a_socket_that_takes_nothing() -> None:
    here = await world()
    await here.ask(DO, WEB)
    await here.ask("/large", method="GET")
    (call,) = here.census.calls
    here.peer.transport.buffered = 300_000
    here.peer.transport.fill()
    here.up.replies[0].reply_bytes(message(bytes(100)))
    await here.wait(STALL)
    assert not here.peer.transport.aborted
    await here.wait(1)
    assert here.peer.transport.aborted
    assert call.reason == "reader_stall"
    await asyncio.sleep(0)
    assert (here.census.calls, here.census.connections, here.gate.left) == (set(), 0, 1)


async def test_a_socket_that_takes_little_at_a_time() -> None:
    """While it moves, nobody on the connection has stopped reading: what waits behind it cannot move yet."""
    here = await world()
    stream = await here.ask(DO, WEB)
    (call,) = here.census.calls
    here.peer.transport.buffered = 300_000
    here.peer.transport.fill()
    here.up.replies[0].reply_bytes(message(bytes(100)))
    for _ in range(3):
        await here.wait(STALL - 1)
        here.peer.transport.buffered -= 10_000
    assert not call.closed
    here.peer.transport.drain()
    await here.answer()
    assert take_apart(here.peer.body(stream))[0] == [bytes(100)]


async def test_a_stream_on_which_nothing_waits_may_rest() -> None:
    here = await world()
    await here.ask(DO, WEB)
    (call,) = here.census.calls
    here.up.replies[0].reply_bytes(FRAME)
    await here.wait(3 * STALL)
    assert not call.closed


# --- connections


async def test_one_connection_too_many() -> None:
    census = Census(1)
    await world(census=census)
    with capture_logs() as events:
        refused = await world(census=census, talk=False)
    assert refused.peer.transport.closed
    refused.peer.hear()
    assert refused.peer.goaways == [GoAway(0, ErrorCodes.NO_ERROR, b"")]
    assert [(event["event"], event["reason"]) for event in events] == [("connection_refused", "max_connections")]
    await asyncio.sleep(0)
    assert census.connections == 1


async def test_a_client_that_never_greets_is_let_go() -> None:
    here = await world(talk=False)
    start = here.link.now
    here.front.tick(start + http2.GREETING_TIMEOUT - 1)
    assert not here.peer.transport.closed
    here.front.tick(start + http2.GREETING_TIMEOUT)
    assert here.peer.transport.closed


async def test_a_connection_without_streams_is_let_go() -> None:
    here = await world()
    await here.wait(http2.IDLE_TIMEOUT - 1)
    assert not here.peer.transport.closed
    stream = await here.ask(DO, WEB)
    await here.wait(http2.IDLE_TIMEOUT + 1)  # one is open
    await here.answer()
    assert here.peer.ended(stream)
    await here.wait(http2.IDLE_TIMEOUT - 1)
    assert not here.peer.transport.closed
    await here.wait(1)
    assert here.peer.transport.closed
    assert here.peer.goaways == [GoAway(stream, ErrorCodes.NO_ERROR, b"")]


async def test_a_silent_client_with_streams_open_is_pinged_and_let_go() -> None:
    here = await world()
    await here.ask(DO, WEB)
    start = here.link.now
    here.front.tick(start + http2.PING_INTERVAL)
    await asyncio.sleep(0)
    here.peer.hear()
    assert len(here.peer.heard(h2.events.PingReceived)) == 1
    here.front.tick(start + http2.PING_INTERVAL + PING_TIMEOUT + 1)
    assert here.peer.transport.aborted
    await asyncio.sleep(0)
    assert here.up.events[-1] == "cancel"


async def test_a_client_without_streams_is_not_pinged() -> None:
    here = await world()
    await here.wait(http2.IDLE_TIMEOUT - 1)
    assert not here.peer.heard(h2.events.PingReceived)


async def test_a_goodbye_that_is_not_taken_is_cut_off() -> None:
    here = await world()
    here.peer.transport.full = True  # the goodbye is what fills it
    here.peer.transport.buffered = 300_000
    here.link.close()
    await here.tick(0)
    await here.tick(CLOSE_TIMEOUT - 0.5)
    assert not here.peer.transport.aborted
    await here.tick(0.5)
    assert here.peer.transport.aborted


async def test_a_drain_finishes_what_runs_and_refuses_what_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http2, "DRAIN_NOTICE", 0.01)
    here = await world()
    running = await here.ask(DO, WEB)
    here.front.drain()
    here.front.drain()
    on_its_way = await here.ask(DO, WEB)
    assert here.peer.goaways == [GoAway(2**31 - 1, ErrorCodes.NO_ERROR, b"")]
    assert len(here.up.opened) == 2
    async with asyncio.timeout(1):
        while len(here.peer.goaways) == 1:
            await asyncio.sleep(0.002)
            await here.peer.talk()
    assert here.peer.goaways[1:] == [GoAway(on_its_way, ErrorCodes.NO_ERROR, b"")]
    await here.ask(DO, WEB)
    assert len(here.up.opened) == 2
    for reply in here.up.replies:
        assert not here.peer.transport.closed
        reply.reply_end(Status(Code.OK), [])
        await here.peer.talk()
    assert here.peer.ended(running)
    assert here.peer.ended(on_its_way)
    assert here.peer.transport.closed
    assert here.census.connections == 0


async def closed(here: World) -> None:
    async with asyncio.timeout(1):
        while not here.peer.transport.closed:
            await asyncio.sleep(0.002)


async def test_a_drain_is_over_with_the_last_stream_after_the_notice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http2, "DRAIN_NOTICE", 0.05)
    here = await world()
    for _ in range(2):
        await here.ask(DO, WEB)
    here.front.drain()
    for reply in here.up.replies:
        reply.reply_end(Status(Code.OK), [])
        await here.peer.talk()
        assert not here.peer.transport.closed
    await closed(here)


async def test_a_stream_that_was_on_its_way_when_the_last_one_ended_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http2, "DRAIN_NOTICE", 0.05)
    here = await world()
    last = await here.ask(DO, WEB, end=False)
    here.front.drain()
    here.peer.h2.reset_stream(last)
    late = await here.ask(DO, WEB)
    await here.answer()
    assert here.peer.ended(late)
    await closed(here)


async def test_a_drain_closes_a_connection_without_streams_after_the_notice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http2, "DRAIN_NOTICE", 0.01)
    here = await world()
    here.front.drain()
    await here.peer.talk()
    assert not here.peer.transport.closed
    await closed(here)


async def test_a_drain_waits_for_what_a_full_transport_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    here = await world()
    later: list[Callable[[], None]] = []
    monkeypatch.setattr(here.peer.clock, "call_later", lambda _, act: later.append(act), raising=False)
    here.front.drain()
    await here.peer.talk()
    here.peer.transport.fill()
    later[0]()
    await asyncio.sleep(0)
    assert not here.peer.transport.closed
    here.peer.transport.drain()
    assert here.peer.transport.closed
    assert not here.peer.transport.aborted
    here.peer.hear()
    assert [goaway.last_stream for goaway in here.peer.goaways] == [2**31 - 1, 0]


async def test_a_connection_that_is_made_during_a_drain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its handshake outlasted the beginning of it."""
    monkeypatch.setattr(http2, "DRAIN_NOTICE", 0.01)
    census = Census(10)
    census.draining = True
    here = await world(census=census)
    assert here.peer.goaways == [GoAway(2**31 - 1, ErrorCodes.NO_ERROR, b"")]
    async with asyncio.timeout(1):
        while not here.peer.transport.closed:
            await asyncio.sleep(0.002)


async def test_at_the_end_every_connection_is_closed() -> None:
    here = await world()
    stream = await here.ask(DO, WEB)
    here.front.close()
    assert here.peer.transport.closed
    await here.peer.talk()
    assert here.peer.goaways == [GoAway(stream, ErrorCodes.NO_ERROR, b"")]
    assert here.up.events[-1] == "cancel"
    assert here.front.links == set()


async def test_the_engine_gives_up_and_every_call_of_the_connection_ends() -> None:
    here = await world()
    await here.ask(DO, WEB, end=False)
    here.peer.request([*head(DO, WEB), *((b"x-%d" % number, b"v" * 1000) for number in range(70))])
    assert here.peer.transport.closed
    await here.tick(0)
    assert here.up.events == ["cancel"]
    assert here.census.connections == 0
    assert len(here.reception.heads) == 1
