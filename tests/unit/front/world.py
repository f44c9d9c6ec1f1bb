"""A front over HTTP/2 with one connection: h2 is at the other end, and lists stand for the backend."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.ends import CallHead
from gateway.front.census import Census
from gateway.front.http2 import BrowserLink, Http2Front
from gateway.front.reception import Reception
from gateway.front.snapshot import FrontSnapshot
from gateway.policy.cors import CorsPolicy
from gateway.protocol.metadata import Header, Headers
from gateway.protocol.status import Code, Status
from gateway.request import Answer, RequestHead
from gateway.settings import Cors
from tests.support import http2 as client
from tests.support.ends import ListUpstream, ManualGate, Road
from tests.support.frames import message
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
