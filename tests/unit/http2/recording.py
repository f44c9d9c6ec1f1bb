"""Links whose streams write down what they are told, against h2 in memory."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from h2.settings import SettingCodes

from gateway.http2 import Link
from gateway.protocol.metadata import Header, Headers
from tests.support.memory import Peer

WINDOW = 4 * 1024 * 1024
REQUEST: Headers = [(b":method", b"POST"), (b":scheme", b"https"), (b":authority", b"api.test"), (b":path", b"/a.B/C")]
RESPONSE: Headers = [(b":status", b"200"), (b"content-type", b"application/grpc")]
WIDE: Mapping[int, int] = {SettingCodes.INITIAL_WINDOW_SIZE: 2**31 - 1}


@dataclass
class Recorder:
    """A stream that writes down what it is told."""

    heard: list[tuple[Any, ...]] = field(default_factory=list)
    data: bytes = b""
    pieces: int = 0  # in which the data came

    def headers_received(self, headers: tuple[Header, ...], ended: bool) -> None:
        self.heard.append(("headers", list(headers), ended))

    def data_received(self, data: bytes, ended: bool) -> None:
        self.data += data
        self.pieces += 1
        if ended:
            self.heard.append(("end",))

    def trailers_received(self, headers: tuple[Header, ...]) -> None:
        self.heard.append(("trailers", list(headers)))

    def full(self) -> None:
        self.heard.append(("full",))

    def writable(self) -> None:
        self.heard.append(("writable",))

    def delivered(self) -> None:
        self.heard.append(("delivered",))

    def closed(self, error: int, by_peer: bool) -> None:
        self.heard.append(("closed", error, *(("by peer",) if by_peer else ())))

    def lost(self, processed: bool) -> None:
        self.heard.append(("lost", processed))


class Recording(Link):
    """A link whose streams are recorders, and which writes down what concerns the connection."""

    def __init__(self, *, server: bool, window: int = WINDOW, keepalive: float | None = None) -> None:
        super().__init__(server=server, window=window, keepalive=keepalive)
        self.recorders: dict[int, Recorder] = {}
        self.requests: list[tuple[int, Headers, bool]] = []
        self.told: list[str] = []

    def open(self, headers: Headers = REQUEST) -> tuple[int, Recorder]:
        """A client's request."""
        recorder = Recorder()
        stream = self.request(headers, recorder)
        self.recorders[stream] = recorder
        return stream, recorder

    def request_received(self, stream_id: int, headers: tuple[Header, ...], ended: bool) -> None:
        self.requests.append((stream_id, list(headers), ended))
        self.streams[stream_id] = self.recorders[stream_id] = Recorder()

    def request_malformed(self) -> None:
        self.told.append("malformed")

    def settings_received(self) -> None:
        self.told.append("settings")

    def goaway_received(self) -> None:
        self.told.append("goaway")

    def stream_gone(self) -> None:
        self.told.append("gone")

    def leaving(self) -> None:
        self.told.append("leaving")

    def worn_out(self) -> None:
        self.told.append("worn out")


async def serving(settings: Mapping[int, int] | None = None, **options: Any) -> tuple[Recording, Peer]:
    """A server's link and its client, who have greeted each other."""
    link = Recording(server=True, **options)
    peer = Peer(link, settings=settings, peername=("192.0.2.1", 4711))
    await peer.talk()
    return link, peer


async def calling(settings: Mapping[int, int] | None = None, **options: Any) -> tuple[Recording, Peer]:
    """A client's link and its server, who have greeted each other."""
    link = Recording(server=False, **options)
    peer = Peer(link, server=True, settings=settings, peername=("192.0.2.2", 443))
    await peer.talk()
    return link, peer


async def asked(link: Recording, peer: Peer, *, end: bool = True, answer: bool = True) -> tuple[int, Recorder]:
    """A request that has arrived at the link, with the head of its answer on the way back."""
    stream = peer.request(REQUEST, end=end)
    if answer:
        link.respond(stream, RESPONSE)
    await peer.talk()
    return stream, link.recorders[stream]
