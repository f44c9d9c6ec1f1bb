"""One HTTP/2 connection to a backend: dialled with mutual TLS, ready when the backend's SETTINGS are here.

Rules
- ALPN must settle on `h2`, and the backend's certificate must have the expected name (SAN).
- A connection that is retired takes no new call, and closes with its last one.
"""

import asyncio
import math
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from gateway.http2 import Link, Stream
from gateway.protocol.metadata import Header, Headers
from gateway.upstream.connect_error import LISTENING, ConnectError, connect_error
from gateway.upstream.resolver import Address

if TYPE_CHECKING:
    from gateway.upstream.health import HealthWatch
    from gateway.upstream.outlier import Outlier

CONNECT_TIMEOUT = 10.0  # seconds for everything until the backend's SETTINGS are here
# All calls of a gateway share few connections. Their windows together, not a smaller one of the connection, say what a
# backend may send ahead: or some readers that stand still would stop the replies of everybody else.
CONNECTION_WINDOW = 2**31 - 1  # bytes; as large as it can be
STUCK_TIMEOUT = 20.0  # seconds for a backend to read something when it must
LAST_STREAM = 2**30  # of a connection; it is replaced long before its numbers end
SILENCE = 1.0  # seconds without a byte, after which a call that is given up makes the gateway look who is there


class Keeper(Protocol):
    """Who holds a connection."""

    def room(self) -> None: ...  # there may be room for one more call
    def retired(self, link: "BackendLink") -> None: ...  # it takes no new call
    def lost(self, link: "BackendLink") -> None: ...  # it is closed


@dataclass(frozen=True, slots=True)
class Dialling:
    """How a backend is dialled and spoken to."""

    context: ssl.SSLContext | None  # None: plaintext
    server_name: str  # that the certificate must have
    prelude: Headers  # the pseudo-headers that every request has
    user_agent: Header
    keepalive: float | None  # seconds


class Nobody:
    """Has a stream whose call is elsewhere by now. A `Stream`."""

    def headers_received(self, headers: tuple[Header, ...], ended: bool) -> None: ...
    def data_received(self, data: bytes, ended: bool) -> None: ...
    def trailers_received(self, headers: tuple[Header, ...]) -> None: ...
    def full(self) -> None: ...
    def writable(self) -> None: ...
    def delivered(self) -> None: ...
    def closed(self, error: int, by_peer: bool) -> None: ...
    def lost(self, processed: bool) -> None: ...


NOBODY = Nobody()


class BackendLink(Link):
    """The client's end of one connection."""

    address: Address  # once it is dialled

    def __init__(self, dialling: Dialling, keeper: Keeper) -> None:
        super().__init__(server=False, window=CONNECTION_WINDOW, keepalive=dialling.keepalive)
        self.prelude = dialling.prelude
        self.user_agent = dialling.user_agent
        self.retired = False
        self.ready: asyncio.Future[None] = self._loop.create_future()
        self.closed: asyncio.Future[None] = self._loop.create_future()
        self.watch: HealthWatch | None = None  # where health is checked
        self.outlier: Outlier | None = None  # what its address is held for, where failures are counted
        self._keeper = keeper
        self._connected = False
        self._last_ping = -math.inf

    @property
    def serving(self) -> bool:
        """As far as the backend is asked."""
        return self.watch is None or bool(self.watch.serving)

    @property
    def calls(self) -> int:
        """Streams that are calls."""
        return sum(stream is not self.watch and stream is not NOBODY for stream in self.streams.values())

    @property
    def load(self) -> int:
        return len(self.streams)

    @property
    def has_room(self) -> bool:
        return len(self.streams) < self.max_streams and not self.retired

    def open(self, headers: Headers, stream: Stream) -> int:
        """The number of a new stream; 0: the connection takes no more, and is retired."""
        stream_id = self.request(headers, stream)
        if not stream_id or stream_id >= LAST_STREAM:
            self.retire()
        return stream_id

    def disown(self, stream_id: int) -> None:
        """What still comes on a stream is for nobody."""
        if stream_id in self.streams:
            self.streams[stream_id] = NOBODY

    def suspect(self) -> None:
        """A call was given up. If the backend has been silent for long, look whether it is there, sooner than the
        keepalive would, but no more often: backends hang up on that.
        """
        now = self._loop.time()
        if self._keepalive is None or self._pinged_at is not None or now - self.heard_at < SILENCE:
            return
        if now - self._last_ping >= self._keepalive:
            self._pinged_at = now
            self.ping()

    def ping(self) -> None:
        self._last_ping = self._loop.time()
        super().ping()

    def abandon(self) -> None:
        """Nobody wants it any more."""
        self.ready.cancel()
        if self._connected:
            self.transport.abort()

    def retire(self) -> None:
        """Take no new call, and close with the last one."""
        if not self.retired:
            self.retired = True
            if self.watch is not None:
                self.watch.stop()
            self._keeper.retired(self)
        if not self.streams:
            self._loop.call_soon(self.close)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._connected = True
        super().connection_made(transport)

    def settings_received(self) -> None:
        if not self.ready.done():
            self.ready.set_result(None)
        self._keeper.room()

    def leaving(self) -> None:
        self.retire()

    def goaway_received(self) -> None:
        self.retire()

    def stream_gone(self) -> None:
        if self.retired:
            if not self.streams:
                self._loop.call_soon(self.close)
        else:
            self._keeper.room()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ready.done():
            self.ready.set_exception(self._why_lost(exc))
        self.retire()
        self._keeper.lost(self)
        if not self.closed.done():
            self.closed.set_result(None)
        super().connection_lost(exc)

    def tick(self, now: float) -> None:
        super().tick(now)
        if self.stuck_for(now) >= STUCK_TIMEOUT:
            self.transport.abort()

    def worn_out(self) -> None:
        self.retire()

    def _why_lost(self, error: Exception | None) -> ConnectError:
        if error is not None:
            return connect_error(error)
        # With TLS 1.3 a backend refuses a client certificate after the handshake is done here.
        secure = self.transport.get_extra_info("sslcontext") is not None
        question = ": does it accept the gateway's certificate?" if secure else ": does it want TLS?"
        return ConnectError("the backend closed the connection at once" + question)


async def dial(address: Address, dialling: Dialling, keeper: Keeper) -> BackendLink:
    """Connect, and wait until the backend is ready. Raises ConnectError."""
    link = BackendLink(dialling, keeper)
    link.address = address
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            await _connect(address, dialling, link)
            await link.ready
    except TimeoutError:
        link.abandon()
        raise ConnectError(f"no answer within {CONNECT_TIMEOUT:g} s", LISTENING) from None
    except (OSError, ValueError) as error:  # ValueError: a name that cannot be one
        link.abandon()
        raise connect_error(error) from None
    except BaseException:  # cancelled, perhaps when it was ready already
        link.abandon()
        raise
    return link


async def _connect(address: Address, dialling: Dialling, link: BackendLink) -> None:
    loop = asyncio.get_running_loop()
    context = dialling.context
    name = None if context is None else dialling.server_name
    if address.path:
        await loop.create_unix_connection(lambda: link, address.path, ssl=context, server_hostname=name)
    else:
        await loop.create_connection(lambda: link, address.host, address.port, ssl=context, server_hostname=name)
    if context is not None and link.transport.get_extra_info("ssl_object").selected_alpn_protocol() != "h2":
        raise ConnectError("the backend does not speak HTTP/2 (ALPN h2)", "is it a gRPC backend?")
