"""One HTTP/1.1 connection of aiohttp's server, with what aiohttp leaves open closed.

Rules
- A peer that sends no complete request head within `HEAD_TIMEOUT`, or more of one than `MAX_HEAD`, is let go.
- Errors of the parser are answered with a bare 400: aiohttp would echo the input and log a traceback. A body that the
  parser gives up in fails at once: aiohttp would let its reader wait for the rest.
- A peer that leaves is noticed also while nothing is read from it.
- Who is to go says so with the next head of an answer, and finishes that, its request's body included. A connection
  that is closed between two answers may lose a request that is on its way (RFC 9112, section 9.5), and one that is
  closed before the first surely does: so a drain closes what is idle after `DRAIN_NOTICE`, and age closes nothing.
- What is true for the whole connection (peer, scheme, certificate) is worked out once.
- A connection that is lost is freed at once, though the collector is set to run rarely: nothing here refers to itself.
- Every answer is in our own version of HTTP, whatever the request's is. A client of HTTP/1.0 gets one answer, and its
  connection ends there.
"""

import asyncio
import select
from typing import Any

import structlog
from aiohttp import StreamReader, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import HttpVersion, HttpVersion10, HttpVersion11, RawRequestMessage
from aiohttp.http_exceptions import BadStatusLine, InvalidURLError, LineTooLong
from aiohttp.web_protocol import _ErrInfo  # what aiohttp queues in place of a request that it could not parse

from gateway.front.age import Age
from gateway.front.census import DRAIN_NOTICE, Census
from gateway.front.fields import SERVER_NAME
from gateway.front.listener import Which
from gateway.peer import Peer

log = structlog.get_logger("gateway.front")

HEAD_TIMEOUT = 75.0  # seconds between two requests, and for the first one to be complete
MAX_HEAD = 64 * 1024  # bytes of one request head; aiohttp limits each line and how many there are: 2 MiB together
LINGERING = 5.0  # seconds that a body which nobody wants is still read, so that the answer arrives
WRITE_BUFFER = 64 * 1024  # bytes that wait for a slow reader; TLS would take 512 KiB before it says so
PRESENCE = 0.05  # seconds between two looks at a peer from which nothing is read
COMPLAINTS = ((LineTooLong, "too_long"), (BadStatusLine, "request_line"), (InvalidURLError, "target"))  # of the parser
LEFT = getattr(select, "POLLRDHUP", 0)  # Linux; elsewhere only a reset shows, which poll always tells


class Request(web.BaseRequest):
    """A request whose answer names our version; aiohttp would repeat the client's."""

    @property
    def version(self) -> HttpVersion:
        """What the answer is written in (RFC 9110, section 2.5)."""
        return HttpVersion11

    @property
    def is_old(self) -> bool:
        """The client speaks HTTP/1.0: it reads no chunks and no informational answer."""
        return self._version == HttpVersion10

    @property
    def defect(self) -> str:
        """What the parser lets pass, in a word for the log: a version that is not HTTP/1, a transfer coding that nobody
        here decodes. Empty where there is nothing.
        """
        coding = self.headers.get("Transfer-Encoding")
        if self._version == HttpVersion11:
            is_known = coding is None or coding.lower() == "chunked"
        elif self.is_old:
            is_known = coding is None
        else:
            return "version"
        return "" if is_known else "transfer_encoding"

    @property
    def awaits_leave(self) -> bool:
        """The body comes after `100 Continue`; a client of HTTP/1.0 cannot mean it (RFC 9110, section 10.1.1)."""
        return not self.is_old and self.headers.get("Expect", "").lower() == "100-continue"


class Unframed(web.StreamResponse):
    """A response of unknown length without chunks: where the connection ends, it does (RFC 9112, section 6.3)."""

    _length_check = False  # aiohttp's, for bodies whose end is not its business


class Written(web.StreamResponse):
    """Says that the answer is written already, so that aiohttp has nothing left to do. There are two, and no state."""

    def __init__(self, *, last: bool) -> None:
        super().__init__()
        self._last = last

    @property
    def keep_alive(self) -> bool | None:
        return not self._last

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:  # noqa: ARG002 - aiohttp's
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing."""


class Connection(web.RequestHandler):
    """A connection; the server that it belongs to counts it."""

    peer: Peer

    def __init__(self, server: "Http1Server", loop: asyncio.AbstractEventLoop, **options: Any) -> None:
        super().__init__(server, loop=loop, keepalive_timeout=HEAD_TIMEOUT, **options)
        self._server = server
        self._first_timer: asyncio.TimerHandle | None = None
        self._presence_timer: asyncio.TimerHandle | None = None
        self._busy = False  # a request is here that is not answered yet
        self._head_size = 0  # bytes of a request head that is not complete
        self._body: StreamReader | None = None  # of the last request that the parser found
        self.closing = False  # the answer at hand is the last
        self.retiring = False  # or the next one, if the head of that at hand has left and said nothing of it
        self._age: Age

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        assert self.transport is not None
        self.peer = Peer.of(transport)
        self._age = Age(self._loop.time())
        if not self._server.census.connected():
            self.force_close()
            return
        if self._server.census.draining:  # which its handshake, or what came before its first bytes, has outlasted
            self.drain()
        if self.peer.scheme == b"https":
            self.transport.set_write_buffer_limits(WRITE_BUFFER)
        # aiohttp's own timer, keepalive_timeout, begins with the first answer.
        self._first_timer = self._loop.call_later(HEAD_TIMEOUT, self.force_close)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._server.census.disconnected()
        self.became_busy()
        if self._presence_timer is not None:
            self._presence_timer.cancel()
        super().connection_lost(exc)
        self._body = None  # a body refers to its connection, and so do those of requests that still wait
        self._messages.clear()

    def became_busy(self) -> None:
        """A request is being answered: only its own limits hold."""
        if self._first_timer is not None:
            self._first_timer.cancel()
            self._first_timer = None

    def became_idle(self) -> None:
        """The answer is written; the next request may come."""
        self._busy = False

    def drain(self) -> None:
        """Take one more request, if it comes soon."""
        self._retire()
        self._loop.call_later(DRAIN_NOTICE, self.close)

    def _retire(self) -> None:
        if not self.closing:
            self.closing = self.retiring = True

    def close(self) -> None:
        """Take no further request. aiohttp would also drop the rest of a body that is on its way."""
        self.closing = True
        self.retiring = False
        if self._busy:
            return
        if self._waiter is None:
            super().close()  # between an answer and the next request: a body that nobody wants may be coming in
        else:
            self.force_close()

    def tick(self, now: float) -> None:
        if self._age.exceeds(self._server.census.max_connection_age, now):
            self._retire()

    def data_received(self, data: bytes) -> None:
        head_open = self._body is None or self._body.is_eof()
        super().data_received(data)
        if self._messages:
            self._busy = True
            self._head_size = 0
            self._look_at(*self._messages[-1])
        elif head_open:
            self._head_size += len(data)
            if self._head_size > MAX_HEAD:
                self._tell_of_bad_request("too_long")
                self.force_close()

    def _look_at(self, message: object, body: StreamReader) -> None:
        """The latest of what the parser found."""
        if not isinstance(message, _ErrInfo):
            self._body = body
            return
        message.exc.__traceback__ = None  # whose frames refer to the message
        if self._body is not None and not self._body.is_eof() and self._waiter is None:
            # It gave up inside a body: that request's answer says so, and no second one follows.
            self._messages.pop()
            self._lingering_time = 0.0
            self._body.set_exception(web.RequestPayloadError("malformed"))

    def _pause_transport_reading(self) -> None:
        super()._pause_transport_reading()
        if self._presence_timer is None:
            self._presence_timer = self._loop.call_later(PRESENCE, self._look_for_peer)

    def _look_for_peer(self) -> None:
        """End the connection of a peer that has left; who reads learns it by itself."""
        self._presence_timer = None
        if self.transport is None or self.transport.is_reading():
            return
        socket = self.transport.get_extra_info("socket")
        if socket is None:
            return  # TLS has ended, and the connection with it in the next turn
        poll = select.poll()
        poll.register(socket.fileno(), LEFT)
        if poll.poll(0):
            self.transport.abort()
        else:
            self._presence_timer = self._loop.call_later(PRESENCE, self._look_for_peer)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - aiohttp's text echoes the input: never shown
    ) -> web.StreamResponse:
        """Answer for what is no request (status 400), or for a defect of ours (500)."""
        if status < 500:
            return self.refuse(next((word for kind, word in COMPLAINTS if isinstance(exc, kind)), "malformed"))
        log.error("unexpected_error", exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("an answer is under way already")
        return _bare(500, "internal error\n")

    def refuse(self, reason: str) -> web.StreamResponse:
        """Answer for what is no request; `reason` is a word for the log."""
        self._tell_of_bad_request(reason)
        return _bare(400, "bad request\n")

    def _tell_of_bad_request(self, reason: str) -> None:
        log.info("bad_request", peer=self.peer.address, reason=reason)


def _bare(status: int, text: str) -> web.StreamResponse:
    """The last answer of a connection."""
    response = web.Response(status=status, text=text, headers={"Server": SERVER_NAME})
    response.force_close()
    return response


class Http1Server(web.Server):
    """aiohttp's server with our connections; `handler_cancellation` so that a browser that leaves ends its call."""

    def __init__(self, handler: Any, census: Census) -> None:
        super().__init__(
            handler,
            request_factory=self._request,
            handler_cancellation=True,
            access_log=None,
            auto_decompress=False,
            lingering_time=LINGERING,
            max_line_size=8190,
            max_field_size=16 * 1024,
            max_headers=128,
        )
        self.census = census

    def _request(
        self,
        message: RawRequestMessage,
        body: StreamReader,
        connection: web.RequestHandler,
        writer: AbstractStreamWriter,
        task: asyncio.Task[None],
    ) -> Request:
        return Request(message, body, connection, writer, task, self._loop)

    def __call__(self) -> web.RequestHandler:
        return Connection(self, self._loop, **self._kwargs)

    def tick(self, now: float) -> None:
        """About once a second, with the loop's time."""
        if self.census.max_connection_age is not None:
            for connection in self.connections:
                assert isinstance(connection, Connection)
                connection.tick(now)

    def drain(self) -> None:
        self.dismiss(lambda _transport: True)

    def dismiss(self, which: Which) -> None:
        """As `drain`, these connections."""
        for connection in self.connections:
            assert isinstance(connection, Connection)
            if connection.transport is not None and which(connection.transport):
                connection.drain()
