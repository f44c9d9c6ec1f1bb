"""A request that has come to a test's backend."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.protocol.metadata import Headers

if TYPE_CHECKING:
    from tests.support.backend_http2.connection import Connection


@dataclass(eq=False)
class Request:
    """One stream of the gateway's, and what the backend does on it."""

    connection: "Connection"
    id: int
    headers: Headers  # as they came, in order
    chunks: list[bytes] = field(default_factory=list)
    ended: bool = False
    reset: int | None = None  # the code of the gateway's RST_STREAM
    reset_at: float = 0.0  # loop time
    sent: int = 0  # bytes of the reply
    replied: bool = False  # the reply has ended

    @property
    def data(self) -> bytes:
        return b"".join(self.chunks)

    @property
    def size(self) -> int:
        """Bytes of the request so far."""
        return sum(map(len, self.chunks))

    @property
    def fields(self) -> dict[bytes, bytes]:
        return dict(self.headers)

    @property
    def over(self) -> bool:
        return self.reset is not None or self.connection.closed

    async def whole(self) -> bytes:
        """The request, once it has ended. Raises ConnectionError when it is broken off."""
        await self.connection.backend.until(lambda: self.ended or self.over)
        if not self.ended:
            raise ConnectionResetError("the gateway broke the request off")
        return self.data

    def head(self, *fields: tuple[bytes, bytes], status: int = 200, kind: bytes | None = b"application/grpc") -> None:
        """The response headers; `kind` is the content type."""
        self._headers([(b":status", b"%d" % status), *([(b"content-type", kind)] if kind else []), *fields])

    def alone(self, *fields: tuple[bytes, bytes], status: int = 200, kind: bytes = b"application/grpc") -> None:
        """Headers that are the whole reply (Trailers-Only)."""
        self._headers([(b":status", b"%d" % status), (b"content-type", kind), *fields], end=True)

    def trailers(self, *fields: tuple[bytes, bytes]) -> None:
        self._headers([*fields], end=True)

    async def send(self, data: bytes, *, end: bool = False) -> None:
        """DATA as the gateway's windows allow; waits for them, and stops without a word when the stream is over."""
        connection, rest = self.connection, memoryview(data)
        while True:
            if rest:
                await connection.backend.until(lambda: self.over or self.room > 0, None)
            if self.over:
                return
            part = rest[: min(self.room, connection.h2.max_outbound_frame_size)] if rest else rest
            rest = rest[len(part) :]
            connection.h2.send_data(self.id, bytes(part), end_stream=end and not rest)
            connection.flush()
            self.sent += len(part)
            if not rest:
                if end:
                    self._over()
                return

    @property
    def room(self) -> int:
        """Bytes that the gateway takes now."""
        return self.connection.h2.local_flow_control_window(self.id)

    def rst(self, code: int) -> None:
        """RST_STREAM."""
        if not self.over:
            self.ended = True
            self.connection.h2.reset_stream(self.id, code)
            self.connection.flush()
            self._over()

    def _headers(self, fields: Headers, *, end: bool = False) -> None:
        if not self.over:
            self.connection.h2.send_headers(self.id, fields, end_stream=end)
            self.connection.flush()
            if end:
                self._over()

    def _over(self) -> None:
        self.replied = True
        self.connection.backend.tell()
