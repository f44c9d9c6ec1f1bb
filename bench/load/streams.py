"""Server streams over HTTP/1.1, one connection each: read to their ends, or held open.

Rule: a stream counts once a message has come; it ended well when its messages are as many bytes as they should be, and
its trailer frame says `grpc-status:0`.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from bench.load.http1 import Answer
from bench.load.traffic import FRAME_HEAD, HTTP_OK, Traffic, printable
from bench.process import BenchError

AT_ONCE = 50  # connections that are being opened
PATIENCE = 60.0  # seconds for all streams together
BLOCK = 256 * 1024
TAIL = 512  # bytes that hold a trailer frame

NO_MESSAGE = "a stream ended before its first message"

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter, Answer]


async def read_to_end(url: str, sent: bytes, count: int, size: int) -> None:
    """`count` streams at once, each to its end. `size`: bytes of the data frames of each. Raises BenchError."""
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*(_read_one(url, sent, size) for _ in range(count)))


async def _read_one(url: str, sent: bytes, size: int) -> None:
    reader, writer, answer = await _open(url, sent, keep=TAIL)
    try:
        while not answer.complete:
            block = await reader.read(BLOCK)
            if not block:
                raise BenchError("a stream was cut off")
            answer.feed(block)
    finally:
        writer.close()
    trailer = answer.length - size
    if trailer <= FRAME_HEAD or trailer > len(answer.body):
        raise BenchError(f"a stream was {answer.length} bytes long, not {size} and a trailer frame")
    if Traffic("", b"", {}).mistake(HTTP_OK, None, answer.body[-trailer:]):
        raise BenchError(f"a stream did not end with grpc-status 0: {printable(answer.body[-TAIL:])}")


@asynccontextmanager
async def held_open(url: str, sent: bytes, count: int) -> AsyncIterator[None]:
    """`count` streams, each with its first message, until the block is left; no more may come. Raises BenchError."""
    gate = asyncio.Semaphore(AT_ONCE)
    writers: list[asyncio.StreamWriter] = []
    more: list[asyncio.Task[bytes]] = []

    async def start() -> None:
        async with gate:
            reader, writer, answer = await _open(url, sent)
            writers.append(writer)
            await _first_message(reader, answer)
            more.append(asyncio.create_task(reader.read(1)))

    try:
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*(start() for _ in range(count)))
        yield
        if ended := sum(task.done() for task in more):
            raise BenchError(f"{ended} of {count} idle streams ended, or went on")
    finally:
        for task in more:
            task.cancel()
        for writer in writers:
            writer.close()
        await asyncio.gather(*more, return_exceptions=True)


async def _open(url: str, sent: bytes, keep: int | None = None) -> Stream:
    """A connection, and the answer as far as its head, which says 200."""
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port, limit=BLOCK)
    writer.write(sent)
    answer = Answer(keep)
    try:
        answer.feed(await reader.readuntil(b"\r\n\r\n"))
    except asyncio.IncompleteReadError:
        writer.close()
        raise BenchError("the connection of a stream was closed before it answered") from None
    if answer.status != HTTP_OK:
        writer.close()
        line = answer.head.partition(b"\r")[0]
        raise BenchError(f"a stream was answered with {printable(line)}")
    return reader, writer, answer


async def _first_message(reader: asyncio.StreamReader, answer: Answer) -> None:
    """Reads exactly one data frame."""
    while not _is_message(answer.body):
        block = b"" if answer.complete or answer.body[:1] == b"\x80" else await reader.read(BLOCK)
        if not block:
            raise BenchError(NO_MESSAGE)
        answer.feed(block)
    if answer.complete:
        raise BenchError(NO_MESSAGE)


def _is_message(body: bytearray) -> bool:
    return len(body) >= FRAME_HEAD and body[0] == 0 and len(body) >= FRAME_HEAD + int.from_bytes(body[1:5], "big")
