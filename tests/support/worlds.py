"""Either end of the gateway with one HTTP/2 connection: all of it real, save the socket and what is behind the end.

Rule: `check` holds at any moment, `check_end` when the connection is lost; an act is what may happen in between.
"""

import asyncio
from collections.abc import Callable, Iterable
from itertools import zip_longest

from gateway.call import Call
from gateway.ends import CallHead, CallLimits, Reply, Roadside, UpstreamRequest
from gateway.front.census import Census
from gateway.front.http2 import BrowserLink, Http2Front
from gateway.front.reception import Reception
from gateway.front.snapshot import FrontSnapshot
from gateway.http2 import MAX_STREAMS
from gateway.permit import Permit, Refusal
from gateway.policy.cors import CorsPolicy
from gateway.protocol.status import OK, Code, Status
from gateway.request import Answer, RequestHead
from gateway.settings import Cors
from gateway.settings import Upstream as UpstreamSettings
from gateway.upstream.backend_link import BackendLink, Dialling
from gateway.upstream.h2 import H2Upstream
from gateway.upstream.h2_stream import MessageLimits
from gateway.upstream.pool import Pool
from tests.support.ends import ManualClock, ManualGate, Road
from tests.support.frames import message
from tests.support.memory import MemoryTransport

ORIGIN = "https://page.test"
MESSAGE = message(b"hello")
REPLY = message(b"x" * 100)
OVERHEAD = 256 * 1024  # bytes that may be written whatever comes in: answers and refusals of all streams
LATER = 40.0  # seconds: longer than body_stall, the interval of pings, and any time-out but that of idle connections


class Echo:
    """The backend's end of one call: a reply as soon as the request has ended."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        self.received = b""
        self.ended = self.cancelled = False

    def send(self, data: bytes) -> None:
        self.received += data
        assert not self.ended
        assert not self.cancelled

    def end(self) -> None:
        assert not self.ended
        self.ended = True
        asyncio.get_running_loop().call_soon(self._answer)

    def cancel(self) -> None:
        assert not self.cancelled
        self.cancelled = True

    def pause(self) -> None:
        """It says little."""

    def resume(self) -> None:
        """It says little."""

    def _answer(self) -> None:
        if not self.cancelled:
            self.reply.reply_head([(b"x-a", b"1")])
            self.reply.reply_bytes(REPLY)
            self.reply.reply_end(OK, [])


class Gate(ManualGate):
    """Lets calls in, now or later."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[Callable[[Permit | Refusal], None]] = []

    def decide(self, head: CallHead, answer: Callable[[Permit | Refusal], None]) -> None:
        if self.at_once:
            super().decide(head, answer)
        else:
            self.entered += 1
            self.waiting.append(answer)

    def answer_all(self) -> None:
        waiting, self.waiting = self.waiting, []
        for answer in waiting:
            answer(Permit(b"/test.v1.Test/Do"))


class Begun(Census):
    """Keeps all calls that there were."""

    def __init__(self) -> None:
        super().__init__(max_connections=10)
        self.all: list[Call] = []

    def begun(self, call: Call) -> None:
        self.all.append(call)
        super().begun(call)


class Front:
    """A front in which all but the socket, the gate and the backend is real, with one connection."""

    def __init__(self) -> None:
        self.gate = Gate()
        self.over: list[Call] = []
        self.opened: list[Echo] = []
        clock = ManualClock()
        road = Roadside(
            gate=self.gate, opener=self, limits=CallLimits(), forward_authorization=True, stripped=frozenset(),
            observer=self, clock=clock, wall_clock=clock.time, stopwatch=clock.time,
        )  # fmt: skip
        snapshot = FrontSnapshot(Reception(CorsPolicy(Cors(allow_origins=(ORIGIN,))), self), road, 30.0)
        self.census = Begun()
        self.front = Http2Front(lambda: snapshot, self.census)
        self.link = BrowserLink(self.front)
        self.transport = MemoryTransport(peername=("192.0.2.1", 1))
        self.transport.connect(self.link)

    def open(self, permit: Permit, request: UpstreamRequest, reply: Reply) -> Echo:
        self.opened.append(Echo(reply))
        return self.opened[-1]

    def settled(self, call: Call) -> None:
        self.over.append(call)

    def refused(self, head: RequestHead, answer: Answer) -> None:
        """Looks away."""

    def check(self, heard: int) -> None:
        """What holds at any moment; `heard`: bytes that came in."""
        assert len(self.link.streams) <= MAX_STREAMS
        assert len(self.over) == len(set(map(id, self.over)))
        assert sum(map(len, self.transport.writes)) <= OVERHEAD + 4 * heard
        assert self.gate.left <= self.gate.entered

    def check_end(self) -> None:
        """What holds when the connection is lost."""
        assert set(map(id, self.over)) == set(map(id, self.census.all))
        assert len(self.over) == len(self.census.all)
        assert (self.link.streams, self.census.calls, self.front.links) == ({}, set(), set())
        assert (self.census.connections, self.gate.left) == (0, self.gate.entered)
        assert all(backend.cancelled or backend.ended for backend in self.opened)


class Back:
    """An upstream in which all but the socket is real, with one connection and three calls."""

    def __init__(self) -> None:
        plaintext = UpstreamSettings(services=("test.v1.Test",), targets=("192.0.2.1:1",), plaintext=True)
        self.pool = Pool("test", plaintext, "test")
        upstream = H2Upstream("test", self.pool, MessageLimits(1_000_000, 16_000_000))
        prelude = [(b":method", b"POST"), (b":scheme", b"http"), (b":authority", b"test")]
        self.link = BackendLink(Dialling(None, "", prelude, (b"user-agent", b"test"), None), self)
        self.link.ready.add_done_callback(asyncio.Future.exception)  # who dials would look at it
        self.transport = MemoryTransport()
        self.transport.connect(self.link)
        self.pool.roster.add(self.link)
        self.pool.ready.append(self.link)
        self.roads = [Road(upstream=upstream) for _ in range(3)]  # type: ignore[arg-type]
        for road, body in zip(self.roads, (MESSAGE, MESSAGE * 3, b""), strict=True):
            road.start().call.request_bytes(body)
        self.roads[0].call.request_end()

    def room(self) -> None:
        self.pool.serve_waiting()

    def retired(self, link: BackendLink) -> None:
        self.pool.retired(link)

    def lost(self, link: BackendLink) -> None:
        self.pool.lost(link)

    def check(self, heard: int) -> None:
        for road in self.roads:
            assert len(road.down.ends) + road.down.aborts <= len(road.over) <= 1
            assert sum(map(len, road.down.chunks)) <= heard + 2000
            assert len(road.down.heads) <= 1
        assert sum(map(len, self.transport.writes)) <= OVERHEAD + 4 * heard

    def check_end(self) -> None:
        """Calls that no backend has surely seen wait for another connection."""
        waiting = [road for road in self.roads if not road.over]
        assert len(self.pool.waiting) == len(waiting)
        for road in waiting:
            road.call.cancel()
        assert [len(road.over) for road in self.roads] == [1, 1, 1]
        assert (self.link.streams, self.pool.waiting, self.pool.ready) == ({}, {}, [])


LINE_ACTS = ("nothing", "the socket is full", "the socket is drained", "a tick", "a later tick")
FRONT_ACTS = (
    *LINE_ACTS, "the gate takes its time", "the gate answers", "the backend fails", "the backend pauses",
    "the backend reads on", "the backend says half of something", "a drain",
)  # fmt: skip
BACK_ACTS = (
    *LINE_ACTS, "the browser leaves", "the browser pauses", "the browser reads on", "more of a request",
    "the end of a request", "a call fails", "the connection is to go",
)  # fmt: skip


def do(side: Front | Back, act: str) -> None:
    now = asyncio.get_running_loop().time()
    match act:
        case "the socket is full" if not side.transport.closed | side.transport.full:
            side.transport.buffered = 1000
            side.transport.fill()
        case "the socket is drained" if side.transport.full:
            side.transport.drain()
            assert side.transport.reading or side.transport.closed
        case "a tick":
            side.link.tick(now)
        case "a later tick":
            side.link.tick(now + LATER)
        case _ if isinstance(side, Front):
            do_before(side, act)
        case _:
            do_behind(side, act)


def do_before(front: Front, act: str) -> None:
    """What the gate and the backend do."""
    reply = front.opened[-1].reply if front.opened else None
    match act:
        case "the gate takes its time":
            front.gate.at_once = not front.gate.at_once
        case "the gate answers":
            front.gate.answer_all()
        case "the backend fails" if reply is not None:
            reply.fail(Status(Code.UNAVAILABLE), "unreachable")
        case "the backend pauses" if reply is not None:
            reply.pause_request()
        case "the backend reads on" if reply is not None:
            reply.resume_request()
        case "the backend says half of something" if reply is not None:
            reply.reply_bytes(REPLY[:7])
        case "a drain":
            front.front.drain()


def do_behind(back: Back, act: str) -> None:
    """What the browsers do, and the pool."""
    first, second, third = (road.call for road in back.roads)
    match act:
        case "the browser leaves":
            first.cancel()
        case "the browser pauses":
            first.pause_reply()
        case "the browser reads on":
            first.resume_reply()
        case "more of a request":
            second.request_bytes(MESSAGE)
        case "the end of a request":
            third.request_end()
        case "a call fails":
            third.fail(Status(Code.DEADLINE_EXCEEDED), "deadline")
        case "the connection is to go":
            back.link.retire()


async def feed(side: Front | Back, chunks: list[bytes], acts: Iterable[str] = ()) -> None:
    """The chunks, and between them what happens besides, until the connection is lost."""
    heard = 0
    await turn()
    for chunk, act in zip_longest(chunks, acts):
        if chunk is not None and not side.transport.reading:
            do(side, "the socket is drained")
            await turn()
        if side.transport.closed:
            break
        if chunk is not None:
            side.link.data_received(chunk)
            heard += len(chunk)
        if act is not None:
            do(side, act)
        await turn()
        side.check(heard)
    side.transport.abort()
    await turn()
    if isinstance(side, Front):
        side.gate.answer_all()  # to calls that are gone
    side.check_end()


async def turn() -> None:
    """All that one event brings about: a flush, what the other side says to it, and its flush."""
    for _ in range(4):
        await asyncio.sleep(0)
