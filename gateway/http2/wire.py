"""The connection itself: bytes in and out in turns, liveness, and how it ends.

Rules
- What one turn of the loop makes leaves in one write. While the transport is full nothing more is taken out.
- Who sends much at once is read on in the next turn, after everybody else.
- Frames that ask for nothing are counted (`PATIENCE`).
"""

import asyncio
import contextlib
import struct
from collections.abc import Callable
from typing import TypeVarTuple, cast

import structlog
from ngh2 import (
    Connection,
    ConnectionClosed,
    DenialOfServiceError,
    Event,
    GoAwayReceived,
    NGH2Error,
    Role,
    Setting,
    SettingsReceived,
)

from gateway.http2.errors import ENHANCE_YOUR_CALM, NO_ERROR, PROTOCOL_ERROR, error_name
from gateway.http2.limits import (
    CLIENT,
    CLIENT_SETTINGS,
    PATIENCE,
    PATIENCE_RATE,
    SERVER,
    SERVER_SETTINGS,
    TURN,
    WRITE_BUFFER,
)
from gateway.peer import Peer
from gateway.standstill import Standstill

log = structlog.get_logger("gateway.http2")

PING_TIMEOUT = 20.0  # seconds for the answer to a PING
CLOSE_TIMEOUT = 5.0  # seconds for the last bytes of a connection that is closed
MANY = 2**31  # streams: as many as there are, until the peer says how many it allows
LINGER = 1.0  # seconds for the peer to close its half, when they have left

Said = TypeVarTuple("Said")
_GOAWAY = struct.Struct(">HBBBIII")  # length, type, flags and stream of a frame, then the last stream and the reason


class Wire(asyncio.Protocol):
    """A connection without its streams, which are a `Link`'s."""

    transport: asyncio.Transport
    peer: Peer

    def __init__(self, *, server: bool, window: int, keepalive: float | None) -> None:
        """`window`: bytes of all streams together that the peer may send ahead. `keepalive`: seconds of silence."""
        self.heard_at = 0.0  # loop time of the last bytes from the peer
        self.closing = False
        self.max_streams = MANY  # that the peer allows
        self.last_peer_stream = 0  # the newest that the peer has opened
        self._loop = asyncio.get_running_loop()
        self._server = server
        role, configuration = (Role.SERVER, SERVER) if server else (Role.CLIENT, CLIENT)
        self._engine = Connection(role, configuration)
        self._settings = SERVER_SETTINGS if server else CLIENT_SETTINGS
        self._window = window
        self._keepalive = keepalive
        self._pinged_at: float | None = None
        self._closed_at = 0.0
        self._flushing = False  # a flush is on its way
        self._stuck = False  # the transport is full
        self._standstill = Standstill()  # of bytes in a full transport
        self._resting = False  # it was read enough in this turn
        self._patience = PATIENCE

    # -- the transport -------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(WRITE_BUFFER)
        self.peer = Peer.of(transport)
        self.heard_at = self._loop.time()
        self._engine.initiate_connection(self._settings)
        self._engine.set_local_window_size(self._window)
        self._flush()

    def data_received(self, data: bytes) -> None:
        if self.closing:
            return
        self.heard_at = self._loop.time()
        if len(data) >= TURN:
            self._rest()
        engine = self._engine
        try:
            engine.receive_data(data)
            self.dispatch(engine.events())
            if engine.want_write:
                self.flush_soon()
        except NGH2Error as error:
            try:
                if not self._server:  # replies that came whole before the fault count
                    self.dispatch(engine.events())
            finally:
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

    @property
    def now(self) -> float:
        """The loop's time."""
        return self._loop.time()

    @property
    def missing_window(self) -> int:
        """Bytes of the connection's window that the peer cannot send, though no stream is held for them.

        Up to half of the window they may be due all the same, for the engine gives back in large pieces. The engine
        also loses the beginning of a DATA frame whose stream is reset in its middle.
        """
        return self._window - self._engine.local_window_size - self.unacknowledged

    # -- the connection ------------------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """About once a second, with the loop's time. Servers of gRPC hang up on pings without a stream."""
        stood, buffered = self._look_at_transport(now)
        if self._patience < PATIENCE:  # what was earned by sending is kept: it may be acknowledged late
            self._patience = min(PATIENCE, self._patience + PATIENCE_RATE)
        if not self.closing and self.missing_window > self._window // 4 * 3:
            self.worn_out()
        if self.closing:
            if stood >= CLOSE_TIMEOUT or (not buffered and now - self._closed_at >= LINGER):
                self.transport.abort()
        elif self._pinged_at is not None:
            if self.heard_at >= self._pinged_at:  # the loop's clock ticks in milliseconds
                self._pinged_at = None
            elif now - self._pinged_at > PING_TIMEOUT:
                log.info("connection_dead", peer=self.peer.address)
                self.transport.abort()
        elif self._keepalive is not None and self.in_use and now - self.heard_at >= self._keepalive:
            self._pinged_at = now
            self.ping()

    def _look_at_transport(self, now: float) -> tuple[float, int]:
        """Seconds for which no byte has left a transport that is full or closing, and the bytes in it."""
        size = self.transport.get_write_buffer_size() if self._stuck or self.closing else 0
        stood = self._standstill.look(now, size, excused=not size)
        if size and not stood:
            self.heard_at = now  # a sign of life: no ping can leave, and the peer may not be read
        return stood, size

    def stuck_for(self, now: float) -> float:
        """Seconds since a byte left the transport, which is full; else 0."""
        return now - self._standstill.since if self._stuck else 0.0

    def ping(self) -> None:
        self._say(self._engine.ping)

    def shutdown_notice(self) -> None:
        """A server's: ask the peer to open no more streams; those on their way here are still served."""
        self._say(self._engine.send_shutdown_notice)

    def goaway(self) -> None:
        """Take no more streams. The engine closes the connection with the last of those that there are."""
        self._say(self._engine.send_goaway, NO_ERROR)

    def close(self, error: int = NO_ERROR) -> None:
        """Say goodbye; streams that are still open are lost."""
        if self.closing:
            return
        if self._stuck:
            self.transport.abort()
            return
        with contextlib.suppress(NGH2Error):
            self._engine.terminate_connection(error)
            self._flush()
        self._close_transport()

    # -- for subclasses ------------------------------------------------------------------------------------------

    @property
    def in_use(self) -> bool:
        """Whether there are streams."""
        return False

    @property
    def unacknowledged(self) -> int:
        """Bytes received for which the peer's windows stay shut, because streams are held."""
        return 0

    def dispatch(self, events: list[Event]) -> None:
        """What the engine has found, in order."""

    def flushed(self) -> None:
        """All that the peer's windows allow has left."""

    def settings_received(self) -> None:
        """The peer's settings are known, or have changed."""

    def goaway_received(self) -> None:
        """The peer takes no more streams; those that it has not seen are closed with REFUSED_STREAM."""

    def leaving(self) -> None:
        """The connection is being closed."""

    def worn_out(self) -> None:
        """Too much of the connection's window is lost: another one has to take its place."""

    # -- the engine ----------------------------------------------------------------------------------------------

    def _say(self, frame: Callable[[*Said], object], *args: *Said) -> None:
        """Have the engine send a frame. One that has ended sends no more, and its streams hear of that another way."""
        try:
            frame(*args)
        except NGH2Error:
            return
        self.flush_soon()

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
            self.transport.write(data)
        self.flushed()
        if events := engine.events():
            self.dispatch(events)

    def about_connection(self, event: Event) -> None:
        """An event of no stream."""
        self._patience -= 1
        if self._patience < 0 and not isinstance(event, ConnectionClosed):
            self.close(ENHANCE_YOUR_CALM)
            return
        if isinstance(event, SettingsReceived):
            self.max_streams = event.settings.get(Setting.MAX_CONCURRENT_STREAMS, self.max_streams)
            self.settings_received()
        elif isinstance(event, GoAwayReceived):
            self.goaway_received()
        elif isinstance(event, ConnectionClosed):
            if event.error_code != NO_ERROR:
                log.info("connection_error", peer=self.peer.address, code=error_name(event.error_code))
            self._close_transport()

    def _give_up(self, error: NGH2Error) -> None:
        """The engine has ended in the middle: it cannot say goodbye any more, so the frame is written by hand."""
        log.info("connection_error", peer=self.peer.address, code=type(error).__name__)
        if not self.closing:
            reason = ENHANCE_YOUR_CALM if isinstance(error, DenialOfServiceError) else PROTOCOL_ERROR
            self.transport.write(_GOAWAY.pack(0, 8, 7, 0, 0, self.last_peer_stream, reason))
        self._close_transport()

    def _close_transport(self) -> None:
        if not self.closing:
            self.closing = True
            self._closed_at = self._loop.time()
            self.leaving()
            self.transport.close()
