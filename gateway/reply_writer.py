"""A call's reply in the form that its browser reads. Sans-IO.

| form     | messages           | status                                                            |
|----------|--------------------|-------------------------------------------------------------------|
| web      | the backend's      | in a frame of its own, the last one (PROTOCOL-WEB)                 |
| web-text | the same in base64 | the same in base64                                                |
| native   | the backend's      | trailers of HTTP; where there is nothing else, with the head alone |

Rules
- Messages cross as they are, but are measured: what is no gRPC, or too large, is not passed on.
- A reply that breaks off inside a message is cut off: the client would take a trailer frame for the rest of it.
"""

from collections.abc import Iterable

from gateway.ends import Downstream
from gateway.protocol import text, trailers
from gateway.protocol.content_type import CallType
from gateway.protocol.frames import FrameWalker
from gateway.protocol.metadata import Header, Headers
from gateway.protocol.status import Code, Status, WireError

# A broken reply is not the client's fault, whatever the walker calls it, save a size limit.
NOT_GRPC = Status(Code.INTERNAL, "the backend sent a reply that is not gRPC")
TOO_LARGE = Status(Code.RESOURCE_EXHAUSTED, "a message of the reply is larger than this gateway allows")


class ReplyWriter:
    """Writes one reply: `head`, `frames`, and `end`, after which nothing may follow."""

    __slots__ = ("_downstream", "_encoded", "_head_sent", "_native", "_text", "_walker", "size")

    def __init__(self, downstream: Downstream, call_type: CallType, max_message: int) -> None:
        self.size = 0  # bytes of the body so far, as the browser gets them
        self._downstream = downstream
        self._native = call_type.native
        self._text = call_type.reply_text
        self._walker = FrameWalker(max_message)
        self._head_sent = False
        self._encoded = False  # the backend has named an encoding of its messages

    @property
    def messages(self) -> int:
        return self._walker.messages

    @property
    def within_message(self) -> bool:
        return self._walker.within_frame

    def head(self, metadata: Headers) -> None:
        if not self._head_sent:
            self._head_sent = True
            self._encoded = any(name == b"grpc-encoding" and value != b"identity" for name, value in metadata)
            self._downstream.send_head(metadata)

    def frames(self, data: bytes) -> Status | None:
        """More of the reply, in any chunks. A Status: it cannot be passed on, and that is how the call has failed."""
        try:
            self._walker.feed(data)
        except WireError as error:
            return TOO_LARGE if error.status.code == Code.RESOURCE_EXHAUSTED else NOT_GRPC
        if not self._head_sent:
            self.head([])
        if self._walker.compressed and not self._encoded:
            return NOT_GRPC
        self._send(data)
        return None

    def end(self, status: Status, metadata: Iterable[Header], head: Iterable[Header] = ()) -> None:
        """Say how the call ended; `head` joins the response headers, if it is not too late."""
        if self._native:
            fields = trailers.fields(status, metadata)
            if self._head_sent:
                self._downstream.end(fields)
            else:  # Trailers-Only (PROTOCOL-HTTP2): no window holds it back
                self._downstream.send_head([*head, *fields], end=True)
            return
        if not self._head_sent:
            self.head([*head])
        if self._walker.within_frame:
            self._downstream.abort()
        else:
            self._send(trailers.encode(status, metadata))
            self._downstream.end()

    def _send(self, data: bytes) -> None:
        if self._text:
            data = text.encode(data)
        self.size += len(data)
        self._downstream.send(data)
