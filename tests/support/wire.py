"""An HTTP/1.1 client that sends what bytes it is told, well-formed or not, and takes the answer apart by hand."""

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import cast

from gateway.protocol import text
from gateway.protocol.metadata import Headers
from gateway.protocol.status import Status
from tests.support.frames import take_apart

PATIENCE = 10.0  # seconds for what must come soon: far more than it takes, far less than a hang
SMALL_BUFFER = 16 * 1024

Pairs = list[tuple[str, str]]  # headers


@dataclass
class Answer:
    """One HTTP answer."""

    status: int
    headers: Headers  # names lower-case, repeats and order kept
    chunks: list[bytes] = field(default_factory=list)  # as they came; one where the answer has a content-length
    raw: bytes = b""  # every byte of it

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks)

    def values(self, name: str) -> list[str]:
        return [value.decode() for each, value in self.headers if each == name.encode()]

    def value(self, name: str) -> str | None:
        """The value of a header that may stand once."""
        values = self.values(name)
        assert len(values) < 2, f"{name} is repeated: {values}"
        return values[0] if values else None

    def grpc(self) -> tuple[list[bytes], Status, Headers]:
        """Messages, status, trailers; every chunk of text mode must be decodable on its own."""
        assert self.status == 200, self
        kind = self.value("content-type") or ""
        assert kind.startswith("application/grpc-web"), kind
        return take_apart(b"".join(map(untext, self.chunks)) if "-text" in kind else self.body)

    @property
    def code(self) -> int:
        return self.grpc()[1].code


def untext(chunk: bytes) -> bytes:
    """Base64 segments that are complete, as an XHR client needs each chunk to be."""
    decoder = text.TextDecoder()
    data = decoder.feed(chunk)
    decoder.end()
    return data


def request(
    path: str | bytes, headers: Sequence[tuple[str, str | bytes]] = (), body: bytes | None = b"", method: str = "POST"
) -> bytes:
    """A well-formed request, with a Content-Length unless the body is None; `headers` may be anything."""
    target = path.encode() if isinstance(path, str) else path
    lines = [method.encode() + b" " + target + b" HTTP/1.1"]
    if not any(name.lower() == "host" for name, _ in headers):
        lines.append(b"Host: gateway.test")
    for name, value in headers:
        lines.append(name.encode("latin-1") + b": " + (value.encode("latin-1") if isinstance(value, str) else value))
    if body is not None:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + (body or b"")


def chunked(*parts: bytes) -> bytes:
    """Parts of a body as chunks, without the last one (`b"0\\r\\n\\r\\n"`)."""
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)


class Wire:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        """Raises ConnectionError when the gateway has closed the connection."""
        self.writer.write(data)
        await self.writer.drain()

    async def head(self) -> Answer:
        """The next answer's status line and headers."""
        async with asyncio.timeout(PATIENCE):
            raw = await self.reader.readuntil(b"\r\n\r\n")
        first, *lines = raw.removesuffix(b"\r\n\r\n").split(b"\r\n")
        version, status, _ = first.split(b" ", 2)
        assert version in (b"HTTP/1.1", b"HTTP/1.0"), first
        pairs = [line.split(b": ", 1) for line in lines]
        return Answer(int(status), [(name.lower(), value) for name, value in pairs], raw=raw)

    async def chunk(self, seconds: float = PATIENCE) -> bytes:
        """The next chunk of a chunked body; empty: that was the last one."""
        async with asyncio.timeout(seconds):
            size = int(await self.reader.readuntil(b"\r\n"), 16)
            data = await self.reader.readexactly(size + 2)
        assert data.endswith(b"\r\n")
        return data[:-2]

    async def answer(self) -> Answer:
        """The next answer, whole; informational ones (1xx) are passed over."""
        answer = await self.head()
        while 100 <= answer.status < 200:
            answer = await self.head()
        if answer.value("transfer-encoding") == "chunked":
            while chunk := await self.chunk():
                answer.chunks.append(chunk)
        elif (length := answer.value("content-length")) is not None:
            async with asyncio.timeout(PATIENCE):
                answer.chunks.append(await self.reader.readexactly(int(length)))
        elif answer.status not in (204, 304):
            answer.chunks.append(await self.rest())
        answer.raw += answer.body
        return answer

    async def ask(self, data: bytes) -> Answer:
        await self.send(data)
        return await self.answer()

    async def rest(self, seconds: float = PATIENCE) -> bytes:
        """What comes until the gateway closes the connection, in whatever way."""
        received = bytearray()
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(seconds):
                while data := await self.reader.read(65536):
                    received += data
        return bytes(received)

    def stop_reading(self) -> None:
        """Leave in the socket what comes."""
        cast(asyncio.Transport, self.writer.transport).pause_reading()

    def read_again(self) -> None:
        cast(asyncio.Transport, self.writer.transport).resume_reading()

    def half_close(self) -> None:
        """Say that nothing more is coming, and go on reading."""
        self.writer.write_eof()

    def reset(self) -> None:
        """Leave without a word: TCP RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    @property
    def socket(self) -> socket.socket:
        found: socket.socket = self.writer.get_extra_info("socket")
        return found

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await self.writer.wait_closed()


@contextlib.asynccontextmanager
async def connect(port: int, *, context: ssl.SSLContext | None = None, deaf: bool = False) -> AsyncIterator[Wire]:
    """A connection to a port on loopback. `deaf`: it takes in next to nothing that it does not read."""
    plain = socket.socket()
    if deaf:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
    plain.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(plain, ("127.0.0.1", port))
    except OSError:
        plain.close()
        raise
    limit = SMALL_BUFFER if deaf else 64 * 1024 * 1024
    reader, writer = await asyncio.open_connection(
        sock=plain, limit=limit, ssl=context, server_hostname="localhost" if context else None
    )
    wire = Wire(reader, writer)
    try:
        yield wire
    finally:
        await wire.close()
