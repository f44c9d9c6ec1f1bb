"""One HTTP/2 connection over an asyncio transport, either end of it (RFC 9113): libnghttp2's engine, driven.

    transport ── bytes ──▶ Link ── headers, data, trailers, closed ──▶ Stream
    transport ◀── bytes ── Link ◀── send, end, reset, consumed ─────── Stream

Rules
- Only this file imports ngh2, and its exceptions end here.
- A stream has no task, future or coroutine: events are calls, and what one turn of the loop makes leaves in one write.
- Received bytes open the peer's windows again only when the stream says that it has consumed them.
- A stream is told when `SEND_BUFFER` of its bytes wait, and again when there is room; while the transport is full
  nothing more is taken out of the streams.
- What a peer may ask for is bounded (`LIMITS`, `PATIENCE`); who asks for more loses the connection, and nobody else
  notices. Who sends much at once is read on in the next turn, after everybody else.
- A stream may send before it has heard that its peer has reset it: what is for nobody any more is dropped.
"""

import asyncio
import struct
from typing import Protocol, cast

import structlog
from ngh2 import (
    Configuration,
    Connection,
    ConnectionClosed,
    DataReceived,
    ErrorCode,
    Event,
    GoAwayReceived,
    NGH2Error,
    PingAcknowledged,
    RequestReceived,
    ResponseReceived,
    Role,
    Setting,
    SettingsReceived,
    StreamClosed,
    StreamReset,
    TrailersReceived,
)

from gateway.protocol.metadata import Header, Headers

log = structlog.get_logger("gateway.http2")

STREAM_WINDOW = 1024 * 1024  # bytes of one stream that a peer may send ahead
SEND_BUFFER = 256 * 1024  # bytes of one stream that wait for the peer before its source is paused
WRITE_BUFFER = 256 * 1024  # bytes in the transport that wait for the socket
GRACE = 1.0  # seconds for the rest of a request that is answered: some clients take a reset for a failure
PING_TIMEOUT = 20.0  # seconds for the answer to a PING
CLOSE_TIMEOUT = 5.0  # seconds for the last bytes of a connection that is closed
LINGER = 1.0  # seconds for the peer to close its half, when they have left
CROWD = 8  # events that a connection may have of its own; calls have four for each stream: more are small messages
MAX_STREAMS = 128  # of one connection at once
MAX_HEADER_LIST = 64 * 1024  # bytes of one header list (RFC 9113, section 6.5.2)

# Security limits. Over one of them the engine gives the connection up: for resets (burst, per second) and glitches
# with a GOAWAY of its own, for the others at once.
LIMITS = {
    "max_inbound_header_list_size": MAX_HEADER_LIST,
    "max_inbound_header_count": 256,
    "max_continuations": 8,
    "max_settings": 32,
    "max_outbound_ack": 1000,  # answers to SETTINGS and PING that the peer does not read
    "stream_reset_rate_limit": (1000, 100),
    "glitch_rate_limit": (1000, 100),
}
PATIENCE, PATIENCE_RATE = 1000, 100  # frames about the connection itself: at once, and more of them per second
PATIENCE_SENT, ACKNOWLEDGED = 4, 2048  # more of them for each piece of data that is sent, and one for so many bytes
TURN = 64 * 1024  # bytes read in one turn of the loop, after which others have theirs
CONFIGURATION = Configuration(auto_window_update=False, peer_max_concurrent_streams=100, **LIMITS)  # type: ignore[arg-type]

SETTINGS = {Setting.INITIAL_WINDOW_SIZE: STREAM_WINDOW, Setting.MAX_HEADER_LIST_SIZE: MAX_HEADER_LIST}
SERVER_SETTINGS = {Setting.MAX_CONCURRENT_STREAMS: MAX_STREAMS}
CLIENT_SETTINGS = {Setting.ENABLE_PUSH: 0, Setting.MAX_CONCURRENT_STREAMS: 0}

NO_ERROR = int(ErrorCode.NO_ERROR)
REFUSED_STREAM = int(ErrorCode.REFUSED_STREAM)
CANCEL = int(ErrorCode.CANCEL)
PROTOCOL_ERROR = int(ErrorCode.PROTOCOL_ERROR)
INTERNAL_ERROR = int(ErrorCode.INTERNAL_ERROR)
ENHANCE_YOUR_CALM = int(ErrorCode.ENHANCE_YOUR_CALM)

_GOAWAY = struct.Struct(">HBBBIII")  # length, type, flags and stream of a frame, then the last stream and the reason


def error_name(code: int) -> str:
    """For logs; codes that nobody has defined are allowed (RFC 9113, section 7)."""
    try:
        return ErrorCode(code).name
    except ValueError:
        return f"0x{code:x}"


class Stream(Protocol):
    """Who is told what happens on one stream."""

    def headers_received(self, headers: tuple[Header, ...], ended: bool) -> None: ...  # of a response
    def data_received(self, data: bytes, ended: bool) -> None: ...  # say `Link.consumed` for it sooner or later
    def trailers_received(self, headers: tuple[Header, ...]) -> None: ...
    def full(self) -> None: ...  # too much waits for the peer
    def writable(self) -> None: ...
    def left(self) -> None: ...  # all that was sent, as `Link.wants_no_more` asked
    def closed(self, error: int, by_peer: bool) -> None: ...  # a code of RFC 9113, section 7, and whose it is; the end
    def lost(self, processed: bool) -> None: ...  # with the connection; `processed`: the peer may have seen it


class Link(asyncio.Protocol):
    """A connection. Subclasses are its two roles."""

    transport: asyncio.Transport

    def __init__(self, *, server: bool, window: int, keepalive: float | None) -> None:
        """`window`: bytes of all streams together that the peer may send ahead. `keepalive`: seconds of silence."""
        self.streams: dict[int, Stream] = {}
        self.heard_at = 0.0  # loop time of the last bytes from the peer
        self.closing = False
        self.max_streams = 100  # that the peer allows; until it says
        self._loop = asyncio.get_running_loop()
        self._engine = Connection(Role.SERVER if server else Role.CLIENT, CONFIGURATION)
        self._settings = SETTINGS | (SERVER_SETTINGS if server else CLIENT_SETTINGS)
        self._window = window
        self._keepalive = keepalive
        self._pinged_at: float | None = None
        self._closed_at = 0.0
        self._flushing = False  # a flush is on its way
        self._stuck = False  # the transport is full
        self._buffered = 0  # bytes in a full transport at the last tick
        self._moved_at = 0.0  # loop time when that had changed
        self._resting = False  # it was read enough in this turn
        self._patience = PATIENCE
        self._owed = 0  # bytes received that nobody has consumed yet
        self._last_id = 0  # of the newest stream
        self._flushed_id = 0  # of the newest stream whose request has left
        self._reset_by_peer: set[int] = set()
        self._full: set[int] = set()  # streams that were told so
        self._unfinished: dict[int, float | None] = {}  # answered before their request was complete: since when

    # -- the transport -------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(WRITE_BUFFER)
        self.heard_at = self._loop.time()
        self._engine.initiate_connection(self._settings)
        self._engine.set_local_window_size(self._window)
        self._flush()

    def data_received(self, data: bytes) -> None:
        self.heard_at = self._loop.time()
        if len(data) >= TURN:
            self._rest()
        engine = self._engine
        try:
            engine.receive_data(data)
            self._dispatch(engine.events())
            if engine.want_write:
                self.flush_soon()
        except NGH2Error as error:
            self._give_up(error)

    def _rest(self) -> None:
        if not self._resting:
            self._resting = True
            self.transport.pause_reading()
            self._loop.call_soon(self._read_on)

    def _read_on(self) -> None:
        self._resting = False
        if self.wants_to_read and not self.transport.is_closing():
            self.transport.resume_reading()

    @property
    def wants_to_read(self) -> bool:
        return not self._resting

    def eof_received(self) -> bool:
        return False  # who has closed one half is gone

    def pause_writing(self) -> None:
        self._stuck = True

    def resume_writing(self) -> None:
        self._stuck = False
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closing = True
        streams, self.streams = self.streams, {}
        for stream_id, stream in streams.items():
            stream.lost(processed=stream_id <= self._flushed_id)

    # -- what streams do -----------------------------------------------------------------------------------------

    def request(self, headers: Headers, stream: Stream) -> int:
        """Open a stream with a request, whose body follows. 0: the connection takes no more."""
        try:
            stream_id = self._engine.send_request(headers)
        except NGH2Error:
            return 0
        self._last_id = stream_id
        self.streams[stream_id] = stream
        self.flush_soon()
        return stream_id

    def respond(self, stream_id: int, headers: Headers, *, end: bool = False) -> None:
        try:
            self._engine.send_response(stream_id, headers, end_stream=end)
        except NGH2Error:
            return
        self.flush_soon()

    def send(self, stream_id: int, data: bytes, *, end: bool = False) -> None:
        engine = self._engine
        try:
            engine.send_data(stream_id, data, end_stream=end)
        except NGH2Error:
            return
        self.flush_soon()
        self._patience += PATIENCE_SENT + len(data) // ACKNOWLEDGED
        if engine.queued_body_size() > SEND_BUFFER and engine.queued_body_size(stream_id) > SEND_BUFFER:
            self._tell_full(stream_id)

    def end(self, stream_id: int, trailers: Headers | None = None) -> None:
        try:
            if trailers is None:
                self._engine.end_stream(stream_id)
            else:
                self._engine.send_trailers(stream_id, trailers)
        except NGH2Error:
            return
        self.flush_soon()

    def reset(self, stream_id: int, error: int) -> None:
        try:
            self._engine.reset_stream(stream_id, error)
        except NGH2Error:
            return
        self.flush_soon()

    def wants_no_more(self, stream_id: int) -> None:
        """The answer is complete and the request is not. The stream is told when all of the answer has `left`; a
        peer that does not end its request in time then is reset (section 8.1).
        """
        self._unfinished[stream_id] = None

    def consumed(self, stream_id: int, size: int) -> None:
        """So many bytes need no room any more. Right also after the stream is closed."""
        self._owed -= size
        try:
            self._engine.acknowledge_received_data(size, stream_id)
        except NGH2Error:
            return

    def waiting(self, stream_id: int) -> int:
        """Bytes of a stream that the peer's windows hold back."""
        return self._engine.queued_body_size(stream_id)

    @property
    def all_waiting(self) -> int:
        """Bytes of all streams that the peer's windows hold back."""
        return self._engine.queued_body_size()

    @property
    def now(self) -> float:
        """The loop's time."""
        return self._loop.time()

    @property
    def missing_window(self) -> int:
        """Bytes of the connection's window that the peer cannot send, though nobody owes them.

        Up to half of the window they may be due all the same, for the engine gives back in large pieces. The engine
        also loses the beginning of a DATA frame whose stream is reset in its middle.
        """
        return self._window - self._engine.local_window_size - self._owed

    # -- the connection ------------------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """About once a second, with the loop's time. Servers of gRPC hang up on pings without a stream."""
        self._look_at_transport(now)
        self._patience = min(PATIENCE, self._patience + PATIENCE_RATE)
        if not self.closing and self.missing_window > self._window // 4 * 3:
            self.worn_out()
        for stream_id, since in self._unfinished.items():
            if since is not None and now - since >= GRACE:
                self.reset(stream_id, NO_ERROR)
        if self.closing:
            if now - self._closed_at >= (CLOSE_TIMEOUT if self.transport.get_write_buffer_size() else LINGER):
                self.transport.abort()
        elif self._pinged_at is not None:
            if self.heard_at >= self._pinged_at:  # the loop's clock ticks in milliseconds
                self._pinged_at = None
            elif now - self._pinged_at > PING_TIMEOUT:
                log.info("connection_dead", peer=self.peer_name)
                self.transport.abort()
        elif self._keepalive is not None and self.streams and now - self.heard_at >= self._keepalive:
            self._pinged_at = now
            self.ping()

    def _look_at_transport(self, now: float) -> None:
        """Bytes that leave a full transport are a sign of life: a ping could not leave, and its peer may not be read."""
        size = self.transport.get_write_buffer_size() if self._stuck else 0
        if not size or size != self._buffered:
            self._buffered, self._moved_at = size, now
            if size:
                self.heard_at = now

    def stuck_for(self, now: float) -> float:
        """Seconds since a byte left the transport, which is full; else 0."""
        return now - self._moved_at if self._stuck else 0.0

    @property
    def peer_name(self) -> str:
        name = self.transport.get_extra_info("peername")
        return str(name[0]) if isinstance(name, tuple) else ""

    def ping(self) -> None:
        try:
            self._engine.ping()
        except NGH2Error:
            return
        self.flush_soon()

    def shutdown_notice(self) -> None:
        """A server's: ask the peer to open no more streams; those on their way here are still served."""
        try:
            self._engine.send_shutdown_notice()
        except NGH2Error:
            return
        self.flush_soon()

    def goaway(self) -> None:
        """Take no more streams."""
        try:
            self._engine.send_goaway(NO_ERROR)
        except NGH2Error:
            return
        self.flush_soon()

    def close(self, error: int = NO_ERROR) -> None:
        """Say goodbye; streams that are still open are lost."""
        if self.closing:
            return
        if self._stuck:
            self.transport.abort()
            return
        try:
            self._engine.terminate_connection(error)
        except NGH2Error:
            pass
        else:
            self._flush()
        self._close_transport()

    def request_received(self, stream_id: int, headers: tuple[Header, ...], ended: bool) -> None:
        """A server's: a new stream."""

    def settings_received(self) -> None:
        """The peer's settings are known, or have changed."""

    def goaway_received(self) -> None:
        """The peer takes no more streams; those that it has not seen are closed with REFUSED_STREAM."""

    def ping_acknowledged(self) -> None:
        """The peer has read all that was sent before the ping."""

    def stream_gone(self) -> None:
        """One stream less."""

    def leaving(self) -> None:
        """The connection is being closed."""

    def worn_out(self) -> None:
        """Too much of the connection's window is lost: another one has to take its place."""

    # -- the engine ----------------------------------------------------------------------------------------------

    def flush_soon(self) -> None:
        """At the end of this turn of the loop."""
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        if self._stuck or self.closing:
            return
        engine = self._engine
        try:
            data = engine.data_to_send()
        except NGH2Error as error:
            self._give_up(error)
            return
        if data:
            self._flushed_id = self._last_id
            self.transport.write(data)
        if events := engine.events():
            self._dispatch(events)
        if self._full or self._unfinished:
            self._look_at_queues()

    def _dispatch(self, events: list[Event]) -> None:
        streams = self.streams
        if len(events) > CROWD + 4 * len(streams):
            events = _joined(events)
        for event in events:
            if isinstance(event, DataReceived):
                self._owed += len(event.data)
                stream = streams.get(event.stream_id)
                if stream is not None:
                    stream.data_received(event.data, event.end_stream)
                else:
                    self.consumed(event.stream_id, len(event.data))
            elif isinstance(event, RequestReceived):
                self._last_id = event.stream_id
                self.request_received(event.stream_id, event.headers, event.end_stream)
            elif isinstance(event, ResponseReceived):
                stream = streams.get(event.stream_id)
                if stream is not None:
                    stream.headers_received(event.headers, event.end_stream)
            elif isinstance(event, TrailersReceived):
                stream = streams.get(event.stream_id)
                if stream is not None:
                    stream.trailers_received(event.headers)
            elif isinstance(event, StreamClosed):
                self._stream_closed(event)
            else:
                self._about_connection(event)

    def _stream_closed(self, event: StreamClosed) -> None:
        stream = self.streams.pop(event.stream_id, None)
        if stream is not None:
            self._full.discard(event.stream_id)
            self._unfinished.pop(event.stream_id, None)
            stream.closed(event.error_code, by_peer=event.stream_id in self._reset_by_peer)
            self.stream_gone()
        self._reset_by_peer.discard(event.stream_id)

    def _about_connection(self, event: Event) -> None:
        self._patience -= 1
        if self._patience < 0 and not isinstance(event, ConnectionClosed):
            self.close(ENHANCE_YOUR_CALM)
            return
        if isinstance(event, StreamReset):
            if event.stream_id in self.streams:  # and it is closed next
                self._reset_by_peer.add(event.stream_id)
        elif isinstance(event, SettingsReceived):
            self.max_streams = self._engine.remote_settings[Setting.MAX_CONCURRENT_STREAMS]
            self.settings_received()
        elif isinstance(event, PingAcknowledged):
            self.ping_acknowledged()
        elif isinstance(event, GoAwayReceived):
            self.goaway_received()
        elif isinstance(event, ConnectionClosed):
            if event.error_code != NO_ERROR:
                log.info("connection_error", peer=self.peer_name, code=error_name(event.error_code))
            self._close_transport()

    def _tell_full(self, stream_id: int) -> None:
        stream = self.streams.get(stream_id)
        if stream is not None and stream_id not in self._full:
            self._full.add(stream_id)
            stream.full()

    def _look_at_queues(self) -> None:
        """After a flush: who has room again, and whose answer has left."""
        engine = self._engine
        for stream_id in [one for one in self._full if engine.queued_body_size(one) <= SEND_BUFFER // 2]:
            self._full.discard(stream_id)
            self.streams[stream_id].writable()
        for stream_id, since in self._unfinished.items():
            if since is None and not engine.queued_body_size(stream_id):
                self._unfinished[stream_id] = self._loop.time()
                self.streams[stream_id].left()

    def _give_up(self, error: NGH2Error) -> None:
        """The engine has ended in the middle: it cannot say goodbye any more, so the frame is written by hand."""
        log.info("connection_error", peer=self.peer_name, code=type(error).__name__)
        if not self.closing:
            self.transport.write(_GOAWAY.pack(0, 8, 7, 0, 0, self._last_id, ENHANCE_YOUR_CALM))
        self._close_transport()

    def _close_transport(self) -> None:
        if not self.closing:
            self.closing = True
            self._closed_at = self._loop.time()
            self.leaving()
            self.transport.close()


def _joined(events: list[Event]) -> list[Event]:
    """The DATA frames of a stream, with nothing of that stream between them, as one: small messages are many."""
    pieces: dict[int, list[bytes]] = {}
    joined: list[Event] = []
    for event in events:
        if isinstance(event, DataReceived) and not event.end_stream:
            so_far = pieces.get(event.stream_id)
            if so_far is None:
                pieces[event.stream_id] = [event.data]
            else:
                so_far.append(event.data)
            continue
        stream_id = getattr(event, "stream_id", 0)
        if stream_id in pieces:
            joined.append(DataReceived(stream_id, b"".join(pieces.pop(stream_id)), end_stream=False))
        joined.append(event)
    for stream_id, data in pieces.items():
        joined.append(DataReceived(stream_id, b"".join(data), end_stream=False))
    return joined
