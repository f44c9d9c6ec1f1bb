"""A gateway whose second upstream does over HTTP/2 what a test tells it, allowed or not."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from gateway.protocol.metadata import Headers
from gateway.protocol.status import Status
from gateway.upstream import pool
from gateway.upstream.h2 import H2Upstream
from tests.support import http2, wire
from tests.support.frames import take_apart
from tests.support.frames_http2 import PREFACE, SETTINGS_ACK, block, data, headers, settings
from tests.support.gateway import RunningGateway, running
from tests.support.hostile import CANARY, ECHO
from tests.support.raw_http2 import Frame, Peer, reading

DO = "/evil.v1.Evil/Do"
HEAD: Headers = [(b":status", b"200"), (b"content-type", b"application/grpc")]
OK: Headers = [(b"grpc-status", b"0")]
Behaviour = Callable[[Peer], Awaitable[None]]  # on one connection
GREETING_OF_SERVER = settings() + SETTINGS_ACK


def head(stream: int) -> bytes:
    return headers(stream, block(HEAD))


def trailers(stream: int) -> bytes:
    return headers(stream, block(OK), end=True)


def reply(stream: int) -> bytes:
    """A good one."""
    return head(stream) + data(stream, ECHO) + trailers(stream)


async def well(peer: Peer) -> None:
    """Answer every request."""
    while True:
        await peer.send(reply(await peer.request()))


@dataclass
class HostileBackend:
    """A plaintext backend: each connection is given to `behave`, and closed when that returns."""

    behave: Behaviour
    greeting: bytes = GREETING_OF_SERVER
    port: int = 0
    peers: list[Peer] = field(default_factory=list)  # one for each connection since the last `turn`
    _serving: list[asyncio.Task[None]] = field(default_factory=list)

    def section(self, *services: str) -> dict[str, Any]:
        """For `upstreams`."""
        return {
            "services": list(services),
            "targets": [f"127.0.0.1:{self.port}"],
            "plaintext": True,
            "allow_insecure_tokens": True,
            "transport": "h2",
        }

    def heard(self, kind: int) -> list[Frame]:
        """Frames of a kind that have come since the last `turn`."""
        return [each for peer in self.peers for each in peer.frames if each.kind == kind]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._serving.append(cast("asyncio.Task[None]", asyncio.current_task()))
        line = wire.Wire(reader, writer)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                assert await reader.readexactly(len(PREFACE)) == PREFACE
                async with reading(line) as peer:
                    self.peers.append(peer)
                    await peer.send(self.greeting)
                    await self.behave(peer)
        finally:
            await line.close()

    async def turn(self, behave: Behaviour, greeting: bytes = GREETING_OF_SERVER) -> None:
        """Behave like this from now on; connections that stand are closed."""
        self.behave, self.greeting = behave, greeting
        await self.close()
        self.peers.clear()

    async def close(self) -> None:
        serving, self._serving = self._serving, []
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)


@contextlib.asynccontextmanager
async def hostile_backend(behave: Behaviour) -> AsyncIterator[HostileBackend]:
    backend = HostileBackend(behave)
    server = await asyncio.start_server(backend.serve, "127.0.0.1", 0)
    backend.port = server.sockets[0].getsockname()[1]
    try:
        yield backend
    finally:
        server.close()
        await backend.close()


@contextlib.asynccontextmanager
async def gateway_before(backend: HostileBackend) -> AsyncIterator[RunningGateway]:
    """Connects again at once."""

    def change(configuration: dict[str, Any]) -> None:
        configuration["upstreams"]["evil"] = backend.section("evil.v1.Evil")
        configuration["authorization"]["default"] = "authenticated"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pool, "BACKOFF", 0.01)
        patch.setattr(pool, "BACKOFF_MOST", 0.02)
        async with running(change) as gateway:
            yield gateway


def pool_of(gateway: RunningGateway) -> pool.Pool:
    upstream = gateway.gateway.upstream("evil")
    assert isinstance(upstream, H2Upstream)
    return upstream.pool


async def open_call(
    client: http2.Client, gateway: RunningGateway, body: bytes = ECHO, *, end: bool = True, **fields: str
) -> http2.Stream:
    request = http2.head(DO, *gateway.headers(**fields).items())
    return await client.request(request, body, end=end)


async def status_of(stream: http2.Stream) -> Status:
    await stream.response()
    assert stream.status == 200
    return take_apart(stream.data)[1]


async def ask(gateway: RunningGateway, body: bytes = ECHO, **fields: str) -> tuple[list[bytes], int]:
    """Messages and code of one call, on a connection of its own."""
    async with http2.connect(gateway.port, update_windows=True) as client:
        stream = await open_call(client, gateway, body, end=True, **fields)
        status = await status_of(stream)
        assert CANARY.decode() not in status.message
        return take_apart(stream.data)[0], status.code
