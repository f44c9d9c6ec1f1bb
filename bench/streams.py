"""Server streams over HTTP/1.1, one connection each: read to their ends, or held open.

Rule: a stream counts once a message has come, and as ended when its trailer frame says `grpc-status:0`.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from bench.process import BenchError
from bench.world import frame

AT_ONCE = 50  # connections that are being opened
PATIENCE = 60.0  # seconds for all streams together
BLOCK = 256 * 1024

NO_MESSAGE = "a stream ended before its first message"

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter, bytes]


def request(path: str, message: bytes, headers: Mapping[str, str], *, keep: bool) -> bytes:
    """An HTTP/1.1 request (RFC 9112). `keep`: the connection is not to be closed at the end of the answer."""
    body = frame(message)
    lines = [f"POST {path} HTTP/1.1", "host: 127.0.0.1", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    lines += [] if keep else ["connection: close"]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def read_to_end(url: str, sent: bytes, count: int) -> None:
    """`count` streams at once, each to its end. `sent` asks for the connection to be closed. Raises BenchError."""
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*(_read_one(url, sent) for _ in range(count)))


async def _read_one(url: str, sent: bytes) -> None:
    reader, writer, _ = await _open(url, sent)
    try:
        tail = b""
        while block := await reader.read(BLOCK):
            tail = (tail + block)[-512:]
    finally:
        writer.close()
    if b"grpc-status:0\r\n" not in tail:
        raise BenchError("a stream did not end with grpc-status 0")


@asynccontextmanager
async def held_open(url: str, sent: bytes, count: int) -> AsyncIterator[None]:
    """`count` streams, each with its first message, until the block is left; no more may come. Raises BenchError."""
    gate = asyncio.Semaphore(AT_ONCE)
    writers: list[asyncio.StreamWriter] = []
    more: list[asyncio.Task[bytes]] = []

    async def start() -> None:
        async with gate:
            reader, writer, head = await _open(url, sent)
            writers.append(writer)
            if b"chunked" not in head.lower():  # an answer of a known length was over when it began
                raise BenchError(NO_MESSAGE)
            await _first_message(reader)
            more.append(asyncio.create_task(reader.read(1)))

    try:
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*(start() for _ in range(count)))
        yield
        if ended := sum(task.done() for task in more):
            raise BenchError(f"{ended} of {count} idle streams ended")
    finally:
        for task in more:
            task.cancel()
        for writer in writers:
            writer.close()
        await asyncio.gather(*more, return_exceptions=True)


async def _open(url: str, sent: bytes) -> Stream:
    """A connection, and the head of the answer, which says 200."""
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port, limit=BLOCK)
    writer.write(sent)
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        raise BenchError("the gateway closed the connection before it answered") from None
    if not head.startswith(b"HTTP/1.1 200 "):
        line = head.partition(b"\r\n")[0].decode("latin-1")
        raise BenchError(f"the gateway answered {line}")
    return reader, writer, head


async def _first_message(reader: asyncio.StreamReader) -> None:
    """Waits for a chunk that begins with a data frame."""
    try:
        size = int(await reader.readline(), 16)
        chunk = await reader.readexactly(size + 2)
    except (ValueError, asyncio.IncompleteReadError):
        size, chunk = 0, b""
    if not size or chunk[0] & 0x80:
        raise BenchError(NO_MESSAGE)
