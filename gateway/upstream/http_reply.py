"""A reply that is plain HTTP and none of gRPC: an error, by a proxy perhaps (http-grpc-status-mapping.md).

Rule: the beginning of its text goes on to the caller as the message of the status.
"""

from gateway.protocol.metadata import Header
from gateway.protocol.status import Code, Status, from_http

MAX_TEXT = 1024  # bytes


class HttpReply:
    """What of it is worth a status."""

    __slots__ = ("_status", "_text")

    def __init__(self, status: Status) -> None:
        """`status`: what the head says."""
        self._status = status
        self._text = b""

    def add(self, data: bytes) -> bool:
        """More of the body; True: it is enough."""
        self._text = (self._text + data)[:MAX_TEXT]
        return len(self._text) == MAX_TEXT

    @property
    def status(self) -> Status:
        text = self._text.decode("utf-8", "replace").strip()
        return Status(self._status.code, f"{self._status.message}: {text}") if text else self._status


def http_reply(headers: tuple[Header, ...]) -> HttpReply | None:
    """Judge the head of a reply, `:status` first; None: it is gRPC's."""
    http_status = headers[0][1]
    if http_status != b"200":
        code = int(http_status)
        return HttpReply(Status(from_http(code), f"the backend answered with HTTP status {code}"))
    for name, value in headers:
        if name == b"content-type":
            if value.startswith(b"application/grpc"):
                return None
            break
    return HttpReply(Status(Code.UNKNOWN, "the backend's answer is not gRPC"))
