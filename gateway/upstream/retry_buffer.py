"""A request, all of it so far, from which it can be sent, and sent again (gRFC A6, "Transparent Retries")."""

from gateway.ends import UpstreamRequest
from gateway.protocol import timeout
from gateway.protocol.metadata import Header, Headers
from gateway.upstream.backend_link import BackendLink

TRAILERS: Header = (b"te", b"trailers")  # PROTOCOL-HTTP2: whoever does not pass them on shall say so
PREVIOUS = b"grpc-previous-rpc-attempts"
IDENTITY: Header = (b"grpc-accept-encoding", b"identity")


class RetryBuffer:
    """Of one call."""

    __slots__ = ("_path", "_request", "chunks", "size")

    def __init__(self, path: bytes, request: UpstreamRequest) -> None:
        self.chunks: list[bytes] = []
        self.size = 0  # bytes of the chunks
        self._path = path
        self._request = request

    def add(self, data: bytes) -> None:
        self.chunks.append(data)
        self.size += len(data)

    @property
    def deadline(self) -> float | None:
        """Loop time."""
        return self._request.deadline

    def say_previous(self, attempts: int) -> None:
        """The backend is told how many there were that another one may have seen (gRFC A6)."""
        request = self._request
        metadata = [header for header in request.metadata if header[0] != PREVIOUS]
        request.metadata = [*metadata, (PREVIOUS, b"%d" % attempts)]

    def head(self, link: BackendLink) -> Headers:
        """For this connection, with what is left of the deadline."""
        request = self._request
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
