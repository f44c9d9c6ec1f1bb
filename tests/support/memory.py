"""One HTTP/2 connection without sockets: a `Link` at one end, h2 at the other, and a transport that a test can stop.

Rule: bytes move when a test says so (`Peer.say`, `Peer.hear`, `Peer.talk`); only the link's own turns of the loop are
its own. GOAWAY is kept from h2, which would take nothing more, though streams that are open go on (RFC 9113, 6.8).
"""

import asyncio
import struct
from collections.abc import Mapping
from typing import Any, TypeVar

import h2.config
import h2.connection
import h2.events
import h2.settings

from gateway.http2 import Link
from gateway.protocol.metadata import Headers
from tests.support.http2 import FRAME_HEAD, GOAWAY, GoAway

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

Kind = TypeVar("Kind", bound=h2.events.Event)


class MovableLoop:
    """The running loop, with a clock of its own that stands until a test moves it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def time(self) -> float:
        return self.now

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio.get_running_loop(), name)


class MemoryTransport(asyncio.Transport):
    """Keeps what is written, each write for itself."""

    def __init__(self, **extra: Any) -> None:
        """`extra`: what `get_extra_info` tells."""
        super().__init__(extra)
        self.protocol: asyncio.BaseProtocol | None = None
        self.writes: list[bytes] = []
        self.limits: int | None = None
        self.reading = True
        self.closed = False
        self.aborted = False
        self.full = False
        self.buffered = 0  # bytes that wait for the socket, as a test says

    def connect(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol
        protocol.connection_made(self)

    def fill(self) -> None:
        """The socket takes no more for now."""
        assert isinstance(self.protocol, asyncio.Protocol)
        self.full = True
        self.protocol.pause_writing()

    def drain(self) -> None:
        assert isinstance(self.protocol, asyncio.Protocol)
        self.full = False
        self.protocol.resume_writing()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.closed, "written after the close"
        assert data, "an empty write"
        self.writes.append(bytes(data))

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            if not self.full:  # what waits in it would go first
                self._lose()

    def abort(self) -> None:
        if not self.aborted:
            lost = self.closed and not self.full
            self.closed = self.aborted = True
            if not lost:
                self._lose()

    def _lose(self) -> None:
        assert self.protocol is not None
        asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    def is_closing(self) -> bool:
        return self.closed

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        assert self.protocol is not None
        return self.protocol

    def get_write_buffer_size(self) -> int:
        return self.buffered

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.limits = high

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


class Peer:
    """The other end."""

    def __init__(self, link: Link, *, server: bool = False, settings: Mapping[int, int] | None = None, **extra: Any):
        """`server`: this end is. `settings`: this end's first ones. `extra`: what the link's transport tells."""
        self.link = link
        self.clock = link._loop = MovableLoop()  # type: ignore[assignment]
        self.transport = MemoryTransport(**extra)
        self.events: list[h2.events.Event] = []
        self.goaways: list[GoAway] = []
        self.h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(
                client_side=not server,
                header_encoding=None,
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        first = {h2.settings.SettingCodes(code): value for code, value in (settings or {}).items()}
        self.h2.local_settings = h2.settings.Settings(client=not server, initial_values=first)
        self._unsaid = b""
        self._unread = bytearray()
        self._preface = PREFACE if server else b""  # that has to come first
        self.transport.connect(link)
        self.h2.initiate_connection()

    # -- out -----------------------------------------------------------------------------------------------------

    def say(self) -> bool:
        """Hand the link what h2 has to say; False: nothing, or the link does not read now."""
        self._unsaid += self.h2.data_to_send()
        if not self._unsaid or self.transport.closed or not self.transport.reading:
            return False
        data, self._unsaid = self._unsaid, b""
        self.link.data_received(data)
        return True

    def request(self, headers: Headers, body: bytes | None = None, *, end: bool = True) -> int:
        """A new stream, said."""
        stream = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream, headers, end_stream=end and body is None)
        if body is not None:
            self.h2.send_data(stream, body, end_stream=end)
        self.say()
        return stream

    def send(self, stream: int, data: bytes, *, end: bool = False) -> None:
        """Frames of a body, as the link's windows allow, said."""
        for start in range(0, len(data), self.h2.max_outbound_frame_size) or (0,):
            part = data[start : start + self.h2.max_outbound_frame_size]
            self.h2.send_data(stream, part, end_stream=end and start + len(part) == len(data))
        self.say()

    def open_window(self, size: int, stream: int | None = None) -> None:
        self.h2.increment_flow_control_window(size, stream)
        self.say()

    # -- in ------------------------------------------------------------------------------------------------------

    def hear(self) -> list[h2.events.Event]:
        """Take in what the link has written; all of it, for the first time."""
        self._unread += b"".join(self.transport.writes)
        self.transport.writes.clear()
        heard: list[h2.events.Event] = []
        if self._preface and self._unread:
            assert self._unread.startswith(PREFACE)
            del self._unread[: len(PREFACE)]
            self.h2.receive_data(PREFACE)
            self._preface = b""
        while len(self._unread) >= (size := FRAME_HEAD + int.from_bytes(self._unread[:3], "big")):
            raw = bytes(self._unread[:size])
            del self._unread[:size]
            if raw[3] == GOAWAY:
                last, code = struct.unpack_from(">II", raw, FRAME_HEAD)
                self.goaways.append(GoAway(last & 0x7FFFFFFF, code, raw[FRAME_HEAD + 8 :]))
            else:
                heard += self.h2.receive_data(raw)
        self.events += heard
        return heard

    async def talk(self) -> None:
        """Until neither end has anything to say; windows open only where a test opens them."""
        while True:
            said = self.say()
            await asyncio.sleep(0)
            heard = bool(self.transport.writes)
            self.hear()
            if not said and not heard and (not self._unsaid or self.transport.closed or not self.transport.reading):
                return

    def heard(self, kind: type[Kind], stream: int | None = None) -> list[Kind]:
        """Events of one kind, so far."""
        found = [event for event in self.events if isinstance(event, kind)]
        return [event for event in found if stream is None or getattr(event, "stream_id", None) == stream]

    def body(self, stream: int) -> bytes:
        return b"".join(event.data for event in self.heard(h2.events.DataReceived, stream))

    def headers(self, stream: int) -> Headers:
        """Of the response."""
        (event,) = self.heard(h2.events.ResponseReceived, stream)
        return _pairs(event.headers)

    def trailers(self, stream: int) -> Headers:
        (event,) = self.heard(h2.events.TrailersReceived, stream)
        return _pairs(event.headers)

    def ended(self, stream: int) -> bool:
        return bool(self.heard(h2.events.StreamEnded, stream))

    def reset(self, stream: int) -> int | None:
        """The code of the link's RST_STREAM."""
        codes = [int(event.error_code) for event in self.heard(h2.events.StreamReset, stream)]
        assert len(codes) < 2
        return codes[0] if codes else None


def _pairs(headers: object) -> Headers:
    return [(bytes(name), bytes(value)) for name, value in headers]  # type: ignore[attr-defined]
