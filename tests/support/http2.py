"""An HTTP/2 client that shows what it is sent, frame by frame, and sends what it is told, allowed or not (RFC 9113).

Rule: nothing is done on the quiet. Header blocks are raw pairs in order; windows open only when a test opens them, or
asks for it (`update_windows`); limits of the peer are the peer's to enforce. What h2 finds wrong with the peer is kept
in `error` and fails the test at the end. Every wait ends after `PATIENCE`.
"""

import asyncio
import contextlib
import ssl
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings

from gateway.protocol.metadata import Headers
from tests.support import wire
from tests.support.wire import PATIENCE

__all__ = ["ErrorCodes", "SettingCodes"]  # beside what is made here

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, ACK, END_HEADERS = 0x1, 0x1, 0x4
FRAME_HEAD = 9


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """A frame as it stands, for `Client.send_raw`."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def head(
    path: str, *fields: tuple[str, str], method: str = "POST", scheme: str = "https", authority: str = "gateway.test"
) -> Headers:
    """Pseudo-headers, then `fields` as they are, in Latin-1."""
    pseudo = [(":method", method), (":scheme", scheme), (":authority", authority), (":path", path)]
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in (*pseudo, *fields)]


@dataclass(frozen=True, slots=True)
class GoAway:
    last_stream: int
    code: int
    text: bytes


@dataclass
class Stream:
    """One request and what came back so far."""

    client: "Client"
    id: int
    headers: Headers = field(default_factory=list)  # of the response, `:status` first; empty: not there yet
    informational: list[Headers] = field(default_factory=list)  # 1xx
    chunks: list[bytes] = field(default_factory=list)  # one for each DATA frame
    trailers: Headers | None = None
    ended: bool = False  # END_STREAM has come
    reset: int | None = None  # the code of the peer's RST_STREAM

    @property
    def data(self) -> bytes:
        return b"".join(self.chunks)

    @property
    def status(self) -> int:
        return int(dict(self.headers)[b":status"])

    @property
    def answer(self) -> wire.Answer:
        """What a browser can see of it so far, whatever version of HTTP it speaks."""
        assert (self.trailers, self.reset) == (None, None)
        return wire.Answer(self.status, self.headers[1:], [self.data])

    @property
    def over(self) -> bool:
        return self.ended or self.reset is not None or self.client.closed

    @property
    def room(self) -> int:
        """Bytes that the peer takes now."""
        return self.client.h2.local_flow_control_window(self.id)

    async def response(self, seconds: float = PATIENCE) -> "Stream":
        """Return once the stream is over by END_STREAM or RST_STREAM. Raises ConnectionError, TimeoutError."""
        await self.client.until(lambda: self.ended or self.reset is not None, seconds)
        return self

    async def head(self, seconds: float = PATIENCE) -> Headers:
        """The response headers, once they are there; empty when the stream was reset before."""
        await self.client.until(lambda: bool(self.headers) or self.reset is not None, seconds)
        return self.headers

    async def received(self, size: int, seconds: float = PATIENCE) -> bytes:
        """All the data, once it is `size` bytes or the stream is over."""
        await self.client.until(lambda: sum(map(len, self.chunks)) >= size or self.over, seconds)
        return self.data

    async def send(self, data: bytes, *, end: bool = False) -> None:
        """DATA frames as the peer's windows allow; waits for them to open. Raises ConnectionError, TimeoutError."""
        rest = memoryview(data)
        while True:
            if rest:
                await self.client.until(lambda: self.room > 0 or self.reset is not None)
            if self.reset is not None:
                return
            part = rest[: min(self.room, self.client.h2.max_outbound_frame_size)]
            rest = rest[len(part) :]
            self.client.h2.send_data(self.id, bytes(part), end_stream=end and not rest)
            await self.client.flush()
            if not rest:
                return

    async def end(self) -> None:
        """The request is complete: an empty DATA frame."""
        await self.send(b"", end=True)

    async def cancel(self, code: int = ErrorCodes.CANCEL) -> None:
        """RST_STREAM."""
        self.client.h2.reset_stream(self.id, code)
        await self.client.flush()

    async def open_window(self, increment: int) -> None:
        self.client.h2.increment_flow_control_window(increment, self.id)
        await self.client.flush()


class _Connection(H2Connection):
    @property
    def open_outbound_streams(self) -> int:
        """None, whatever the peer's MAX_CONCURRENT_STREAMS: a test may go over it."""
        super().open_outbound_streams  # noqa: B018 - forgets the streams that are closed
        return 0


class Client:
    """One connection. Streams are opened by `request`; what concerns no stream stands here."""

    def __init__(self, line: wire.Wire, settings: dict[SettingCodes, int], update_windows: bool) -> None:
        self.wire = line
        as_it_is = H2Configuration(
            header_encoding=None, validate_outbound_headers=False, normalize_outbound_headers=False
        )
        self.h2 = _Connection(as_it_is)
        self.h2.local_settings = Settings(client=True, initial_values=settings)
        self.streams: dict[int, Stream] = {}
        self.events: list[events.Event] = []  # all of them, in order
        self.settings: dict[int, int] = {}  # the peer's
        self.pongs: list[bytes] = []
        self.goaway: GoAway | None = None  # the latest
        self.closed = False  # the peer has closed the connection, in whatever way
        self.error: ProtocolError | None = None  # how the peer broke the protocol
        self._update_windows = update_windows
        self._unread = bytearray()
        self._news = asyncio.Event()

    async def until(self, condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
        """Return once the condition holds. Raises TimeoutError, or ConnectionError when nothing more can come."""
        try:
            async with asyncio.timeout(seconds):
                while not condition():
                    if self.closed:
                        raise ConnectionResetError(f"the connection is closed: {self.error or self.goaway}")
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise TimeoutError(f"not within {seconds} s; the last events: {self.events[-5:]}") from None

    async def until_closed(self, seconds: float = PATIENCE) -> None:
        await self.until(lambda: self.closed, seconds)

    async def request(self, headers: Headers, body: bytes | None = None, *, end: bool = True) -> Stream:
        """Open a stream. Without a body there is no DATA frame; an empty one is an empty frame."""
        stream, opening = self.prepare(headers, end=end and body is None)
        await self.send_raw(opening)
        if body is not None:
            await stream.send(body, end=end)
        return stream

    def prepare(self, headers: Headers, *, end: bool = True) -> tuple[Stream, bytes]:
        """A stream, and the frames that open it: not sent, so that a test may cut or alter them before `send_raw`."""
        before = self.h2.data_to_send()
        stream = Stream(self, self.h2.get_next_available_stream_id())
        self.streams[stream.id] = stream
        self.h2.send_headers(stream.id, headers, end_stream=end)
        return stream, before + self.h2.data_to_send()

    async def send_raw(self, data: bytes) -> None:
        """Raises ConnectionError when the peer has closed the connection, TimeoutError when it does not read."""
        async with asyncio.timeout(PATIENCE):
            await self.wire.send(data)

    async def flush(self) -> None:
        """What h2 has to say."""
        if data := self.h2.data_to_send():
            await self.send_raw(data)

    async def ping(self, payload: bytes = b"12345678", seconds: float = PATIENCE) -> float:
        """The seconds until the answer."""
        started, answered = monotonic(), len(self.pongs)
        self.h2.ping(payload)
        await self.flush()
        await self.until(lambda: payload in self.pongs[answered:], seconds)
        return monotonic() - started

    async def open_window(self, increment: int) -> None:
        """Of the connection."""
        self.h2.increment_flow_control_window(increment)
        await self.flush()

    async def _read(self) -> None:
        try:
            while data := await self.wire.reader.read(65536):
                self._unread += data
                for each in self._frames():
                    self._receive(each)
                self.wire.writer.write(self.h2.data_to_send())
                self._news.set()
        except (ConnectionError, ssl.SSLError):
            pass  # closed, if not as it should be
        except ProtocolError as error:
            self.error = error
        finally:
            self.closed = True
            self._news.set()

    def _frames(self) -> Iterator[bytes]:
        while len(self._unread) >= (size := FRAME_HEAD + int.from_bytes(self._unread[:3], "big")):
            yield bytes(self._unread[:size])
            del self._unread[:size]

    def _receive(self, raw: bytes) -> None:
        if raw[3] == GOAWAY:  # h2 would take nothing more, though streams that are open go on (RFC 9113, section 6.8)
            last, code = struct.unpack_from(">II", raw, FRAME_HEAD)
            self.goaway = GoAway(last & 0x7FFFFFFF, code, raw[FRAME_HEAD + 8 :])
            return
        stream = self.streams.get(int.from_bytes(raw[5:FRAME_HEAD], "big"))
        if stream is not None and stream.ended and raw[3] in (DATA, HEADERS):  # h2 would only reset the stream
            raise ProtocolError(f"stream {stream.id} goes on after its end")
        for event in self.h2.receive_data(raw):
            self.events.append(event)
            self._take(event)

    def _take(self, event: events.Event) -> None:
        match event:
            case events.RemoteSettingsChanged():
                self.settings |= {int(code): change.new_value for code, change in event.changed_settings.items()}
            case events.PingAckReceived():
                self.pongs.append(event.ping_data)
            case events.InformationalResponseReceived():
                self.streams[event.stream_id].informational.append(event.headers)
            case events.ResponseReceived():
                self.streams[event.stream_id].headers = event.headers
            case events.TrailersReceived():
                self.streams[event.stream_id].trailers = event.headers
            case events.DataReceived():
                self.streams[event.stream_id].chunks.append(event.data)
                if self._update_windows:
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case events.StreamEnded():
                self.streams[event.stream_id].ended = True
            case events.StreamReset(remote_reset=True):
                self.streams[event.stream_id].reset = int(event.error_code)


@contextlib.asynccontextmanager
async def connect(
    port: int,
    *,
    tls: Path | ssl.SSLContext | None = None,
    settings: dict[SettingCodes, int] | None = None,
    update_windows: bool = False,
    deaf: bool = False,
) -> AsyncIterator[Client]:
    """A connection to a port on loopback, once the peer's SETTINGS are there.

    `tls`: the authority to trust, or a context; without it prior knowledge. `settings`: our first ones, e.g.
    `{SettingCodes.INITIAL_WINDOW_SIZE: 1}`. `deaf`: small socket buffers (see `Client.wire.stop_reading`).
    Raises AssertionError at the end when the peer broke the protocol.
    """
    context = ssl.create_default_context(cafile=tls) if isinstance(tls, Path) else tls
    if context is not None:
        context.set_alpn_protocols(["h2"])
    async with wire.connect(port, context=context, deaf=deaf) as line:
        if context is not None:
            chosen = line.writer.get_extra_info("ssl_object").selected_alpn_protocol()
            assert chosen == "h2", f"ALPN has chosen {chosen}"
        client = Client(line, settings or {}, update_windows)
        client.h2.initiate_connection()
        await client.flush()
        reading = asyncio.create_task(client._read())
        try:
            await client.until(lambda: bool(client.events))
            yield client
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
        assert reading.cancelled() or reading.exception() is None, reading.exception()
        assert client.error is None, f"the peer broke the protocol: {client.error!r}"
