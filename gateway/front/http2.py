"""The HTTP/2 front: connections of browsers, whose streams become calls (RFC 9113, section 8).

Rules
- Pages, preflights and refusals are what `Reception` says, as over HTTP/1.1; native gRPC may come this way.
- A peer that says nothing for `IDLE_TIMEOUT` and has no stream open is let go; one with streams open is pinged.
- A peer that takes nothing out of TCP for `body_stall` is let go.
- To drain is to say so (GOAWAY), to serve what was on its way, and to close when the last stream is done. So ends, too,
  a connection that is older than `max_connection_age`.
"""

import asyncio
from collections.abc import Callable

import structlog

from gateway.front.age import Age
from gateway.front.census import DRAIN_NOTICE, Census
from gateway.front.http2_stream import Exchange, PlainExchange
from gateway.front.listener import Which
from gateway.front.snapshot import FrontSnapshot
from gateway.http2 import Link
from gateway.protocol.metadata import Header
from gateway.request import Answer, RequestHead

log = structlog.get_logger("gateway.front")

CONNECTION_WINDOW = 16 * 1024 * 1024  # bytes of all request bodies of one connection that may be sent ahead
GREETING_TIMEOUT = 10.0  # seconds for the peer's first SETTINGS
IDLE_TIMEOUT = 300.0  # seconds without a stream
PING_INTERVAL = 30.0  # seconds of silence while streams are open


class Http2Front:
    """Makes the protocol of each connection, and looks after all of them."""

    def __init__(self, snapshot: Callable[[], FrontSnapshot], census: Census) -> None:
        self.snapshot = snapshot
        self.census = census
        self.links: set[BrowserLink] = set()

    def __call__(self) -> "BrowserLink":
        return BrowserLink(self)

    def tick(self, now: float) -> None:
        """About once a second, with the loop's time."""
        for link in tuple(self.links):
            link.tick(now)

    def drain(self) -> None:
        for link in tuple(self.links):
            link.drain()

    def dismiss(self, which: Which) -> None:
        """As `drain`, these connections."""
        for link in tuple(self.links):
            if which(link.transport):
                link.drain()

    def lost(self, link: "BrowserLink") -> None:
        self.links.discard(link)
        self.census.disconnected()

    def close(self) -> None:
        for link in tuple(self.links):
            link.close()


class BrowserLink(Link):
    """The server's end of one connection."""

    streams: "dict[int, Exchange | PlainExchange]"  # type: ignore[assignment]

    def __init__(self, front: Http2Front) -> None:
        super().__init__(server=True, window=CONNECTION_WINDOW, keepalive=PING_INTERVAL)
        self._front = front
        self._greeted = False
        self._draining = False
        self._age: Age
        self._used_at = 0.0  # loop time when a stream was last open

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._used_at = self.heard_at
        self._age = Age(self.heard_at)
        self._front.links.add(self)
        if not self._front.census.connected():
            self.close()
        elif self._front.census.draining:
            self.drain()

    def connection_lost(self, exc: Exception | None) -> None:
        self._front.lost(self)
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Who does not read is not read from, so that answers and acknowledgements do not pile up."""
        super().pause_writing()
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.wants_to_read:
            self.transport.resume_reading()

    @property
    def wants_to_read(self) -> bool:
        return super().wants_to_read and not self._stuck

    def settings_received(self) -> None:
        self._greeted = True

    def tick(self, now: float) -> None:
        super().tick(now)
        if self._age.exceeds(self._front.census.max_connection_age, now):
            self.drain()
        if self.streams or self._stuck:
            self._used_at = now
            self._look_for_stalls(now)
        elif now - self._used_at >= (IDLE_TIMEOUT if self._greeted else GREETING_TIMEOUT):
            self.close()

    def worn_out(self) -> None:
        self.drain()

    def drain(self) -> None:
        """Finish what runs, refuse what is new; the engine closes when both are done."""
        if self._draining:
            return
        self._draining = True
        self.shutdown_notice()
        self._loop.call_later(DRAIN_NOTICE, self.goaway)

    def request_received(self, stream_id: int, headers: tuple[Header, ...], ended: bool) -> None:
        snapshot = self._front.snapshot()
        head = self._head(headers)
        found = snapshot.reception.receive(head)
        if isinstance(found, Answer):
            self.streams[stream_id] = plain = PlainExchange(self, stream_id, ended)
            plain.answer(found, body_wanted=head.method != "HEAD")
        else:
            census = self._front.census
            self.streams[stream_id] = exchange = Exchange(self, stream_id, found, snapshot, census.over)
            census.begun(exchange.call)
            exchange.call.start()
            if ended:
                exchange.request_end()

    def request_malformed(self) -> None:
        log.info("bad_request", peer=self.peer.address, reason="malformed")

    def _head(self, block: tuple[Header, ...]) -> RequestHead:
        """The engine has seen to it that the pseudo-headers come first, once each, and that none is missing."""
        pseudo: dict[bytes, bytes] = {}
        for name, value in block:
            if name[0] != 0x3A:
                break
            pseudo[name] = value
        headers = list(block[len(pseudo) :])
        authority = pseudo.get(b":authority")
        if authority is not None:
            host = (b"host", authority)
            if host in headers:
                headers.remove(host)  # said twice, which is once; another host would be one too many
            headers.append(host)
        return RequestHead(
            method=pseudo[b":method"].decode("latin-1"),
            target=pseudo.get(b":path", b""),
            headers=headers,
            peer=self.peer.address,
            scheme=self.peer.scheme,
            identities=self.peer.identities,
            takes_trailers=True,
        )

    def _look_for_stalls(self, now: float) -> None:
        stall = self._front.snapshot().body_stall
        if self.stuck_for(now) >= stall:
            for stream in self.streams.values():
                stream.stalled()
            self.transport.abort()
            return
        for stream_id, stream in tuple(self.streams.items()):
            # While a full transport drains, nothing is read, and what waits behind it stands still: nobody's fault.
            stream.look_for_stall(now, self.waiting(stream_id), stall, excused=self._stuck)
