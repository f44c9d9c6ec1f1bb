"""The backend's end of one call over HTTP/2: gRPC frames cross as they are (PROTOCOL-HTTP2.md).

    Call.send, end, cancel ──▶ H2Stream ──▶ BackendLink
    Call.reply_* ◀──────────── H2Stream ◀── headers, data, trailers, closed

Rules
- A call that the backend has surely not processed (REFUSED_STREAM, beyond a GOAWAY, never sent) is sent again, as long
  as all of its request is still here; any other is never sent twice.
- What the browser does not take keeps the backend's window shut; what the backend does not take pauses the browser.
- A stream that is over at one end is closed at the other: reset where the backend would go on.
- A caller that names no encodings gets no compressed message, whatever the backend does.
- What the backend says of itself stays in the log, save a status, its metadata and the text of an HTTP error.
"""

from dataclasses import dataclass

import structlog

from gateway.ends import Reply, UpstreamRequest
from gateway.http2 import CANCEL, NO_ERROR, PROTOCOL_ERROR, REFUSED_STREAM, error_name
from gateway.protocol import timeout
from gateway.protocol.compression import OPENED, MessageOpener
from gateway.protocol.metadata import Header, Headers, reply_metadata
from gateway.protocol.status import Code, Status, WireError, from_http, from_reset
from gateway.protocol.trailers import read_status
from gateway.upstream.backend_link import BackendLink
from gateway.upstream.opened_reply import OpenedReply
from gateway.upstream.pool import Pool

log = structlog.get_logger("gateway.upstream")

KEPT = 64 * 1024  # bytes of a request that are kept so that it can be sent again
HELD = 256 * 1024  # bytes of a request that wait for a connection before the browser is paused
ATTEMPTS = 2  # a call that was refused is sent once more, not on and on (gRFC A6, "Transparent Retries")
ERROR_TEXT = 1024  # bytes of an HTTP error's body that are read for its message

TRAILERS: Header = (b"te", b"trailers")  # PROTOCOL-HTTP2: whoever does not pass them on shall say so
IDENTITY: Header = (b"grpc-accept-encoding", b"identity")
LOST = Status(Code.UNAVAILABLE, "the connection to the backend was lost")
INVALID = Status(Code.INTERNAL, "the backend's answer is not valid HTTP/2")  # a header that no header can be
NO_STATUS = Status(Code.UNKNOWN, "the backend ended the call without a status")
CUT_SHORT = Status(Code.INTERNAL, "the backend sent a reply that is not gRPC")


@dataclass(frozen=True, slots=True)
class MessageLimits:
    """Bytes of one message, decompressed."""

    request: int
    response: int


class H2Stream:
    """The backend's end (`UpstreamStream`) of one call."""

    __slots__ = (
        "_attempts", "_debt", "_ended", "_error", "_error_text", "_failure", "_held", "_id", "_kept", "_kept_size",
        "_link", "_max_response", "_open", "_opened", "_opens_reply", "_over", "_path", "_paused", "_pool", "_reply",
        "_request", "_request_opener",
    )  # fmt: skip

    def __init__(self, pool: Pool, path: bytes, request: UpstreamRequest, reply: Reply, limits: MessageLimits) -> None:
        self._pool = pool
        self._path = path
        self._request: UpstreamRequest | None = request  # while it may have to be sent (again)
        self._reply: Reply = reply
        # What the browser compressed crosses as it came, but is opened to see how long it is.
        self._request_opener = _opener(request.encoding, limits.request)
        self._opened: OpenedReply | None = None
        self._opens_reply = not request.names_encodings
        self._max_response = limits.response
        self._link: BackendLink | None = None
        self._id = 0
        self._attempts = 0
        self._open = False  # the call knows of this stream
        self._failure: Status | None = None  # what it is told instead
        self._kept: list[bytes] | None = []  # all of the request so far, while it may have to be sent (again)
        self._kept_size = 0
        self._ended = False  # the request
        self._held = False  # the browser was told to wait for a connection
        self._over = False  # nothing more to say to the call
        self._paused = False
        self._debt = 0  # bytes of the reply for which the backend's window stays shut
        self._error: Status | None = None  # of a reply that is not gRPC
        self._error_text = b""

    # -- the pool ------------------------------------------------------------------------------------------------

    def begin(self, link: BackendLink) -> None:
        """Send the request on a connection, as far as it is here."""
        self._link = link
        self._attempts += 1
        self._id = link.open(self._head(link), self)
        if not self._id:
            self._again()
            return
        if self._held:
            self._held = False
            self._reply.resume_request()
        for data in self._kept or ():
            link.send(self._id, data)
        if self._ended:
            link.end(self._id)

    def opened(self) -> Status | None:
        """The call knows of this stream from now on; a Status: it is over already."""
        self._open = True
        return self._failure

    def fail(self, status: Status) -> None:
        """There is no connection."""
        self._over = True
        if self._open:
            self._reply.fail(status, "unreachable")
        else:
            self._failure = status

    def _head(self, link: BackendLink) -> Headers:
        request = self._request
        assert request is not None
        head = [
            *link.prelude,
            (b":path", self._path),
            TRAILERS,
            (b"content-type", request.content_type),
            link.user_agent,
        ]
        if not request.names_encodings:
            head.append(IDENTITY)
        if request.deadline is not None:
            head.append((b"grpc-timeout", timeout.render(request.deadline - link.now)))
        return head + request.metadata

    def _again(self) -> None:
        self._link = None
        self._id = 0
        if self._attempts >= ATTEMPTS:
            self.fail(LOST)
        elif (status := self._pool.place(self)) is not None:
            self.fail(status)

    # -- UpstreamStream ------------------------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        if self._request_opener is not None:
            try:
                for _ in self._request_opener.feed(data):
                    pass  # it is short enough
            except WireError as error:
                self._reply.fail(error.status, "bad_frame")
                return
        if self._kept is not None:
            self._keep(data)
        if self._link is not None:
            self._link.send(self._id, data)

    def end(self) -> None:
        self._ended = True
        if self._link is not None:
            self._link.end(self._id)

    def cancel(self) -> None:
        self._over = True
        if self._link is None:
            self._pool.forget(self)
        else:
            self._link.reset(self._id, CANCEL)
            self._pay()

    def pause(self) -> None:
        self._paused = True
        if self._opened is not None:
            self._opened.pause()

    def resume(self) -> None:
        self._paused = False
        if self._opened is not None:
            self._opened.resume()
        if not self._paused:
            self._pay()

    def _keep(self, data: bytes) -> None:
        assert self._kept is not None
        self._kept.append(data)
        self._kept_size += len(data)
        if self._link is not None:
            if self._kept_size > KEPT:
                self._kept = self._request = None
        elif self._kept_size > HELD and not self._held:
            self._held = True
            self._reply.pause_request()

    def _pay(self) -> None:
        if self._debt and self._link is not None:
            debt, self._debt = self._debt, 0
            self._link.consumed(self._id, debt)
            self._link.flush_soon()

    # -- the backend ---------------------------------------------------------------------------------------------

    def headers_received(self, headers: tuple[Header, ...], ended: bool) -> None:
        self._kept = self._request = None  # a stream may live for hours
        if self._over:
            return
        self._error = _not_grpc(headers)
        if ended:  # Trailers-Only
            self.trailers_received(headers)
        elif self._error is None and (metadata := self._metadata(headers)) is not None:
            self._look_at_encoding(metadata)
            self._reply.reply_head(metadata)

    def data_received(self, data: bytes, ended: bool) -> None:
        if self._over:
            self._debt += len(data)
            self._pay()
            return
        if self._error is not None:
            self._error_text = (self._error_text + data)[:ERROR_TEXT]
        else:
            self._reply.reply_bytes(data)
        self._debt += len(data)
        if not self._paused:
            self._pay()
        if ended or len(self._error_text) == ERROR_TEXT:
            self._end(self._without_status(), [])

    def _look_at_encoding(self, metadata: Headers) -> None:
        """Of the reply's messages: which of them the caller can open, if any, it has said."""
        if self._opens_reply:
            encoding = next((value for name, value in metadata if name == b"grpc-encoding"), b"")
            if encoding in OPENED:
                self._reply = self._opened = OpenedReply(self._reply, encoding, self._max_response)
                if self._paused:
                    self._opened.pause()

    def trailers_received(self, headers: tuple[Header, ...]) -> None:
        if self._over:
            return
        status = read_status(headers)
        if status is None or (self._error is not None and not status.code):
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

    def full(self) -> None:
        self._reply.pause_request()

    def writable(self) -> None:
        self._reply.resume_request()

    def left(self) -> None:
        """Only answers leave before their request is complete."""

    def closed(self, error: int, by_peer: bool) -> None:
        self._pay()
        if self._over:
            return
        if error == REFUSED_STREAM and self._kept is not None:
            self._again()
            return
        invalid = error == PROTOCOL_ERROR and not by_peer
        method, code = self._path.decode("ascii"), error_name(error)
        log.warning("backend_reset", upstream=self._pool.name, method=method, code=code, invalid=invalid)
        self._end(INVALID if invalid else Status(from_reset(error), "the backend broke off the call"), [])

    def lost(self, processed: bool) -> None:
        if self._over:
            return
        if not processed and self._kept is not None:
            self._again()
        else:
            self._end(LOST, [])

    def _without_status(self) -> Status:
        if self._error is None:
            return NO_STATUS
        text = self._error_text.decode("utf-8", "replace").strip()
        return Status(self._error.code, f"{self._error.message}: {text}" if text else self._error.message)

    def _end(self, status: Status, metadata: Headers) -> None:
        self._over = True
        if self._link is not None:
            if not self._ended or self._error is not None or self._link.waiting(self._id):
                self._link.reset(self._id, NO_ERROR)
            else:
                self._link.expect_end(self._id)
        self._reply.reply_end(status, metadata)


def _opener(encoding: bytes, max_message: int) -> MessageOpener | None:
    return MessageOpener(encoding, max_message) if encoding in OPENED else None


def _not_grpc(headers: tuple[Header, ...]) -> Status | None:
    """What a reply's head says if it is none of gRPC's (http-grpc-status-mapping.md)."""
    http_status = headers[0][1]
    if http_status != b"200":
        return Status(from_http(int(http_status)), f"the backend answered with HTTP status {int(http_status)}")
    for name, value in headers:
        if name == b"content-type":
            if value.startswith(b"application/grpc"):
                return None
            break
    return Status(Code.UNKNOWN, "the backend's answer is not gRPC")
