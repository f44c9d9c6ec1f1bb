"""A real gateway between a real mTLS backend and a test, in the test's own event loop."""

import asyncio
import contextlib
import copy
import json
import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from gateway.app import Gateway
from gateway.demo.pb import demo_pb2
from gateway.demo.pki import Pki
from gateway.demo.world import DemoWorld
from gateway.policy.gate import Gate
from gateway.protocol.metadata import Headers
from gateway.protocol.status import Status
from gateway.request import Pages
from gateway.settings import parse
from gateway.upstream.base import Upstream
from tests.support.backends import ScriptedBackend
from tests.support.frames import message, take_apart
from tests.support.wire import Answer, Pairs, connect

ORIGIN = "http://page.test"
BINARY = "application/grpc-web+proto"
TEXT = "application/grpc-web-text+proto"
DEMO = "/demo.v1.Demo/"

Change = Callable[[dict[str, Any]], None]


@dataclass
class Reply:
    """A gRPC-Web answer, taken apart."""

    http: int
    headers: Mapping[str, str]
    messages: list[bytes]
    status: Status | None
    trailers: Headers

    @property
    def code(self) -> int:
        assert self.status is not None, f"no trailer frame: HTTP {self.http}"
        return self.status.code


class RunningGateway:
    """A started gateway, and how a test speaks to it."""

    def __init__(
        self, gateway: Gateway, world: DemoWorld, session: aiohttp.ClientSession, configuration: dict[str, Any]
    ) -> None:
        self.gateway = gateway
        self.world = world
        self.session = session
        self.configuration = configuration
        self.url = gateway.urls[0]
        self.port = int(self.url.rpartition(":")[2])

    @property
    def tls_port(self) -> int:
        return int(self.gateway.urls[1].rpartition(":")[2])

    async def reconfigure(self, change: Change) -> bool:
        """Reload the configuration with `change`; False: the gateway has refused it."""
        configuration = copy.deepcopy(self.configuration)
        change(configuration)
        taken = await self.gateway.reload(lambda: parse(json.dumps(configuration), self.world.config_path.parent))
        if taken:
            self.configuration = configuration
        return taken

    async def metrics(self) -> dict[str, float]:
        """What /metrics says, by series."""
        async with self.session.get(f"{self.gateway.admin_url}/metrics") as response:
            lines = (await response.text()).splitlines()
        series = (line.rpartition(" ") for line in lines if not line.startswith("#"))
        return {name: float(value) for name, _, value in series}

    @property
    def backend_calls(self) -> int:
        """Calls that reached a handler or an interceptor of the backend, health excepted."""
        return sum(self.world.backend.calls.values())

    @property
    def gate(self) -> Gate:
        """The one in use."""
        gate = self.gateway.succession.current.gate
        assert isinstance(gate, Gate)
        return gate

    @property
    def upstreams(self) -> dict[str, Upstream]:
        """Those in use, by name."""
        return {name: kept.upstream for name, kept in self.gateway.succession.current.upstreams.items()}

    @property
    def open_calls(self) -> int:
        """Calls that the gate counts or the front still serves."""
        return max(self.gateway.open_calls, len(self.gateway._census.calls))

    def token(self, role: str = "reader", **claims: Any) -> str:
        return self.world.issuer.mint(role, **claims)

    def headers(self, role: str | None = "reader", **more: str) -> dict[str, str]:
        headers = {"content-type": BINARY, "origin": ORIGIN}
        if role is not None:
            headers["authorization"] = f"Bearer {self.token(role)}"
        return headers | {name.replace("_", "-"): value for name, value in more.items()}

    def fields(self, *more: tuple[str, str], role: str | None = "reader", **changes: str) -> Pairs:
        """The same as pairs, for repeats: `changes` replace one by name, `more` are added."""
        return [*self.headers(role, **changes).items(), *more]

    def door(
        self, tls: bool, *protocols: str, pair: tuple[Path, Path] | None = None
    ) -> tuple[int, ssl.SSLContext | None]:
        """The port of a listener, and what it takes to get in: `protocols` by ALPN, `pair` as the client's own."""
        if not tls:
            return self.port, None
        context = ssl.create_default_context(cafile=str(self.world.pki.ca))
        if protocols:
            context.set_alpn_protocols(list(protocols))
        if pair is not None:
            context.load_cert_chain(*pair)
        return self.tls_port, context

    async def post(
        self, path: str, body: Any = b"", headers: Mapping[str, str] | Sequence[tuple[str, str]] | None = None
    ) -> Reply:
        """One POST with a binary reply, read to its end."""
        sent = self.headers() if headers is None else headers
        async with self.session.post(self.url + path, data=body, headers=sent) as response:
            raw = await response.read()
            if not response.content_type.startswith("application/grpc-web"):
                return Reply(response.status, response.headers, [raw], None, [])
            messages, status, metadata = take_apart(raw)
            return Reply(response.status, response.headers, messages, status, metadata)

    async def ask(self, request: bytes) -> Answer:
        """One request as it stands, on a connection of its own."""
        async with connect(self.port) as wire:
            return await wire.ask(request)

    async def echo(self, text: str = "hello", **options: Any) -> Reply:
        return await self.post(DEMO + "Echo", message(demo_pb2.EchoRequest(text=text)), **options)


@contextlib.asynccontextmanager
async def running(
    change: Change | None = None,
    *,
    pki_change: Callable[[dict[str, Any], Pki], None] | None = None,
    pages: Pages | None = None,
    admit: tuple[str, ...] | None = None,
) -> AsyncIterator[RunningGateway]:
    """The demo's world with a gateway on free ports; `change` edits the configuration, a plain dictionary, before.

    `pki_change` does so with the certificates at hand. `admit`: client certificates that the backend admits, in place
    of the demo's one.
    """
    async with DemoWorld(http_port=0, https_port=0, issuer_port=0, admin_port=0) as world:
        if admit is not None:
            world.backend.admit(*admit)
        configuration = yaml.safe_load(world.config_path.read_text())
        for listener in configuration["listeners"]:
            listener["bind"] = "127.0.0.1:0"  # the ports that the world found free may be taken by now
        configuration["cors"]["allow_origins"].append(ORIGIN)
        configuration["observability"]["log"]["access"] = False
        if change is not None:
            change(configuration)
        if pki_change is not None:
            pki_change(configuration, world.pki)
        gateway = Gateway(parse(json.dumps(configuration), world.config_path.parent), pages=pages)
        async with aiohttp.ClientSession(auto_decompress=False) as session:
            try:
                await gateway.start()
                yield RunningGateway(gateway, world, session, configuration)
            finally:
                await gateway.stop()


def arrived(gateway: RunningGateway, *scripted: ScriptedBackend) -> int:
    """Calls that have reached a backend so far."""
    return gateway.backend_calls + sum(each.calls.total() for each in scripted)


@contextlib.asynccontextmanager
async def untouched(gateway: RunningGateway, *scripted: ScriptedBackend) -> AsyncIterator[None]:
    """No call reaches a backend inside."""
    before = arrived(gateway, *scripted)
    yield
    assert arrived(gateway, *scripted) == before


async def eventually(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait for something that other tasks bring about; fails loudly when they do not."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


async def at_rest(amount: Callable[[], int], pause: float = 0.25, seconds: float = 10.0) -> int:
    """The amount, once it does not grow in `pause` seconds."""
    async with asyncio.timeout(seconds):
        before = -1
        while (now := amount()) != before:
            before = now
            await asyncio.sleep(pause)
    return before
