"""One connection to a backend, and who keeps it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from gateway.protocol.metadata import Header
from gateway.upstream.backend_link import BackendLink, Dialling, dial
from gateway.upstream.credentials import client_context, load_credentials
from gateway.upstream.resolver import Address
from tests.support.backend_http2 import Backend, Papers
from tests.support.wire import PATIENCE
from tests.unit.upstream.caller import settings

AGENT: Header = (b"user-agent", b"test/1")


class Keeper:
    """Notes what a connection says."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def room(self) -> None:
        self.said.append("room")

    def retired(self, link: BackendLink) -> None:
        self.said.append("retired")

    def lost(self, link: BackendLink) -> None:
        self.said.append("lost")


class Stream:
    """A stream that says how it went."""

    def __init__(self) -> None:
        self.gone: list[str] = []

    def headers_received(self, headers: tuple[Header, ...], ended: bool) -> None: ...
    def data_received(self, data: bytes, ended: bool) -> None: ...
    def trailers_received(self, headers: tuple[Header, ...]) -> None: ...
    def full(self) -> None: ...
    def writable(self) -> None: ...
    def delivered(self) -> None: ...

    def closed(self, error: int, by_peer: bool) -> None:
        self.gone.append(f"closed {error}")

    def lost(self, processed: bool) -> None:
        self.gone.append("lost")


def plain(keepalive: float | None = None) -> Dialling:
    return Dialling(None, "", [(b":method", b"POST"), (b":scheme", b"http"), (b":authority", b"a")], AGENT, keepalive)


def secured(files: Papers, **changes: object) -> Dialling:
    section = settings("a.test:1", tls=files.tls(**changes))
    found = load_credentials(section)
    assert found is not None
    assert section.tls is not None
    name = section.tls.server_name or ""
    return Dialling(client_context(found, section.tls), name, [], AGENT, None)


@contextlib.asynccontextmanager
async def connected(there: Backend, dialling: Dialling, keeper: Keeper | None = None) -> AsyncIterator[BackendLink]:
    link = await dial(Address(there.host, there.port), dialling, keeper or Keeper())
    try:
        yield link
    finally:
        link.close()
        async with asyncio.timeout(PATIENCE):
            await link.closed


def open_stream(link: BackendLink) -> tuple[int, Stream]:
    stream = Stream()
    return link.open([*link.prelude, (b":path", b"/a.B/C")], stream), stream


async def news(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.005)
