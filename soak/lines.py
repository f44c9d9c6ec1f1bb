"""The connections that calls share: some to each door, replaced after so many calls or when they have been idle.

Rule: who wants to leave with the connection gets one alone.
"""

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from soak.http1 import Http1Line
from soak.http2 import Http2Line
from soak.wire import Line

HTTP1, HTTP2 = "HTTP/1.1", "HTTP/2"
MOST_CALLS = 50  # on one connection
MOST_IDLE = 5.0  # seconds


@dataclass(frozen=True, slots=True)
class Door:
    """A way in."""

    protocol: str
    tls: bool

    @property
    def name(self) -> str:
        return f"{self.protocol}{' over TLS' if self.tls else ''}"


DOORS = tuple(Door(protocol, tls) for protocol in (HTTP1, HTTP2) for tls in (False, True))


class Lines:
    """To the listeners of one gateway: plaintext first, then TLS."""

    def __init__(self, urls: Sequence[str], ca: Path) -> None:
        self._ports = [urlsplit(url).port for url in urls]
        self._ca = ca
        self._kept: dict[Door, list[tuple[Line, float]]] = {door: [] for door in DOORS}  # and when it was last used

    async def take(self, door: Door, *, alone: bool = False) -> Line:
        """Raises OSError, TimeoutError."""
        if alone:
            return await self._connect(door)
        now = asyncio.get_running_loop().time()
        self._tidy(door, now)
        kept = self._kept[door]
        for index, (line, _) in enumerate(kept):
            if line.free and line.calls < MOST_CALLS:
                kept[index] = (line, now)
                return line
        line = await self._connect(door)
        self._kept[door].append((line, now))
        return line

    def close(self) -> None:
        for kept in self._kept.values():
            for line, _ in kept:
                line.close()
            kept.clear()

    def _tidy(self, door: Door, now: float) -> None:
        stay = []
        for line, used in self._kept[door]:
            done = not line.free or line.calls >= MOST_CALLS or now - used > MOST_IDLE
            if done and line.idle:
                line.close()
            else:
                stay.append((line, used))
        self._kept[door] = stay

    async def _connect(self, door: Door) -> Line:
        make = Http1Line if door.protocol == HTTP1 else Http2Line
        context = None
        if door.tls:
            context = ssl.create_default_context(cafile=self._ca)
            context.set_alpn_protocols(["http/1.1" if door.protocol == HTTP1 else "h2"])
        _, line = await asyncio.get_running_loop().create_connection(
            make, "127.0.0.1", self._ports[door.tls], ssl=context, server_hostname="localhost" if context else None
        )
        return line
