"""A gateway.yaml, rendered, and a real Envoy that serves it; and how a test calls through that."""

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp
import yaml

from gateway.demo.pb import demo_pb2
from gateway.demo.pki import Pair, Pki
from gateway.demo.world import DemoWorld
from gateway.envoy import Files, Rendering, render
from gateway.envoy.discovery import discovered
from gateway.envoy.process import RunningEnvoy, running
from gateway.settings import parse
from tests.envoy.backend import Backend
from tests.envoy.script import FOR_EVER, Data, Script, alone, head, message, trailers
from tests.support.envoy import require_envoy
from tests.support.frames import message as framed
from tests.support.wire import Answer, connect, request

Document = dict[str, Any]
Change = Callable[[Document, DemoWorld], None]

ORIGIN = "http://page.test"
SECTION = {"services": ["test.v1.Script"], "plaintext": True, "allow_insecure_tokens": True}
SCRIPTS: Mapping[str, Script] = {
    "Ping": (head(), Data(message(b"pong")), trailers(0)),
    "Fail": (head(), trailers(9, ("grpc-message", "no"))),
    "Refuse": (alone(("grpc-status", "5"), ("grpc-message", "none such")),),
    "Hang": (head(), FOR_EVER),
    "Silent": (FOR_EVER,),
    "Unavailable": (alone(("grpc-status", "14")),),
}
SECRETS = "envoy-secrets"
PATIENCE = 8.0  # seconds for what Envoy does by and by


def path(method: str) -> str:
    return f"/test.v1.Script/{method}"


@dataclass
class Proxied:
    """`said` is what Envoy wrote, its access log included; `log` the access log. Both are there when it has ended."""

    envoy: RunningEnvoy
    session: aiohttp.ClientSession
    said: list[str] = field(default_factory=list)

    @property
    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.said if line.startswith("{")]

    async def call(
        self,
        path: str,
        body: bytes = b"",
        *headers: tuple[str, str],
        listener: int = 0,
        context: ssl.SSLContext | None = None,
    ) -> Answer:
        """One POST on a connection of its own."""
        sent = [("content-type", "application/grpc-web+proto"), ("origin", ORIGIN), *headers]
        async with connect(self.envoy.ports[listener], context=context) as wire:
            return await wire.ask(request(path, sent, body))

    async def admin(self, page: str, method: str = "GET") -> tuple[int, str]:
        async with self.session.request(method, self.envoy.admin + page) as response:
            return response.status, await response.text()

    async def stat(self, name: str) -> int:
        """A counter or gauge; 0 while there is none."""
        _, text = await self.admin(f"/stats?format=json&filter=^{name.replace('.', '%5C.')}$")
        return sum(int(each.get("value", 0)) for each in json.loads(text)["stats"] if each)

    async def until(self, name: str, least: int) -> None:
        """Wait for a counter or gauge."""
        async with asyncio.timeout(PATIENCE):
            while await self.stat(name) < least:
                await asyncio.sleep(0.02)


def status(answer: Answer) -> int:
    """The gRPC status, in a trailer frame or in the headers (Trailers-Only)."""
    alone = answer.value("grpc-status")
    return answer.code if alone is None else int(alone)


@contextlib.asynccontextmanager
async def proxied(document: Document, folder: Path, *, watched: bool = False) -> AsyncIterator[Proxied]:
    """`folder` is where the files of `document` are; `watched`: renewed ones take effect."""
    settings = parse(json.dumps(document), folder)
    files = Files(folder)
    if watched:
        files = files.watching(folder / SECRETS)
    rendering = render(settings, files, await discovered(settings))
    require_envoy()
    with TemporaryDirectory(dir=folder) as own:
        configuration, log = _write(rendering, folder, Path(own))
        async with aiohttp.ClientSession() as session, running(configuration, log) as envoy:
            made = Proxied(envoy, session)
            yield made
        made.said = _lines(log)  # it writes the last of it as it ends


def _write(rendering: Rendering, folder: Path, own: Path) -> tuple[Path, Path]:
    """The configuration, and where the log shall be."""
    (folder / SECRETS).mkdir(exist_ok=True)
    for name, text in rendering.secrets.items():
        (folder / SECRETS / name).write_text(text)
    configuration = own / "envoy.yaml"
    configuration.write_text(rendering.text)
    return configuration, own / "envoy.log"


def _lines(log: Path) -> list[str]:
    return log.read_text(errors="replace").splitlines()


def document(**sections: Any) -> Document:
    """Public methods of `test.v1.Script`, and one closed one; upstreams are missing."""
    public = [path(name) for name in SCRIPTS]
    return {
        "listeners": [{"bind": "127.0.0.1:0"}],
        "admin": {"bind": "127.0.0.1:0"},
        "cors": {"allow_origins": [ORIGIN]},
        "auth": {"public_methods": public},
        **sections,
    }


def plaintext(*ports: int, **more: Any) -> Document:
    """The section `upstreams` with one upstream, `script`."""
    return {"script": {**SECTION, "targets": [f"127.0.0.1:{port}" for port in ports], **more}}


def server_context(pair: Pair, clients: Pki | None = None) -> ssl.SSLContext:
    """Of a backend; `clients`: who signs the certificates that it asks for."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.certificate, pair.private_key)
    context.set_alpn_protocols(["h2"])
    if clients is not None:
        context.load_verify_locations(clients.ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(pki: Pki, pair: Pair | None = None) -> ssl.SSLContext:
    """Of a browser."""
    context = ssl.create_default_context(cafile=str(pki.ca))
    if pair is not None:
        context.load_cert_chain(pair.certificate, pair.private_key)
    return context


@contextlib.asynccontextmanager
async def scripted(*contexts: ssl.SSLContext | None) -> AsyncIterator[tuple[Backend, list[int]]]:
    """A backend with a door for each context, and their ports."""
    backend = Backend(SCRIPTS)
    async with contextlib.AsyncExitStack() as exits:
        yield backend, [await exits.enter_async_context(backend.door(context)) for context in contexts]


@contextlib.asynccontextmanager
async def demo(
    change: Change | None = None, *, watched: bool = False, admit: tuple[str, ...] | None = None
) -> AsyncIterator[tuple[DemoWorld, Proxied]]:
    """The demonstration with Envoy in the gateway's place; `change` edits its configuration before."""
    async with DemoWorld(http_port=0, https_port=0, issuer_port=0, admin_port=0) as world:
        if admit is not None:
            world.backend.admit(*admit)
        edited = yaml.safe_load(world.config_path.read_text())
        for listener in edited["listeners"]:
            listener["bind"] = "127.0.0.1:0"
        edited["cors"]["allow_origins"].append(ORIGIN)
        if change is not None:
            change(edited, world)
        async with proxied(edited, world.config_path.parent, watched=watched) as made:
            yield world, made


def bearer(world: DemoWorld, role: str = "reader") -> tuple[str, str]:
    return "authorization", f"Bearer {world.issuer.mint(role)}"


async def who_am_i(world: DemoWorld, made: Proxied, **options: Any) -> str:
    """The identity of the client certificate that the backend has seen. Fails when the call does."""
    answer = await made.call("/demo.v1.Demo/WhoAmI", framed(b""), bearer(world), **options)
    messages, ended, _ = answer.grpc()
    assert ended.code == 0, ended
    return demo_pb2.WhoAmIReply.FromString(messages[0]).gateway
