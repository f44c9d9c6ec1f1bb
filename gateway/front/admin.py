"""The operator's pages, by aiohttp on an address of their own.

Rules
- Nothing here is for the public, and still nothing here is a secret: /config is redacted.
- Pages on this machine are not for the web pages in its browser, whose names may lead here ("DNS rebinding").
"""

import ipaddress
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit

from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from gateway.front.fields import SERVER_NAME
from gateway.front.listener import naming
from gateway.settings import Address


class Operated(Protocol):
    """Whose pages they are."""

    async def readiness(self) -> "Readiness": ...
    async def metrics(self) -> bytes: ...  # in the text format of Prometheus
    async def configuration(self) -> Mapping[str, Any]: ...  # that is in use, redacted


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether calls should be sent here."""

    ready: bool
    missing: Mapping[str, str]  # what is not as it should be, by name; some of it can be done without


STARTING = Readiness(ready=False, missing={"gateway": "starting"})
SHUTTING_DOWN = Readiness(ready=False, missing={"gateway": "shutting down"})


class AdminPages:
    """A site with the pages of one gateway."""

    def __init__(self, gateway: Operated) -> None:
        self._runner = web.AppRunner(_application(gateway), access_log=None, handle_signals=False, shutdown_timeout=0.5)

    async def listen(self, address: Address) -> None:
        """Raises StartError."""
        await self._runner.setup()
        with naming("admin.bind", address):
            await web.TCPSite(self._runner, address.host, address.port).start()

    @property
    def url(self) -> str | None:
        """None: it does not listen."""
        if not self._runner.addresses:
            return None
        host, port = self._runner.addresses[0][:2]
        return f"http://{Address(host, port)}"

    async def close(self) -> None:
        await self._runner.cleanup()


@web.middleware
async def _not_for_web_pages(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    assert request.transport is not None
    here, _ = request.transport.get_extra_info("sockname")[:2]
    if Address(here, 0).is_loopback and not _says_where(request.headers.get("Host", here)):
        return web.Response(status=403, text="ask for this page by IP address or as localhost\n")
    return await handler(request)


def _says_where(host: str) -> bool:
    """Whether no name service had a say in where a request with this Host went."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or bool(ipaddress.ip_address(name))
    except ValueError:
        return False


def _application(gateway: Operated) -> web.Application:
    async def healthz(_request: web.Request) -> web.Response:
        return web.json_response({"status": "alive"})

    async def readyz(_request: web.Request) -> web.Response:
        readiness = await gateway.readiness()
        answer: dict[str, Any] = {"status": "ready" if readiness.ready else "not ready"}
        if readiness.missing:
            answer["missing"] = dict(readiness.missing)
        return web.json_response(answer, status=200 if readiness.ready else 503)

    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(body=await gateway.metrics(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def configuration(_request: web.Request) -> web.Response:
        return web.json_response(await gateway.configuration())

    async def plain(_request: web.Request, response: web.StreamResponse) -> None:
        response.headers["Server"] = SERVER_NAME
        response.headers["Cache-Control"] = "no-store"
        response.headers["X-Content-Type-Options"] = "nosniff"

    application = web.Application(middlewares=[_not_for_web_pages])
    application.on_response_prepare.append(plain)
    application.add_routes(
        [
            web.get("/healthz", healthz),
            web.get("/readyz", readyz),
            web.get("/metrics", metrics),
            web.get("/config", configuration),
        ]
    )
    return application
