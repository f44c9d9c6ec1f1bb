"""A peer over HTTP/2 that keeps to no rule, at either end of a connection (RFC 9113).

Rule: nothing stands between a test and the wire. What the other side says is kept frame by frame, its header blocks
decoded; an answer is given only where a test asks for it, the acknowledgement of the first SETTINGS included.
"""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import hpack

from gateway.protocol.metadata import Headers
from tests.support import wire
from tests.support.frames_http2 import GREETING, ping
from tests.support.http2 import DATA, END_HEADERS, END_STREAM, FRAME_HEAD, GOAWAY, HEADERS, PING, RST_STREAM
from tests.support.wire import PATIENCE


@dataclass(frozen=True, slots=True)
class Frame:
    kind: int
    flags: int
    stream: int
    payload: bytes


@dataclass
class Said:
    """What came on one stream so far."""

    heads: list[Headers] = field(default_factory=list)  # informational ones and trailers too
    data: bytes = b""
    ended: bool = False
    reset: int | None = None

    @property
    def over(self) -> bool:
        return self.ended or self.reset is not None

    @property
    def status(self) -> int:
        return int(dict(self.heads[0])[b":status"])


class Peer:
    """One connection, from either end."""

    def __init__(self, line: wire.Wire) -> None:
        self.wire = line
        self.frames: list[Frame] = []  # that came, in order
        self.streams: dict[int, Said] = {}
        self.goaway: int | None = None  # the code of the latest
        self.goaway_text = b""
        self.closed = False  # by the other side, in whatever way
        self._decoder = hpack.Decoder()
        self._unread = bytearray()
        self._news = asyncio.Event()
        self._taken = 0  # requests

    async def send(self, *frames: bytes) -> None:
        """Raises ConnectionError when the other side has closed the connection, TimeoutError when it does not read."""
        if self.closed or self.wire.writer.transport.is_closing():
            raise ConnectionResetError("the connection is closed")
        async with asyncio.timeout(PATIENCE):
            await self.wire.send(b"".join(frames))

    async def push(self, *frames: bytes) -> None:
        """As much as the other side takes before it closes the connection."""
        with contextlib.suppress(ConnectionError):
            await self.send(*frames)

    def count(self, kind: int, flags: int | None = None) -> int:
        return sum(each.kind == kind and flags in (None, each.flags) for each in self.frames)

    async def until(self, condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
        """Return once the condition holds. Raises TimeoutError, or ConnectionError when nothing more can come."""
        try:
            async with asyncio.timeout(seconds):
                while not condition():
                    if self.closed:
                        raise ConnectionResetError(f"the connection is closed: {self.goaway} {self.goaway_text!r}")
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise TimeoutError(f"not within {seconds} s; the last frames: {self.frames[-5:]}") from None

    async def until_closed(self, seconds: float = PATIENCE) -> None:
        await self.until(lambda: self.closed, seconds)

    def said(self, stream: int) -> Said:
        return self.streams.setdefault(stream, Said())

    async def answer(self, stream: int, seconds: float = PATIENCE) -> Said:
        """What came on a stream, once it is over."""
        await self.until(lambda: self.said(stream).over, seconds)
        return self.said(stream)

    async def request(self) -> int:
        """The number of the next stream that the other side opens."""

        def opened() -> list[int]:
            return [stream for stream, said in self.streams.items() if said.heads]

        await self.until(lambda: len(opened()) > self._taken, 60.0)
        self._taken += 1
        return opened()[self._taken - 1]

    async def pong(self, payload: bytes = b"are you?") -> None:
        """Return once everything sent so far has been read."""
        await self.send(ping(payload))
        await self.until(lambda: any(each.kind == PING and each.payload == payload for each in self.frames))

    @property
    def words(self) -> bytes:
        """All that came, as far as it can carry a word."""
        fields = [each for said in self.streams.values() for head in said.heads for each in head]
        bodies = b"".join(said.data for said in self.streams.values())
        return b"\n".join([b"%b: %b" % each for each in fields]) + bodies + self.goaway_text

    async def read(self) -> None:
        """Run as a task: take frames apart until the end."""
        try:
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                while received := await self.wire.reader.read(65536):
                    self._unread += received
                    self._take_apart()
                    self._news.set()
        finally:
            self.closed = True
            self._news.set()

    def _take_apart(self) -> None:
        while len(self._unread) >= (size := FRAME_HEAD + int.from_bytes(self._unread[:3], "big")):
            raw = bytes(self._unread[:size])
            del self._unread[:size]
            found = Frame(raw[3], raw[4], int.from_bytes(raw[5:FRAME_HEAD], "big"), raw[FRAME_HEAD:])
            self.frames.append(found)
            self._note(found)

    def _note(self, found: Frame) -> None:
        if found.kind == GOAWAY:
            self.goaway = int.from_bytes(found.payload[4:8], "big")
            self.goaway_text = found.payload[8:]
        elif found.kind == HEADERS:
            assert found.flags & END_HEADERS, "nobody sends us more headers than one frame holds"
            head = [(bytes(name), bytes(value)) for name, value in self._decoder.decode(found.payload, raw=True)]
            self.said(found.stream).heads.append(head)
        elif found.kind == DATA:
            self.said(found.stream).data += found.payload
        elif found.kind == RST_STREAM:
            self.said(found.stream).reset = int.from_bytes(found.payload, "big")
        if found.kind in (HEADERS, DATA) and found.flags & END_STREAM:
            self.said(found.stream).ended = True


@contextlib.asynccontextmanager
async def reading(line: wire.Wire) -> AsyncIterator[Peer]:
    peer = Peer(line)
    task = asyncio.create_task(peer.read())
    try:
        yield peer
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled() or task.exception() is None, task.exception()


@contextlib.asynccontextmanager
async def hostile_client(
    port: int, *, greeting: bytes = GREETING, context: ssl.SSLContext | None = None, deaf: bool = False
) -> AsyncIterator[Peer]:
    """A connection to a port on loopback. `deaf`: small socket buffers (see `Peer.wire.stop_reading`)."""
    async with wire.connect(port, context=context, deaf=deaf) as line, reading(line) as peer:
        await peer.send(greeting)
        yield peer
