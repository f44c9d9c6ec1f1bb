"""All that a demonstration has around the gateway: certificates, backend, issuer, and the gateway.yaml that joins them.

Rule: the gateway itself is started by whoever enters this world, from `config_path` like any other, so that what is
shown is what `serve` does. On leaving, all of it is gone, the directory included.
"""

import json
import socket
from contextlib import AsyncExitStack
from pathlib import Path
from string import Template
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self

from gateway.demo.backend import Backend
from gateway.demo.interceptors import JwtVerifier
from gateway.demo.issuer import LOOPBACK, Issuer
from gateway.demo.oauth import CLI_CLIENT, CLI_SECRET, ROLES, WEB_CLIENT
from gateway.demo.pki import Pki

HERE = Path(__file__).parent
DESCRIPTORS = HERE / "pb" / "demo.binpb"
TEMPLATE = HERE / "gateway.template.yaml"


class DemoWorld:
    """`async with DemoWorld() as world:` then start a gateway with `world.config_path`.

    A port of 0 takes a free one. Entering takes about 30 ms and raises OSError, naming the port, when the issuer's is
    taken; the gateway's ports are for the gateway to take.
    """

    pki: Pki
    issuer: Issuer
    backend: Backend
    config_path: Path

    def __init__(
        self, *, http_port: int = 8080, https_port: int = 8443, issuer_port: int = 8081, admin_port: int = 9901
    ) -> None:
        # Origins name the gateway's ports before it runs, so a free one has to be found here.
        self.http_port = http_port or _free_port()
        self.https_port = https_port or _free_port()
        self.admin_port = admin_port
        self._issuer_port = issuer_port
        self._exit = AsyncExitStack()

    @property
    def origins(self) -> tuple[str, ...]:
        """Where the page is served, and so the origins that may call the gateway and come back from the issuer."""
        http = [_origin("http", host, self.http_port) for host in (LOOPBACK, "localhost")]
        https = [_origin("https", host, self.https_port) for host in ("localhost", LOOPBACK)]
        return (*http, *https)

    @property
    def gateways(self) -> list[dict[str, str]]:
        """Where the page may call, as JSON values: the origin, and its name there."""
        return [
            {"name": "gateway", "url": _origin("http", LOOPBACK, self.http_port)},
            {"name": "gateway over TLS", "url": _origin("https", "localhost", self.https_port)},
        ]

    @property
    def page_config(self) -> dict[str, object]:
        """What the page has to know, as JSON values."""
        return {
            "issuer": self.issuer.url,
            "client_id": WEB_CLIENT,
            "audience": self.issuer.audience,
            "scope": ROLES["admin"].scope,
            "gateways": self.gateways,
        }

    @property
    def token_command(self) -> str:
        """A line for a POSIX shell that puts an access token, got by client credentials, into TOKEN."""
        return (
            f"TOKEN=$(curl -sS -u {CLI_CLIENT}:{CLI_SECRET} -d grant_type=client_credentials "
            f"-d scope={ROLES['reader'].scope} {self.issuer.url}/token "
            """| sed 's/.*"access_token": *"\\([^"]*\\)".*/\\1/')"""
        )

    @property
    def curl_command(self) -> str:
        """A line for a POSIX shell that calls Echo through the gateway with TOKEN and shows the reply: binary gRPC-Web.

        The frame is a flag of 0, the length 7, and a message whose field 1 is the text "hello".
        """
        url = _origin("http", LOOPBACK, self.http_port)
        return (
            r"printf '\0\0\0\0\7\n\5hello' | curl -sS --data-binary @- -H 'content-type: application/grpc-web+proto' "
            rf'-H "authorization: Bearer $TOKEN" {url}/demo.v1.Demo/Echo --output - | cat -v'
        )

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as exits:
            directory = Path(exits.enter_context(TemporaryDirectory(prefix="grpcweb-gateway-demo-")))  # mode 0700
            self.pki = Pki(directory)
            self.issuer = Issuer(self.origins)
            await self.issuer.start(self._issuer_port)
            exits.push_async_callback(self.issuer.stop)
            verify = JwtVerifier(self.issuer.public_jwks, issuer=self.issuer.url, audience=self.issuer.audience)
            self.backend = Backend(self.pki, verify=verify)
            await self.backend.start()
            exits.push_async_callback(self.backend.stop)
            self.config_path = directory / "gateway.yaml"
            self.config_path.write_text(self._config(), "utf-8")
            self._exit = exits.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._exit.aclose()

    def _config(self) -> str:
        return Template(TEMPLATE.read_text("utf-8")).substitute(
            http_port=self.http_port,
            https_port=self.https_port,
            admin_port=self.admin_port,
            origins=json.dumps(self.origins),
            issuer=self.issuer.url,
            audience=self.issuer.audience,
            descriptors=json.dumps(str(DESCRIPTORS)),
            backend_port=self.backend.port,
        )


def _origin(scheme: str, host: str, port: int) -> str:
    """As a browser writes it: without the port that the scheme implies (RFC 6454, section 6.2)."""
    return f"{scheme}://{host}" if port == {"http": 80, "https": 443}[scheme] else f"{scheme}://{host}:{port}"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port
