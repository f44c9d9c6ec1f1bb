"""The HTTP/2 front: a stream becomes a `Call`, and what the call says becomes the response (RFC 9113, section 8).

    Link ── headers, data, closed ──▶ Exchange ── request_bytes, request_end, cancel ──▶ Call
    Link ◀── respond, send, end ──── Exchange ◀── send_head, send, end ────────────────── Call

Rules
- Pages, preflights and refusals are what `Reception` says, as over HTTP/1.1; native gRPC may come this way.
- What a paused call does not take keeps the browser's window shut; what the browser does not take pauses the backend.
- A peer that says nothing for `IDLE_TIMEOUT` and has no stream open is let go; one with streams open is pinged.
- A body that stops inside a message, and a reader that takes nothing, are let go after `body_stall`.
- To drain is to say so (GOAWAY), to serve what was on its way, and to close when the last stream is done.
"""

import asyncio
from collections.abc import Callable

import structlog

from gateway.call import Call
from gateway.ends import CallHead
from gateway.front.census import Census
from gateway.front.fields import SERVER, date
from gateway.front.identities import identities_of
from gateway.front.snapshot import FrontSnapshot
from gateway.http2 import CANCEL, INTERNAL_ERROR, Link
from gateway.protocol.metadata import Header, Headers
from gateway.protocol.status import Code, Status
from gateway.request import Answer, RequestHead

log = structlog.get_logger("gateway.front")

CONNECTION_WINDOW = 16 * 1024 * 1024  # bytes of all request bodies of one connection that may be sent ahead
HANDSHAKE_TIMEOUT = 10.0  # seconds for the peer's first SETTINGS
IDLE_TIMEOUT = 300.0  # seconds without a stream
PING_INTERVAL = 30.0  # seconds of silence while streams are open
DRAIN_NOTICE = 1.0  # seconds for the peer to hear of the drain before streams are refused
OK: Header = (b":status", b"200")
STALLED = Status(Code.DEADLINE_EXCEEDED, "the request body stopped arriving")


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
        self._used_at = 0.0  # loop time when a stream was last open
        self.peer = ""
        self.scheme = b"http"
        self.identities: tuple[str, ...] = ()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._used_at = self.heard_at
        self._front.links.add(self)
        peername = transport.get_extra_info("peername")
        self.peer = peername[0] if isinstance(peername, tuple) else ""  # a Unix socket's
        if transport.get_extra_info("sslcontext") is not None:
            self.scheme = b"https"
            self.identities = identities_of(transport.get_extra_info("peercert"))
        if not self._front.census.connected():
            log.warning("connection_refused", reason="max_connections")
            self.close()
        elif self._front.census.draining:
            self.drain()

    def connection_lost(self, exc: Exception | None) -> None:
        self._front.links.discard(self)
        self._front.census.disconnected()
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
        if self.streams:
            self._used_at = now
            self._look_for_stalls(now)
        elif now - self._used_at >= (IDLE_TIMEOUT if self._greeted else HANDSHAKE_TIMEOUT):
            self.close()

    def worn_out(self) -> None:
        self.drain()

    def drain(self) -> None:
        """Finish what runs, refuse what is new, then close."""
        if self._draining:
            return
        self._draining = True
        self.shutdown_notice()
        self._loop.call_later(DRAIN_NOTICE, self._refuse_more)

    def _refuse_more(self) -> None:
        self.goaway()
        self.stream_gone()

    def stream_gone(self) -> None:
        if self._draining and not self.streams:
            self._loop.call_soon(self._close_drained)

    def _close_drained(self) -> None:
        if not self.streams:
            self.close()

    def request_received(self, stream_id: int, headers: tuple[Header, ...], ended: bool) -> None:
        snapshot = self._front.snapshot()
        head = self._head(headers)
        found = snapshot.reception.receive(head)
        if isinstance(found, Answer):
            self.streams[stream_id] = plain = PlainExchange(self, stream_id, ended)
            plain.answer(found, body_wanted=head.method != "HEAD")
        else:
            self.streams[stream_id] = exchange = Exchange(self, stream_id, found, snapshot)
            self._front.census.begun(exchange.call)
            exchange.call.start()
            if ended:
                exchange.request_end()

    def over(self, call: Call) -> None:
        self._front.census.over(call)

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
            peer=self.peer,
            scheme=self.scheme,
            identities=self.identities,
            trailers=True,
        )

    def _look_for_stalls(self, now: float) -> None:
        stall = self._front.snapshot().body_stall
        if stall is None:
            return
        if self.stuck_for(now) >= stall:
            for stream in self.streams.values():
                stream.stalled()
            self.transport.abort()
            return
        for stream_id, stream in tuple(self.streams.items()):
            # While a full transport drains, what waits behind it stands still without anybody's fault.
            waiting = 0 if self._stuck else self.waiting(stream_id)
            stream.look_for_stall(now, waiting, stall)


class PlainExchange:
    """A stream that is no call: its answer is complete at once, and its body is passed over."""

    __slots__ = ("_ended", "_id", "_link", "_moved")

    def __init__(self, link: BrowserLink, stream_id: int, ended: bool) -> None:
        self._link = link
        self._id = stream_id
        self._ended = ended
        self._moved = (0, 0.0)

    def answer(self, answer: Answer, *, body_wanted: bool) -> None:
        headers: Headers = [(b":status", b"%d" % answer.status), *answer.headers, SERVER, date()]
        if answer.status not in (204, 304):
            headers.append((b"content-length", b"%d" % len(answer.body)))
        body = answer.body if body_wanted and answer.status not in (204, 304) else b""
        self._link.respond(self._id, headers, end=not body)
        if body:
            self._link.send(self._id, body, end=True)
        if not self._ended:
            self._link.wants_no_more(self._id)

    def headers_received(self, headers: tuple[Header, ...], ended: bool) -> None:
        """Only responses have them."""

    def data_received(self, data: bytes, ended: bool) -> None:
        self._link.consumed(self._id, len(data))

    def trailers_received(self, headers: tuple[Header, ...]) -> None:
        """Nobody waits for them."""

    def full(self) -> None:
        """All of the answer is here already."""

    def writable(self) -> None:
        """All of the answer is here already."""

    def left(self) -> None:
        """Nothing is left to do."""

    def closed(self, error: int, by_peer: bool) -> None:
        """Nothing is left to do."""

    def lost(self, processed: bool) -> None:
        """Nothing is left to do."""

    def look_for_stall(self, now: float, waiting: int, stall: float) -> None:
        size, since = self._moved
        if not waiting or waiting != size:
            self._moved = (waiting, now)
        elif now - since >= stall:
            self._link.reset(self._id, CANCEL)

    def stalled(self) -> None:
        """Nothing is left to do."""


class Exchange:
    """The browser's end (`Downstream`) of one call."""

    __slots__ = (
        "_call_head", "_debt", "_ended", "_held", "_id", "_link", "_moved", "_reception", "call",
    )  # fmt: skip

    def __init__(self, link: BrowserLink, stream_id: int, head: CallHead, snapshot: FrontSnapshot) -> None:
        self._link = link
        self._id = stream_id
        self._call_head = head
        self._reception = snapshot.reception
        self._ended = False  # the request
        self._held = False  # the call takes no more for now
        self._debt = 0  # bytes of the request for which the browser's window stays shut
        self._moved = (0, 0, 0.0)
        self.call = Call(head, self, snapshot.road)

    # -- from the browser ----------------------------------------------------------------------------------------

    def headers_received(self, headers: tuple[Header, ...], ended: bool) -> None:
        """Only responses have them."""

    def data_received(self, data: bytes, ended: bool) -> None:
        self.call.request_bytes(data)
        if self._held:
            self._debt += len(data)
        else:
            self._link.consumed(self._id, len(data))
        if ended:
            self.request_end()

    def trailers_received(self, headers: tuple[Header, ...]) -> None:
        """A request's trailers say nothing in gRPC, save that it is over."""
        self.request_end()

    def request_end(self) -> None:
        self._ended = True
        self.call.request_end()

    def full(self) -> None:
        self.call.pause_reply()

    def writable(self) -> None:
        self.call.resume_reply()

    def left(self) -> None:
        self.call.delivered()

    def closed(self, error: int, by_peer: bool) -> None:
        self.lost(processed=True)
        if self._debt:
            self._link.consumed(self._id, self._debt)

    def lost(self, processed: bool) -> None:
        call = self.call
        call.cancel()
        call.delivered()
        self._link.over(call)
        del self.call  # the two refer to each other; so they are freed now, and the collector has nothing to do

    def look_for_stall(self, now: float, waiting: int, stall: float) -> None:
        """About once a second; `waiting`: bytes of the reply that the browser has no room for."""
        seen = self.call.request_bytes_seen
        last_waiting, last_seen, since = self._moved
        must_move = waiting > 0 or (not self._ended and not self._held and self.call.within_message)
        if not must_move or waiting != last_waiting or seen != last_seen:
            self._moved = (waiting, seen, now)
        elif now - since >= stall:
            if waiting:
                self.stalled()
                self._link.reset(self._id, CANCEL)
            else:
                self.call.fail(STALLED, "body_stall")

    def stalled(self) -> None:
        self.call.cancel("reader_stall")

    # -- what the call says --------------------------------------------------------------------------------------

    def send_head(self, metadata: Headers) -> None:
        self._link.respond(self._id, [OK, *self._reception.reply_head(self._call_head, metadata), SERVER, date()])

    def send(self, data: bytes) -> None:
        self._link.send(self._id, data)

    def end(self, trailers: Headers | None = None) -> None:
        self._link.end(self._id, trailers)
        if not self._ended:
            self._link.wants_no_more(self._id)

    def abort(self) -> None:
        self._link.reset(self._id, INTERNAL_ERROR)

    def pause_reading(self) -> None:
        self._held = True

    def resume_reading(self) -> None:
        self._held = False
        if self._debt:
            debt, self._debt = self._debt, 0
            self._link.consumed(self._id, debt)
            self._link.flush_soon()
