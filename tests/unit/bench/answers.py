"""Servers that answer as they are told, and what they answer with."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bench.methods import frame

REQUEST = frame(b"x")
REPLY = frame(b"y")


def trailer(status: int, more: bytes = b"") -> bytes:
    block = b"grpc-status:%d\r\n" % status + more
    return b"\x80" + len(block).to_bytes(4, "big") + block


def plain(body: bytes, *headers: bytes) -> bytes:
    head = [b"HTTP/1.1 200 OK", b"content-length: %d" % len(body), *headers]
    return b"\r\n".join([*head, b"", b""]) + body


def chunked(*chunks: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in (*chunks, b""))


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[str]:
    """A server that answers every request so, and keeps connections unless one of the two says otherwise."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                await reader.readexactly(len(REQUEST))
                writer.write(answer)
                if b"connection: close" in head + answer:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
