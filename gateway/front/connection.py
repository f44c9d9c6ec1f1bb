"""One HTTP/1.1 connection of aiohttp's server, with what aiohttp leaves open closed.

Rules
- A peer that sends no complete request head within `HEAD_TIMEOUT` is let go; aiohttp itself would wait for ever.
- Errors of the parser are answered with a bare 400: aiohttp would echo the input and log a traceback.
- What is true for the whole connection (peer, scheme, certificate) is worked out once.
"""

import asyncio
from typing import Any

import structlog
from aiohttp import web

from gateway.front.identities import identities_of

log = structlog.get_logger("gateway.front")

SERVER_NAME = "grpcweb-gateway"  # without a version
HEAD_TIMEOUT = 75.0  # seconds between two requests, and for the first one to be complete
PATIENCE = 5.0  # seconds that a body which nobody wants is still read, so that the answer arrives


class Connection(web.RequestHandler):
    """A connection; the server that it belongs to counts it."""

    def __init__(self, server: "Http1Server", loop: asyncio.AbstractEventLoop, **options: Any) -> None:
        super().__init__(server, loop=loop, **options)
        self._server = server
        self._idle_timer: asyncio.TimerHandle | None = None
        self.peer = ""
        self.scheme = b"http"
        self.identities: tuple[str, ...] = ()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._server.open_connections += 1
        if self._server.open_connections > self._server.max_connections:
            log.warning("connection_refused", reason="max_connections")
            self.force_close()
            return
        peername = transport.get_extra_info("peername")
        self.peer = peername[0] if isinstance(peername, tuple) else "unix"
        if transport.get_extra_info("sslcontext") is not None:
            self.scheme = b"https"
            self.identities = identities_of(transport.get_extra_info("peercert"))
        self.became_idle()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._server.open_connections -= 1
        self.became_busy()
        super().connection_lost(exc)

    def became_busy(self) -> None:
        """A request is being answered: only its own limits hold."""
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None

    def became_idle(self) -> None:
        """The next request may come, but not for ever."""
        self._idle_timer = self._loop.call_later(HEAD_TIMEOUT, self.force_close)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - aiohttp's text echoes the input: never shown
    ) -> web.StreamResponse:
        """Answer for what never reached the handler (status 400), or for a defect of ours (500)."""
        if status >= 500:
            log.error("unexpected_error", exc_info=exc)
        else:
            log.info("bad_request", peer=self.peer)
        if request.writer.output_size > 0:
            raise ConnectionError("an answer is under way already")
        response = web.Response(status=status, text="bad request\n" if status < 500 else "internal error\n")
        response.headers["Server"] = SERVER_NAME
        response.force_close()
        return response


class Http1Server(web.Server):
    """aiohttp's server with our connections; `handler_cancellation` so that a browser that leaves ends its call."""

    def __init__(self, handler: Any, *, max_connections: int) -> None:
        super().__init__(
            handler,
            handler_cancellation=True,
            access_log=None,
            auto_decompress=False,
            keepalive_timeout=HEAD_TIMEOUT,
            lingering_time=PATIENCE,
            max_line_size=8190,
            max_field_size=16 * 1024,
            max_headers=128,
        )
        self.max_connections = max_connections
        self.open_connections = 0

    def __call__(self) -> web.RequestHandler:
        return Connection(self, self._loop, **self._kwargs)
