"""The backend's end of one call over HTTP/2: gRPC frames cross as they are (PROTOCOL-HTTP2.md).

    Call.send, end, cancel ──▶ H2Stream ──▶ BackendLink
    Call.reply_* ◀──────────── H2Stream ◀── headers, data, trailers, closed

| state   | connection    | none to come | request | browser leaves  | reply | its end | refused*           | failed* |
|---------|---------------|--------------|---------|-----------------|-------|---------|--------------------|---------|
| WAITING | send, be OPEN | answer       | keep    | leave the queue |       |         |                    |         |
| OPEN    |               |              | send    | reset           | relay | answer  | WAITING, or answer | answer  |
| OVER    |               |              | drop    |                 | drop  | drop    | drop               | drop    |

To answer is to be OVER, and so is to be left by the browser. Whether the reply is paused is another matter.
*refused: surely not processed (REFUSED_STREAM, beyond a GOAWAY, never sent). failed: the connection is lost, or the
stream is reset.

Rules
- A call that was refused is sent again, as long as all of its request is still here; one that failed, or whose backend
  is UNAVAILABLE, only if its method is idempotent (idempotent_stream.py).
- What the browser does not take keeps the backend's window shut; what the backend does not take pauses the browser.
- A stream that is over at one end is closed at the other: reset where the backend would go on.
- A caller that names no encodings gets no compressed message, whatever the backend does.
- What the backend says of itself stays in the log, save a status, its metadata and the text of an HTTP error.
"""

import enum
from dataclasses import dataclass

import structlog

from gateway.ends import Reply, UpstreamRequest
from gateway.http2 import CANCEL, NO_ERROR, PROTOCOL_ERROR, REFUSED_STREAM, error_name
from gateway.permit import Refusal
from gateway.protocol.compression import OPENED, MessageOpener
from gateway.protocol.metadata import Header, Headers, reply_metadata
from gateway.protocol.status import Code, Status, WireError, from_reset
from gateway.protocol.trailers import read_status
from gateway.upstream.backend_link import BackendLink
from gateway.upstream.http_reply import HttpReply, http_reply
from gateway.upstream.opened_reply import OpenedReply
from gateway.upstream.pool import Pool
from gateway.upstream.retry_buffer import RetryBuffer

log = structlog.get_logger("gateway.upstream")

KEPT = 64 * 1024  # bytes of a request that are kept so that it can be sent again
HELD = 256 * 1024  # bytes of a request that wait for a connection before the browser is paused
REFUSED_ATTEMPTS = 2  # what was refused is sent once more, not on and on (gRFC A6, "Transparent Retries")

LOST = Status(Code.UNAVAILABLE, "the connection to the backend was lost")
REFUSED = Refusal(LOST, "unreachable")  # by every connection that it was sent on
INVALID = Status(Code.INTERNAL, "the backend's answer is not valid HTTP/2")  # a header that no header can be
NO_STATUS = Status(Code.UNKNOWN, "the backend ended the call without a status")


@dataclass(frozen=True, slots=True)
class MessageLimits:
    """Bytes of one message, decompressed."""

    request: int
    response: int


class State(enum.Enum):
    WAITING = enum.auto()  # for a connection
    OPEN = enum.auto()  # on a connection
    OVER = enum.auto()


WAITING, OPEN, OVER = State  # a name of the module costs a call less than a member of an Enum


class H2Stream:
    """The backend's end (`UpstreamStream`) of one call."""

    __slots__ = (
        "_attempts", "_buffer", "_ended", "_http_reply", "_id", "_link", "_max_response", "_opened", "_opens_reply",
        "_path", "_paused", "_pool", "_reply", "_request_opener", "_state",
    )  # fmt: skip

    _link: BackendLink  # once it has been OPEN

    def __init__(self, pool: Pool, path: bytes, request: UpstreamRequest, reply: Reply, limits: MessageLimits) -> None:
        self._pool = pool
        self._path = path
        self._reply: Reply = reply
        self._state = WAITING
        self._id = 0
        self._attempts = 0
        self._buffer: RetryBuffer | None = RetryBuffer(path, request)  # while it may have to be sent (again)
        self._ended = False  # the request
        # What the browser compressed crosses as it came, but is opened to see how long it is.
        self._request_opener = _opener(request.encoding, limits.request)
        self._opens_reply = not request.names_encodings
        self._max_response = limits.response
        self._opened: OpenedReply | None = None
        self._http_reply: HttpReply | None = None
        self._paused = False  # the reply

    # -- the pool ------------------------------------------------------------------------------------------------

    def begin(self, link: BackendLink) -> bool:
        """Send the request on a connection, as far as it is here; False: the connection takes no more."""
        buffer = self._buffer
        assert buffer is not None
        stream_id = link.open(buffer.head(link), self)
        if not stream_id:
            return False
        self._state, self._link, self._id = OPEN, link, stream_id
        self._attempts += 1
        if self._paused:
            link.hold(stream_id)
        if buffer.size > HELD:
            self._reply.resume_request()
        for data in buffer.chunks:
            link.send(stream_id, data)
        if self._ended:
            link.end(stream_id)
        return True

    def fail(self, refusal: Refusal) -> None:
        """There is no connection."""
        self._over(refusal.status.code)
        self._reply.fail(refusal.status, refusal.reason)

    def _refused(self) -> None:
        if self._attempts >= REFUSED_ATTEMPTS and self._sent_again(LOST, []):
            return
        self._state = WAITING
        refusal = REFUSED if self._attempts >= REFUSED_ATTEMPTS else self._pool.assign(self)
        if refusal is not None:
            self.fail(refusal)

    def _sent_again(self, status: Status, metadata: Headers) -> bool:  # noqa: ARG002 - IdempotentStream's
        """Whether this is not the end: what has failed is tried once more."""
        return False

    # -- UpstreamStream ------------------------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        if self._request_opener is not None:
            try:
                for _ in self._request_opener.feed(data):
                    pass  # it is short enough
            except WireError as error:
                self._reply.fail(error.status, "bad_frame")
                return
        if self._buffer is not None:
            self._keep(self._buffer, data)
        if self._state is OPEN:
            self._link.send(self._id, data)

    def _keep(self, buffer: RetryBuffer, data: bytes) -> None:
        before = buffer.size
        buffer.add(data)
        if self._state is WAITING:
            if before <= HELD < buffer.size:
                self._reply.pause_request()
        elif buffer.size > KEPT:
            self._buffer = None

    def end(self) -> None:
        self._ended = True
        if self._state is OPEN:
            self._link.end(self._id)

    def cancel(self) -> None:
        if self._state is WAITING:
            self._pool.forget(self)
        elif self._state is OPEN:
            self._link.suspect()
            self._link.reset(self._id, CANCEL)
        if self._state is not OVER:
            self._over(Code.CANCELLED)

    def pause(self) -> None:
        self._paused = True
        if self._state is OPEN:
            self._link.hold(self._id)
        if self._opened is not None:
            self._opened.pause()

    def resume(self) -> None:
        self._paused = False
        if self._opened is not None:
            self._opened.resume()  # which may make the browser pause again
        if self._state is OPEN and not self._paused:
            self._link.release(self._id)

    # -- the backend ---------------------------------------------------------------------------------------------

    def headers_received(self, headers: tuple[Header, ...], ended: bool) -> None:
        if self._state is OVER:
            return
        self._http_reply = http_reply(headers)
        if ended:  # Trailers-Only
            self.trailers_received(headers)
        elif self._http_reply is None:
            self._buffer = None  # a stream may live for hours
            if (metadata := self._metadata(headers)) is not None:
                self._look_at_encoding(metadata)
                self._reply.reply_head(metadata)

    def _look_at_encoding(self, metadata: Headers) -> None:
        """Of the reply's messages: which of them the caller can open, if any, it has said."""
        if self._opens_reply:
            encoding = next((value for name, value in metadata if name == b"grpc-encoding"), b"")
            if encoding in OPENED:
                self._reply = self._opened = OpenedReply(self._reply, encoding, self._max_response)
                if self._paused:
                    self._opened.pause()

    def data_received(self, data: bytes, ended: bool) -> None:
        if self._state is OVER:
            return
        if self._http_reply is None:
            self._reply.reply_bytes(data)
        else:
            ended |= self._http_reply.add(data)
        if ended:
            self._end(self._without_status(), [])

    def trailers_received(self, headers: tuple[Header, ...]) -> None:
        if self._state is OVER:
            return
        status = read_status(headers)
        if status is None or (self._http_reply is not None and not status.code):
            status = self._without_status()
        if (metadata := self._metadata(headers)) is not None:
            self._end(status, metadata)

    def _metadata(self, headers: tuple[Header, ...]) -> Headers | None:
        """None: they are too many, and the call has failed."""
        try:
            return reply_metadata(headers)
        except WireError as error:
            self._reply.fail(error.status, "bad_reply")
            return None

    def _without_status(self) -> Status:
        return NO_STATUS if self._http_reply is None else self._http_reply.status

    def full(self) -> None:
        self._reply.pause_request()

    def writable(self) -> None:
        self._reply.resume_request()

    def delivered(self) -> None:
        """Only answers leave before their request is complete."""

    def closed(self, error: int, by_peer: bool) -> None:
        if self._state is OVER:
            return
        if self._link.outlier is not None:
            self._link.outlier.note(failed=from_reset(error) in (Code.UNAVAILABLE, Code.INTERNAL))
        if error == REFUSED_STREAM and self._buffer is not None:
            self._refused()
            return
        invalid = error == PROTOCOL_ERROR and not by_peer
        method, code = self._path.decode("ascii"), error_name(error)
        log.warning("backend_reset", upstream=self._pool.name, method=method, code=code, invalid=invalid)
        status = INVALID if invalid else Status(from_reset(error), "the backend broke off the call")
        if not self._sent_again(status, []):
            self._answer(status, [])

    def lost(self, processed: bool) -> None:
        if self._state is OVER:
            return
        if not processed and self._buffer is not None:
            self._refused()
        elif not self._sent_again(LOST, []):
            self._answer(LOST, [])

    # -- the end -------------------------------------------------------------------------------------------------

    def _end(self, status: Status, metadata: Headers) -> None:
        """The backend has said its last, though it may not have heard all of the request."""
        if self._state is OVER:
            return
        link, stream_id = self._link, self._id
        if not self._ended or self._http_reply is not None or link.waiting(stream_id):
            link.reset(stream_id, NO_ERROR)
        else:
            link.expect_end(stream_id)
        if link.outlier is not None:
            link.outlier.note(failed=status.code == Code.UNAVAILABLE)
        if status.code and self._sent_again(status, metadata):
            link.disown(stream_id)
        else:
            self._answer(status, metadata)

    def _answer(self, status: Status, metadata: Headers) -> None:
        self._over(status.code)
        self._reply.reply_end(status, metadata)

    def _over(self, code: int) -> None:  # noqa: ARG002 - IdempotentStream's
        self._state = OVER
        self._pool.calls -= 1


def _opener(encoding: bytes, max_message: int) -> MessageOpener | None:
    return MessageOpener(encoding, max_message) if encoding in OPENED else None
