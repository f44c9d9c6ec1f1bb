"""A reply whose messages the backend compressed, for a caller that cannot open them: opened on its way.

Rule: while the caller stands still nothing is opened, so that what waits for it is as long as it came over the wire.
"""

from collections import deque
from collections.abc import Iterator

from gateway.ends import Reply
from gateway.protocol.compression import MessageOpener
from gateway.protocol.metadata import Headers
from gateway.protocol.status import Code, Status, WireError
from gateway.reply_writer import NOT_GRPC


class OpenedReply:
    """Stands before a `Reply`, as one."""

    def __init__(self, reply: Reply, encoding: bytes, max_message: int) -> None:
        self._reply = reply
        self._opener = MessageOpener(encoding, max_message)
        self._unopened: deque[bytes] = deque()
        self._frames: Iterator[bytes] = iter(())  # of the first of them
        self._end: tuple[Status, Headers] | None = None
        self._paused = False

    @property
    def closed(self) -> bool:
        return self._reply.closed

    def reply_head(self, metadata: Headers) -> None:
        self._reply.reply_head([header for header in metadata if header[0] != b"grpc-encoding"])

    def reply_bytes(self, data: bytes) -> None:
        self._unopened.append(data)
        self._open()

    def reply_end(self, status: Status, metadata: Headers) -> None:
        self._end = status, metadata
        self._open()

    def fail(self, status: Status, reason: str) -> None:
        self._reply.fail(status, reason)

    def pause_request(self) -> None:
        self._reply.pause_request()

    def resume_request(self) -> None:
        self._reply.resume_request()

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        self._paused = False
        self._open()

    def _open(self) -> None:
        reply = self._reply
        try:
            while not self._paused and not reply.closed:
                if (opened := next(self._frames, None)) is not None:
                    reply.reply_bytes(opened)
                elif self._unopened:
                    self._frames = self._opener.feed(self._unopened.popleft())
                else:
                    self._finish()
                    return
        except WireError as error:
            known = error.status.code in (Code.RESOURCE_EXHAUSTED, Code.INTERNAL)
            reply.fail(error.status if known else NOT_GRPC, "bad_reply")

    def _finish(self) -> None:
        if self._end is None:
            return
        status, metadata = self._end
        if self._opener.pending and not status.code:
            self._reply.fail(NOT_GRPC, "bad_reply")
        else:
            self._reply.reply_end(status, metadata)
