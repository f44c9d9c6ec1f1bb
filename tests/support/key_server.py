"""An authorization server on loopback: pages that a test can replace, break, hold up and count."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web

from tests.support.ports import free_port

Page = Callable[[web.Request], Awaitable[web.StreamResponse]]


class KeyServer:
    """`pages` are by path; `requests` counts what arrived. A request of a page of `held` waits until it is released."""

    def __init__(self) -> None:
        self.url = ""
        self.pages: dict[str, Page | bytes | int] = {}
        self.requests: Counter[str] = Counter()
        self.arrived = asyncio.Event()
        self.held: dict[str, asyncio.Event] = {}
        self._port = free_port()
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen; again on the same port after `stop`."""
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await site.start()
        self.url = f"http://127.0.0.1:{self._port}"

    async def stop(self) -> None:
        for event in self.held.values():
            event.set()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.requests[request.path] += 1
        self.arrived.set()
        if request.path in self.held:
            await self.held[request.path].wait()
        page = self.pages.get(request.path, 404)
        if isinstance(page, int):
            return web.Response(status=page)
        if isinstance(page, bytes):
            return web.Response(body=page, content_type="application/json")
        return await page(request)


@asynccontextmanager
async def key_server() -> AsyncIterator[KeyServer]:
    server = KeyServer()
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait for what happens in the background, where no event tells of it."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)
