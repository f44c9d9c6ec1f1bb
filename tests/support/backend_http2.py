"""A backend that does over HTTP/2 what a test tells it, allowed or not, and shows what it was sent (RFC 9113).

Rule: what the gateway sends must keep to the protocol; where it does not, h2 says so in `Connection.error`, which fails
the test at the end. What the backend sends need not: resets, GOAWAY and windows are as the test wants them.
"""

import asyncio
import contextlib
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings
from h2.errors import ErrorCodes
from h2.settings import SettingCodes

from gateway.protocol.metadata import Headers
from tests.support.certificates import Authority, authority, leaf, write_pair
from tests.support.frames import message
from tests.support.http2 import ACK, DATA, FRAME_HEAD, GOAWAY, PING, frame
from tests.support.wire import PATIENCE

__all__ = [
    "NOT_SERVING",
    "SERVING",
    "Backend",
    "Connection",
    "ErrorCodes",
    "Health",
    "Papers",
    "Request",
    "SettingCodes",
    "backend",
    "ok",
    "papers",
    "silent",
]

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
LAST_OF_ALL = 2**31 - 1  # GOAWAY that refuses nothing yet


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


Answer = Callable[[Request], Awaitable[None]]


async def ok(request: Request) -> None:
    """The messages of the request back, once it is whole, and status 0."""
    data = await request.whole()
    request.head()
    await request.send(data or message(b""))
    request.trailers((b"grpc-status", b"0"))


async def silent(request: Request) -> None:
    """Nothing."""


WATCH = b"/grpc.health.v1.Health/Watch"
NOT_SERVING, SERVING = 2, 1


class Health:
    """An answer to calls, and to whoever asks grpc.health.v1 how the backend is."""

    def __init__(self, answer: "Answer" = ok, status: int = SERVING) -> None:
        self.answer = answer
        self.status = status  # what it says first
        self.watches: list[Request] = []  # all there were

    @property
    def watching(self) -> list[Request]:
        return [watch for watch in self.watches if not watch.over and not watch.replied]

    async def __call__(self, request: Request) -> None:
        if request.fields[b":path"] != WATCH:
            await self.answer(request)
            return
        assert await request.whole() == message(b"")
        self.watches.append(request)
        request.head()
        await request.send(message(bytes((8, self.status))))
        request.connection.backend.tell()

    async def say(self, status: int) -> None:
        self.status = status
        for watch in self.watching:
            await watch.send(message(bytes((8, status))))


class Connection(asyncio.Protocol):
    """One connection of the gateway's."""

    transport: asyncio.Transport

    def __init__(self, backend: "Backend") -> None:
        self.backend = backend
        self.requests: dict[int, Request] = {}
        self.heard = False  # something has come
        self.pings = 0  # that came
        self.answers_pings = backend.answers_pings
        self.holds = backend.holds  # the windows: nothing received opens them
        self.last = LAST_OF_ALL  # stream that the backend takes
        self.goaway: tuple[int, int] | None = None  # the gateway's: last stream, code
        self.closed = False
        self.error: Exception | None = None  # the gateway's breach of the protocol
        self.h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(
                client_side=False,
                header_encoding=None,
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        self._greeted = False
        self._owed: list[tuple[int, int]] = []  # bytes for which the windows stay shut, and the stream of each
        self._unread = bytearray()

    # -- what the test does

    def greet(self) -> None:
        """SETTINGS: from here on the gateway knows that somebody is there."""
        self._greet()
        self.flush()
        self._take_frames()

    def greet_and_leave(self) -> None:
        """SETTINGS and GOAWAY in one segment."""
        self._greet()
        self.transport.write(self.h2.data_to_send() + self._goaway(0, 0))

    def greet_and_err(self) -> None:
        """SETTINGS in one segment with a frame that no connection survives: DATA of no stream."""
        self._greet()
        self.transport.write(self.h2.data_to_send() + frame(DATA, 0, 0, b"x"))

    def _greet(self) -> None:
        self._greeted = True
        values = {SettingCodes.MAX_HEADER_LIST_SIZE: 65536, **self.backend.settings}
        self.h2.local_settings = h2.settings.Settings(client=False, initial_values=values)
        self.h2.initiate_connection()

    def widen(self, size: int) -> None:
        """Room for so many bytes more on the connection: its streams keep their own windows."""
        self.h2.increment_flow_control_window(size)
        self.flush()

    def say_goaway(self, last: int = LAST_OF_ALL, code: int = 0) -> None:
        """Streams that are open go on, whatever the last stream is said to be; new ones beyond it are passed over."""
        self.transport.write(self._goaway(last, code))

    def _goaway(self, last: int, code: int) -> bytes:
        self.last = last
        return frame(GOAWAY, 0, 0, struct.pack(">II", last, code))

    def announce(self, settings: Mapping[SettingCodes, int]) -> None:
        self.h2.update_settings(cast("dict[SettingCodes | int, int]", dict(settings)))
        self.flush()

    def release(self) -> None:
        """Open the windows that `holds` kept shut, and hold them no longer."""
        self.holds = False
        owed, self._owed = self._owed, []
        for stream, size in owed:
            self._acknowledge(stream, size)
        self.flush()

    def stop_reading(self) -> None:
        self.transport.pause_reading()

    def read_again(self) -> None:
        self.transport.resume_reading()

    def abort(self) -> None:
        """TCP RST, or something like it."""
        self.transport.abort()

    def close(self) -> None:
        self.transport.close()

    def flush(self) -> None:
        if data := self.h2.data_to_send():
            self.transport.write(data)

    # -- who is there

    @property
    def identities(self) -> tuple[str, ...]:
        """DNS names of the client certificate."""
        certificate = self.transport.get_extra_info("peercert") or {}
        return tuple(value for kind, value in certificate.get("subjectAltName", ()) if kind == "DNS")

    @property
    def open(self) -> list[Request]:
        """Streams that are not over at both ends."""
        return [each for each in self.requests.values() if not (each.over or (each.ended and each.replied))]

    # -- asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.backend.connections.append(self)
        if self.backend.hangs_up:
            self.abort()
        elif self.backend.greets:
            self.greet()
        self.backend.tell()

    def data_received(self, data: bytes) -> None:
        self.heard = True
        self._unread += data
        if self._greeted:
            self._take_frames()
        self.backend.tell()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self.backend.tell()

    # -- frames

    def _take_frames(self) -> None:
        if self.error is not None:
            return
        try:
            for raw in self._frames():
                self._receive(raw)
        except h2.exceptions.ProtocolError as error:
            self.error = error
        if not self.closed:
            self.flush()

    def _frames(self) -> list[bytes]:
        found = []
        if self._unread.startswith(PREFACE):
            found.append(bytes(self._unread[: len(PREFACE)]))
            del self._unread[: len(PREFACE)]
        while len(self._unread) >= (size := FRAME_HEAD + int.from_bytes(self._unread[:3], "big")):
            found.append(bytes(self._unread[:size]))
            del self._unread[:size]
        return found

    def _receive(self, raw: bytes) -> None:
        if raw[3] == GOAWAY:
            self.goaway = int.from_bytes(raw[9:13], "big"), int.from_bytes(raw[13:17], "big")
            return
        if raw[3] == PING and not raw[4] & ACK and raw != PREFACE:
            self.pings += 1
            if not self.answers_pings:
                return
        for event in self.h2.receive_data(raw):
            self._take(event)

    def _take(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.RequestReceived():
                headers = [(bytes(name), bytes(value)) for name, value in event.headers]
                if event.stream_id <= self.last:
                    new = self.requests[event.stream_id] = Request(self, event.stream_id, headers)
                    self.backend.arrived(new)
            case h2.events.DataReceived():
                if request := self.requests.get(event.stream_id):
                    request.chunks.append(event.data)
                if self.holds:
                    self._owed.append((event.stream_id, event.flow_controlled_length))
                else:
                    self._acknowledge(event.stream_id, event.flow_controlled_length)
            case h2.events.StreamEnded():
                if request := self.requests.get(event.stream_id):
                    request.ended = True
            case h2.events.StreamReset(remote_reset=True):
                if request := self.requests.get(event.stream_id):
                    request.reset = int(event.error_code)
                    request.reset_at = asyncio.get_running_loop().time()

    def _acknowledge(self, stream: int, size: int) -> None:
        with contextlib.suppress(h2.exceptions.StreamClosedError):
            self.h2.acknowledge_received_data(size, stream)


class Backend:
    """Listens; set up what every new connection is like before the gateway dials."""

    def __init__(self, answer: Answer, context: ssl.SSLContext | None, settings: Mapping[SettingCodes, int]) -> None:
        self.answer = answer  # to every request, in a task of its own
        self.settings = dict(settings)
        self.greets = True  # False: SETTINGS only come with `Connection.greet`
        self.hangs_up = False  # at once
        self.answers_pings = True
        self.holds = False
        self.connections: list[Connection] = []  # all there were, in order
        self.requests: list[Request] = []  # of all of them, in order
        self.host = "127.0.0.1"
        self.port = 0
        self.path: Path | None = None
        self._context = context
        self._server: asyncio.Server | None = None
        self._answers: set[asyncio.Task[None]] = set()
        self._failed: list[BaseException] = []
        self._news = asyncio.Event()

    @property
    def target(self) -> str:
        if self.path is not None:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def standing(self) -> list[Connection]:
        return [connection for connection in self.connections if not connection.closed]

    def section(self, **more: Any) -> dict[str, Any]:
        """For `upstreams`, in plaintext."""
        return {"targets": [self.target], "plaintext": True, "allow_insecure_tokens": True, **more}

    async def start(self) -> None:
        """Listen; again at the same place after `stop`."""
        loop = asyncio.get_running_loop()
        if self.path is not None:
            self._server = await loop.create_unix_server(lambda: Connection(self), str(self.path), ssl=self._context)
        else:
            self._server = await loop.create_server(lambda: Connection(self), self.host, self.port, ssl=self._context)
            self.port = self._server.sockets[0].getsockname()[1]

    def stop(self) -> None:
        """Listen no more; connections stand."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def die(self) -> None:
        """Listen no more, and lose every connection."""
        self.stop()
        for connection in self.standing:
            connection.abort()

    async def until(self, condition: Callable[[], bool], seconds: float | None = PATIENCE) -> None:
        """Return once the condition holds: looked at when something comes or a reply ends. Raises TimeoutError."""
        async with asyncio.timeout(seconds):
            while not condition():
                await self._news.wait()

    async def arrivals(self, count: int, seconds: float = PATIENCE) -> list[Request]:
        """All requests, once there are so many."""
        await self.until(lambda: len(self.requests) >= count, seconds)
        return self.requests

    def arrived(self, request: Request) -> None:
        self.requests.append(request)
        task = asyncio.create_task(self._answer(request))
        self._answers.add(task)
        task.add_done_callback(self._answers.discard)

    def tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    async def _answer(self, request: Request) -> None:
        try:
            await self.answer(request)
        except ConnectionError:
            return  # the gateway left
        except Exception as error:
            self._failed.append(error)

    async def close(self) -> None:
        """Raises what an answer raised, and AssertionError when the gateway broke the protocol."""
        self.die()
        answers = tuple(self._answers)
        for answer in answers:
            answer.cancel()
        await asyncio.gather(*answers, return_exceptions=True)
        await self.until(lambda: not self.standing)
        for error in self._failed:
            raise error
        for connection in self.connections:
            assert connection.error is None, f"the gateway broke the protocol: {connection.error!r}"


@contextlib.asynccontextmanager
async def backend(
    answer: Answer = ok,
    *,
    context: ssl.SSLContext | None = None,
    settings: Mapping[SettingCodes, int] | None = None,
    path: Path | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
) -> AsyncIterator[Backend]:
    """A backend on a free port of loopback, or on a Unix socket at `path`."""
    made = Backend(answer, context, settings or {})
    made.host, made.port, made.path = host, port, path
    await made.start()
    try:
        yield made
    finally:
        await made.close()


@dataclass(frozen=True)
class Papers:
    """Certificates of one authority: the backend's for `backend.test`, the gateway's for `gateway.test`."""

    folder: Path
    signer: Authority
    ca: Path
    backend: tuple[Path, Path]
    gateway: tuple[Path, Path]

    def issue(self, name: str, stem: str) -> tuple[Path, Path]:
        """A new pair in STEM.pem and STEM.key, in place of any there."""
        return write_pair(self.folder, *leaf(self.signer, name), stem=stem)

    def context(self, *, alpn: tuple[str, ...] = ("h2",)) -> ssl.SSLContext:
        """The backend's: who has no certificate of the same authority is refused."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_verify_locations(self.ca)
        context.load_cert_chain(*self.backend)
        context.verify_mode = ssl.CERT_REQUIRED
        if alpn:
            context.set_alpn_protocols(list(alpn))
        return context

    def tls(self, **changes: object) -> dict[str, str]:
        """For `tls` of an upstream; None leaves a key out."""
        section = {
            "ca": self.ca,
            "certificate": self.gateway[0],
            "private_key": self.gateway[1],
            "server_name": "backend.test",
        }
        return {key: str(value) for key, value in (section | changes).items() if value is not None}


def papers(folder: Path) -> Papers:
    signer = authority()
    ca = folder / "authority.pem"
    ca.write_bytes(signer.pem)
    pairs = [write_pair(folder, *leaf(signer, f"{name}.test"), stem=name) for name in ("backend", "gateway")]
    return Papers(folder, signer, ca, *pairs)
