"""Which front a connection belongs to: over TLS, ALPN has settled it (RFC 7301); else its first bytes do.

Rule: HTTP/2 in plaintext begins with a preface that is no request of HTTP/1 (RFC 9113, section 3.4). Bytes that were
read to find out go to the front that they are for.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol, cast

from gateway.front.census import DRAIN_NOTICE, Census
from gateway.front.listener import Which

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
FIRST_BYTES_TIMEOUT = 75.0  # seconds; as long as the HTTP/1.1 front waits for a request

Factory = Callable[[], asyncio.BaseProtocol]


class _Drains(Protocol):
    """A connection of either front."""

    def drain(self) -> None: ...  # it takes what comes soon, and then no more


class Switchboard:
    """Makes the first protocol of every connection of a listener."""

    def __init__(self, http1: Factory, http2: Factory, census: Census) -> None:
        self.http1 = http1
        self.http2 = http2
        self.census = census
        self.waiting: set[Switch] = set()

    def __call__(self) -> "Switch":
        return Switch(self)

    def drain(self) -> None:
        """Whoever has something to say says it soon."""
        asyncio.get_running_loop().call_later(DRAIN_NOTICE, self.close)

    def dismiss(self, which: Which) -> None:
        """As `drain`, these connections."""
        for switch in tuple(self.waiting):
            if which(switch.transport):
                switch.dismiss()

    def close(self) -> None:
        """Drop connections that have not said anything yet."""
        for switch in tuple(self.waiting):
            switch.drop()


class Switch(asyncio.Protocol):
    """The protocol of a connection until it is known which front it belongs to."""

    def __init__(self, board: Switchboard) -> None:
        self._board = board
        self._seen = b""
        self._dismissed = False
        self.transport: asyncio.Transport
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        tls = transport.get_extra_info("ssl_object")
        if tls is not None:
            self._hand_over(self._board.http2 if tls.selected_alpn_protocol() == "h2" else self._board.http1)
            return
        self._drop_after(FIRST_BYTES_TIMEOUT)
        self._board.waiting.add(self)
        if not self._board.census.connected():
            self.drop()

    def data_received(self, data: bytes) -> None:
        self._seen += data
        if self._seen.startswith(PREFACE):
            self._leave()
            self._hand_over(self._board.http2)
        elif not PREFACE.startswith(self._seen):
            self._leave()
            self._hand_over(self._board.http1)

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()

    def dismiss(self) -> None:
        """What it says soon, its front answers as the last; else it is dropped."""
        if not self._dismissed:
            self._dismissed = True
            self._drop_after(DRAIN_NOTICE)

    def _drop_after(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, self.drop)

    def drop(self) -> None:
        self.transport.abort()

    def _hand_over(self, front: Factory) -> None:
        protocol = cast(asyncio.Protocol, front())
        self.transport.set_protocol(protocol)
        protocol.connection_made(self.transport)
        if self._dismissed:
            cast(_Drains, protocol).drain()
        if self._seen:
            protocol.data_received(self._seen)

    def _leave(self) -> None:
        """Whoever has the connection now counts it."""
        if self._timer is not None:
            self._timer.cancel()
        if self in self._board.waiting:
            self._board.waiting.discard(self)
            self._board.census.disconnected()
