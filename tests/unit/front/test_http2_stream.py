"""The streams of a browser: each becomes a call, or a plain answer."""

import asyncio
import gc
from email.utils import parsedate_to_datetime

import h2.events
import pytest
from h2.errors import ErrorCodes
from h2.settings import SettingCodes

from gateway.call import Call
from gateway.front.http2_stream import SMALL, Exchange
from gateway.http2 import STREAM_WINDOW
from gateway.http2.link import GRACE
from gateway.permit import Refusal
from gateway.protocol.frames import frame
from gateway.protocol.metadata import Header
from gateway.protocol.status import Code, Status
from tests.support.ends import ManualGate
from tests.support.frames import message, take_apart
from tests.unit.front.world import DO, FRAME, NATIVE, OK, ORIGIN, STALL, WEB, fields, head, world

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


@pytest.mark.parametrize("body_comes", [True, False])
async def test_a_stream_whose_call_is_over_before_its_request_ends_with_that_or_soon(
    body_comes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.front.http2_stream.HELD_END", 60.0 if body_comes else 0.01)
    here = await world(gate=ManualGate(Refusal(Status(Code.PERMISSION_DENIED), "no_rule")))
    stream = await here.ask(DO, WEB, end=False)
    assert b"grpc-status:7" in here.peer.body(stream)
    assert not here.peer.ended(stream)
    if body_comes:
        here.peer.send(stream, FRAME, end=True)
    else:
        await asyncio.sleep(0.02)
    await here.peer.talk()
    assert here.peer.ended(stream)
    assert here.peer.reset(stream) is None


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
