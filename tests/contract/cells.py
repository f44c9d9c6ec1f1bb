"""The matrix, and how a client speaks in each of its cells: front x upstream x form.

Rule: in every cell the same request means the same headers in the same order and the same gRPC frames. What a form does
to them (base64, a content type, `te`) is done here, and undone here on the way back.
"""

import asyncio
import base64
import contextlib
import itertools
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Protocol

import pytest

from gateway.protocol import text
from gateway.protocol.metadata import Headers
from tests.contract.backends import Witness
from tests.envoy.backend import Backend as Listener
from tests.support import http2, wire
from tests.support.backends import ScriptedBackend
from tests.support.gateway import ORIGIN, RunningGateway
from tests.support.wire import chunked, request, untext

Fields = list[tuple[str, str]]

LARGE_WINDOW = 64 * 1024 * 1024
CONTENT_TYPES = {
    "binary": "application/grpc-web+proto",
    "text": "application/grpc-web-text+proto",
    "native": "application/grpc+proto",
}


@dataclass(frozen=True, slots=True)
class Cell:
    front: str
    upstream: str
    form: str

    def __str__(self) -> str:
        return f"{self.front}-{self.upstream}-{self.form}"

    def encode(self, body: bytes) -> bytes:
        """gRPC frames as they are written in this form."""
        return base64.b64encode(body) if self.form == "text" else body

    @property
    def refused(self) -> bool:
        """Native gRPC needs HTTP trailers, which browsers and proxies drop from HTTP/1.1: 415, whatever is called."""
        return self.front == "http1" and self.form == "native"


CELLS = [
    Cell(front, upstream, form)
    for front, upstream, form in itertools.product(("http1", "http2"), ("grpcio", "h2"), ("binary", "text", "native"))
]
REFERENCE = CELLS[0]
in_every_cell = pytest.mark.parametrize("cell", CELLS, ids=str)


@dataclass(frozen=True, slots=True)
class Raw:
    """An answer as it came."""

    status: int
    headers: Headers
    chunks: list[bytes]
    trailers: Headers | None  # of HTTP

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks)


class BrokenOffError(Exception):
    """The answer has no end: a reset stream, or a connection that was closed."""


class Exchange(Protocol):
    """One request and its answer, step by step. What is sent and received is gRPC frames, whatever the form."""

    async def send(self, data: bytes) -> None: ...
    async def end(self) -> None: ...
    async def head(self) -> int: ...  # the HTTP status, once the headers are there
    async def received(self, size: int) -> bytes: ...  # all of the body so far, once it is that long
    async def answer(self) -> Raw: ...  # to the end; raises BrokenOffError
    async def leave(self) -> None: ...  # as a browser does when the user stops a call
    def lose(self) -> None: ...  # the connection, at once
    async def read(self) -> None: ...  # from now on, where the exchange began `deaf`


@dataclass
class Stage:
    """The gateways, one for each upstream, and the backend that both share besides the demo's."""

    gateways: dict[str, RunningGateway]
    backend: ScriptedBackend
    witness: Witness
    listener: Listener
    listener_port: int
    _tokens: dict[tuple[str, str], str] = field(default_factory=dict)  # by upstream and role

    def calls(self, cell: Cell) -> int:
        """How many calls backends have seen so far."""
        return self.gateways[cell.upstream].backend_calls + self.backend.calls.total()

    def fields(self, cell: Cell, *metadata: tuple[str, str], role: str | None = "reader") -> Fields:
        fields = [("content-type", CONTENT_TYPES[cell.form]), ("origin", ORIGIN)]
        if role is not None:
            fields.append(("authorization", f"Bearer {self._token(cell.upstream, role)}"))
        return [*fields, *metadata, *([("te", "trailers")] if cell.form == "native" else [])]

    def _token(self, upstream: str, role: str) -> str:
        if (upstream, role) not in self._tokens:
            self._tokens[upstream, role] = self.gateways[upstream].token(role)
        return self._tokens[upstream, role]

    @contextlib.asynccontextmanager
    async def exchange(
        self,
        cell: Cell,
        path: str,
        fields: Fields,
        body: bytes | None = None,
        method: str = "POST",
        *,
        plaintext: bool = False,
        deaf: bool = False,
    ) -> AsyncIterator[Exchange]:
        """A request on a connection of its own.

        `body` is what goes over the wire (see `Cell.encode`); without it, it is sent in pieces. `deaf`: next to nothing
        of the answer is taken until `read`.
        """
        gateway = self.gateways[cell.upstream]
        port = int(gateway.gateway.urls[0 if plaintext else 1].rpartition(":")[2])
        context = None if plaintext else trusting(gateway.world.pki.ca, cell.front)
        if cell.front == "http1":
            more = [] if body is not None else [("transfer-encoding", "chunked")]
            async with wire.connect(port, context=context, deaf=deaf) as line:
                await line.send(request(path, [*fields, *more], body, method))
                if deaf:
                    line.stop_reading()
                yield Http1Exchange(cell, line)
        else:
            async with http2.connect(port, tls=context, update_windows=not deaf) as client:
                host = next((value for name, value in fields if name == "host"), "gateway.test")
                head = http2.head(path, *[pair for pair in fields if pair[0] != "host"], method=method, authority=host)
                # A body that is empty is no body, as browsers send it.
                stream = await client.request(head, body or None, end=body is not None)
                yield Http2Exchange(cell, stream)


@cache
def trusting(authority: Path, front: str) -> ssl.SSLContext:
    """Offers one protocol by ALPN, as no browser does: the cell says which front is asked."""
    context = ssl.create_default_context(cafile=str(authority))
    context.set_alpn_protocols(["http/1.1" if front == "http1" else "h2"])
    return context


class Http1Exchange:
    def __init__(self, cell: Cell, line: wire.Wire) -> None:
        self._cell = cell
        self._line = line
        self._answer: wire.Answer | None = None

    async def send(self, data: bytes) -> None:
        await self._line.send(chunked(self._cell.encode(data)))

    async def end(self) -> None:
        await self._line.send(b"0\r\n\r\n")

    async def head(self) -> int:
        if self._answer is None:
            self._answer = await self._line.head()
        return self._answer.status

    async def received(self, size: int) -> bytes:
        await self.head()
        assert self._answer is not None
        data = b""
        while len(data) < size:
            chunk = await self._line.chunk()
            assert chunk, f"the answer has ended: {self._answer}"
            self._answer.chunks.append(chunk)
            data = b"".join(map(self._decode, self._answer.chunks))
        return data

    def _decode(self, chunk: bytes) -> bytes:
        return untext(chunk) if self._cell.form == "text" else chunk

    async def answer(self) -> Raw:
        try:
            if self._answer is None:
                self._answer = await self._line.answer()
            else:
                while chunk := await self._line.chunk():
                    self._answer.chunks.append(chunk)
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise BrokenOffError(repr(error)) from error
        return Raw(self._answer.status, self._answer.headers, self._answer.chunks, None)

    async def leave(self) -> None:
        self.lose()  # HTTP/1.1 has no other way

    def lose(self) -> None:
        self._line.reset()

    async def read(self) -> None:
        self._line.read_again()


class Http2Exchange:
    def __init__(self, cell: Cell, stream: http2.Stream) -> None:
        self._cell = cell
        self._stream = stream

    async def send(self, data: bytes) -> None:
        await self._stream.send(self._cell.encode(data))

    async def end(self) -> None:
        await self._stream.end()

    async def head(self) -> int:
        await self._stream.head()
        return self._stream.status

    async def received(self, size: int) -> bytes:
        """Base64 may be cut anywhere by DATA frames: what counts is that nothing is held back."""

        def data() -> bytes:
            return text.TextDecoder().feed(self._stream.data) if self._cell.form == "text" else self._stream.data

        await self._stream.client.until(lambda: len(data()) >= size or self._stream.over)
        assert len(data()) >= size, f"the answer has ended: {self._stream}"
        return data()

    async def answer(self) -> Raw:
        await self._stream.response()
        if self._stream.reset is not None:
            raise BrokenOffError(f"reset with {self._stream.reset}")
        return Raw(self._stream.status, self._stream.headers[1:], self._stream.chunks, self._stream.trailers)

    async def leave(self) -> None:
        await self._stream.cancel()

    def lose(self) -> None:
        self._stream.client.wire.reset()

    async def read(self) -> None:
        for opened in (self._stream, self._stream.client):
            await opened.open_window(LARGE_WINDOW)
