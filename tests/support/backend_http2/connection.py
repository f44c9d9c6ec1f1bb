"""A connection that has come to a test's backend: h2 judges what comes, and what is sent h2 does not judge."""

import asyncio
import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings
from h2.settings import SettingCodes

from tests.support.backend_http2.request import Request
from tests.support.frames_http2 import PREFACE, data, goaway
from tests.support.http2 import ACK, FRAME_HEAD, GOAWAY, PING

if TYPE_CHECKING:
    from tests.support.backend_http2.server import Backend

LAST_OF_ALL = 2**31 - 1  # GOAWAY that refuses nothing yet


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
        self.transport.write(self.h2.data_to_send() + data(0, b"x"))

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
        return goaway(code, last)

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
