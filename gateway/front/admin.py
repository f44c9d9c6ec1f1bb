"""The operator's pages, as an aiohttp application on an address of its own.

Rule: nothing here is for the public, and still nothing here is a secret: /config is redacted.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from gateway.front.fields import SERVER_NAME

Readiness = Callable[[], Awaitable[Mapping[str, str]]]


def admin_application(
    *, ready: Readiness, config: Callable[[], Mapping[str, Any]], registry: CollectorRegistry
) -> web.Application:
    """`ready` gives what is missing, by name; nothing missing is ready."""

    async def healthz(_request: web.Request) -> web.Response:
        return web.json_response({"status": "alive"})

    async def readyz(_request: web.Request) -> web.Response:
        missing = await ready()
        if missing:
            return web.json_response({"status": "not ready", "missing": dict(missing)}, status=503)
        return web.json_response({"status": "ready"})

    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def configuration(_request: web.Request) -> web.Response:
        return web.json_response(config())

    async def plain(_request: web.Request, response: web.StreamResponse) -> None:
        response.headers["Server"] = SERVER_NAME
        response.headers["Cache-Control"] = "no-store"
        response.headers["X-Content-Type-Options"] = "nosniff"

    application = web.Application()
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
