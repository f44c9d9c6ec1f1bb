"""Everything that one case is played on: a backend with many doors, and before it a gateway and an Envoy.

Rule: both have the same gateway.yaml, ports included. They take turns, so what arrives at the backend is of the one
whose turn it is.
"""

import contextlib
import json
import re
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from gateway.app import Gateway
from gateway.envoy import render
from gateway.settings import Settings, parse
from tests.envoy.backend import Backend
from tests.envoy.configurations import CONFIGURATIONS, WIDENED, Document
from tests.envoy.corpus.scripts import SCRIPTS
from tests.support.certificates import Authority, authority, leaf, write_pair
from tests.support.envoy import running_envoy
from tests.support.tokens import KeyWorld

SERVER_NAME = "backend.test"
HURRY = re.compile(r"^( *)request_headers_timeout: ", re.MULTILINE)  # a key of each connection manager


@dataclass(frozen=True)
class Doors:
    """Ports of one proxy."""

    plain: int
    tls: int


@dataclass
class Stage:
    """`proxies` are by configuration, then by "gateway" or "envoy"."""

    keys: KeyWorld
    backend: Backend
    authority: Path  # that signs the listeners' certificate
    browser: ssl.SSLContext  # trusts it, and speaks HTTP/1.1
    proxies: dict[str, dict[str, Doors]]


@dataclass(frozen=True)
class Files:
    """Certificates and keys as the configuration names them."""

    folder: Path
    ca: Path
    keys: tuple[tuple[str, Path], ...]  # issuer, key set


@contextlib.asynccontextmanager
async def staged(folder: Path) -> AsyncIterator[Stage]:
    """`folder` holds certificates, keys and key sets while the stage stands."""
    keys = KeyWorld()
    own, foreign = authority("backend authority"), authority("foreign authority")
    files = _write(folder, keys, own)
    backend = Backend(SCRIPTS)
    async with contextlib.AsyncExitStack() as exits:
        targets = {name: await exits.enter_async_context(door) for name, door in _doors(backend, folder, own, foreign)}
        targets["dead"] = exits.enter_context(_dead())
        texts = {name: _text(change, files, targets) for name, change in CONFIGURATIONS.items()}
        settings = {name: parse(text, folder) for name, text in texts.items()}
        proxies: dict[str, dict[str, Doors]] = {name: {} for name in settings}
        for name, each in settings.items():  # first, for a process in which grpc runs does not like to fork
            envoy = await exits.enter_async_context(running_envoy(_rendered(name, each)))
            proxies[name]["envoy"] = Doors(*envoy.ports)
        for name, each in settings.items():
            proxies[name]["gateway"] = await exits.enter_async_context(_gateway(each))
        browser = ssl.create_default_context(cafile=str(files.ca))
        yield Stage(keys, backend, files.ca, browser, proxies)


def _rendered(name: str, settings: Settings) -> str:
    """As rendered, save that Envoy does not wait a second before it closes a connection, and what `WIDENED` says."""
    text, found = HURRY.subn(r"\1delayed_close_timeout: 0.05s\n\g<0>", render(settings).text)
    assert found
    if name in WIDENED:
        before, after = WIDENED[name]
        assert before in text
        text = text.replace(before, after)
    return text


@contextlib.asynccontextmanager
async def _gateway(settings: Settings) -> AsyncIterator[Doors]:
    gateway = Gateway(settings)
    try:
        await gateway.start()
        yield Doors(*(int(url.rpartition(":")[2]) for url in gateway.urls))
    finally:
        await gateway.stop()


def _write(folder: Path, keys: KeyWorld, own: Authority) -> Files:
    (folder / "ca.pem").write_bytes(own.pem)
    write_pair(folder, *leaf(own, "gateway.test"), stem="client")
    write_pair(folder, *leaf(own, "localhost"), stem="server")
    documents = ((keys.issuer, keys.jwks()), (keys.other_issuer, keys.other_jwks()))
    for number, (_, document) in enumerate(documents):
        (folder / f"keys-{number}.json").write_bytes(document)
    issuers = tuple((issuer, folder / f"keys-{number}.json") for number, (issuer, _) in enumerate(documents))
    return Files(folder, folder / "ca.pem", issuers)


Door = contextlib.AbstractAsyncContextManager[int]


def _doors(backend: Backend, folder: Path, own: Authority, foreign: Authority) -> list[tuple[str, Door]]:
    """Each listener of the backend, by the upstream that leads to it."""

    def context(name: str, signer: Authority, *, trusted: Authority = own, days: int = 1) -> ssl.SSLContext:
        end = timedelta(days=days)
        pair = write_pair(
            folder, *leaf(signer, name, start=end - timedelta(days=2), end=end), stem=f"backend-{len(made)}"
        )
        made.append(ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=trusted.pem.decode()))
        made[-1].load_cert_chain(*pair)
        made[-1].verify_mode = ssl.CERT_REQUIRED
        made[-1].set_alpn_protocols(["h2"])
        return made[-1]

    made: list[ssl.SSLContext] = []
    return [
        ("script", backend.door(context(SERVER_NAME, own))),
        ("misnamed", backend.door(context("other.test", own))),
        ("untrusted", backend.door(context(SERVER_NAME, foreign))),
        ("expired", backend.door(context(SERVER_NAME, own, days=-1))),
        ("unwelcoming", backend.door(context(SERVER_NAME, own, trusted=foreign))),
        ("cleartext", backend.door(None)),
    ]


@contextlib.contextmanager
def _dead() -> Iterator[int]:
    """A port on which nobody listens, and nobody else can."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def _text(change: Callable[[Document], None], files: Files, targets: Mapping[str, int]) -> str:
    document = _document(files, targets)
    change(document)
    return json.dumps(document)


def _document(files: Files, targets: Mapping[str, int]) -> Document:
    """gateway.yaml as all configurations have it."""
    folder = files.folder
    tls = {
        "ca": str(files.ca),
        "certificate": str(folder / "client.pem"),
        "private_key": str(folder / "client.key"),
        "server_name": SERVER_NAME,
    }
    services = {
        "script": ["test.v1.Script", "test.v1.Wild", "test.v1.Unruled", "grpc.health.v1.Health"],
        **{name: [f"test.v1.{name.capitalize()}"] for name in targets if name != "script"},
    }
    return {
        "listeners": [
            {"bind": "127.0.0.1:0"},
            {
                "bind": "127.0.0.1:0",
                "tls": {"certificate": str(folder / "server.pem"), "private_key": str(folder / "server.key")},
            },
        ],
        "admin": {"bind": "127.0.0.1:0"},
        "auth": {
            "issuers": [
                {"issuer": issuer, "audiences": ["grpc-api"], "jwks": str(document)} for issuer, document in files.keys
            ]
        },
        "upstreams": {
            name: {"services": services[name], "targets": [f"127.0.0.1:{port}"], "tls": tls}
            for name, port in targets.items()
        },
        "observability": {"log": {"access": False}},
    }
