"""Where the npm clients run: a page in Chromium, or a process of Node.js. Both take the same calls and report the same.

Rule: a report is handed on when it comes, so a test can tell a message in time from one that was held back.
"""

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from aiohttp import web
from playwright.async_api import Page

from tests.conftest import find

CLIENTS = Path(__file__).parent / "clients"
PATIENCE = 10.0  # seconds

Json = dict[str, Any]


@dataclass
class End:
    """How a call ended, with the messages that nobody had taken before."""

    code: int
    message: str
    details: list[dict[str, str]]
    messages: list[Json] = field(default_factory=list)


class Call:
    """A call that goes on in a runtime."""

    def __init__(self, number: int, runtime: "Runtime") -> None:
        self._number = number
        self._runtime = runtime
        self._reports: asyncio.Queue[Json] = asyncio.Queue()

    def report(self, report: Json) -> None:
        self._reports.put_nowait(report)

    async def message(self) -> Json:
        """The next message, as soon as the client has it."""
        report = await self._next()
        assert "message" in report, f"the call ended instead: {report}"
        return dict(report["message"])

    async def cancel(self) -> float:
        """When the client was told, in seconds since the epoch."""
        return await self._runtime.cancel(self._number)

    async def end(self) -> End:
        messages: list[Json] = []
        while "end" not in (report := await self._next()):
            messages.append(report["message"])
        return End(**report["end"], messages=messages)

    async def _next(self) -> Json:
        async with asyncio.timeout(PATIENCE):
            return await self._reports.get()


class Runtime(Protocol):
    async def start(self, call: Json) -> Call: ...

    async def cancel(self, number: int) -> float: ...


class _Calls:
    """Numbers the calls and hands each its reports."""

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self._open: dict[int, Call] = {}

    def add(self, runtime: Runtime) -> tuple[int, Call]:
        number = next(self._numbers)
        self._open[number] = call = Call(number, runtime)
        return number, call

    def report(self, report: Json) -> None:
        self._open[report.pop("id")].report(report)


class PageRuntime:
    """The clients in a page that `serve_page` serves."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self._calls = _Calls()

    async def open(self, origin: str) -> None:
        await self.page.expose_function("report", self._calls.report)
        await self.page.goto(origin)

    async def start(self, call: Json) -> Call:
        number, started = self._calls.add(self)
        script = "async (call) => { const { start } = await import('/calls.js'); void start(call, report); }"
        await self.page.evaluate(script, call | {"id": number})
        return started

    async def cancel(self, number: int) -> float:
        script = """async (id) => {
            const { cancel } = await import('/calls.js');
            const at = performance.timeOrigin + performance.now();
            cancel(id);
            return at;
        }"""
        return float(await self.page.evaluate(script, number)) / 1000


class NodeRuntime:
    """The clients in a process of Node.js."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._calls = _Calls()

    async def start(self, call: Json) -> Call:
        number, started = self._calls.add(self)
        await self._say(call | {"id": number})
        return started

    async def cancel(self, number: int) -> float:
        at = time.time()
        await self._say({"cancel": number})
        return at

    async def listen(self) -> None:
        """Hand on reports until the process ends."""
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self._calls.report(json.loads(line))

    async def _say(self, order: Json) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        await self._process.stdin.drain()


@asynccontextmanager
async def node_runtime(ca: Path) -> AsyncIterator[NodeRuntime]:
    """A process of Node.js that trusts `ca` too."""
    node = find("node")
    assert node is not None
    process = await asyncio.create_subprocess_exec(
        node,
        CLIENTS / "node.js",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=16 * 1024 * 1024,
        env={"NODE_EXTRA_CA_CERTS": str(ca)},
    )
    runtime = NodeRuntime(process)
    listening = asyncio.create_task(runtime.listen())
    try:
        yield runtime
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await listening
        await process.wait()


@asynccontextmanager
async def serve_page() -> AsyncIterator[int]:
    """A site of its own, with an empty page and the clients; yields its port, at 127.0.0.1 and localhost alike."""

    async def page(_request: web.Request) -> web.Response:
        text = '<!doctype html><title>clients</title><link rel="icon" href="data:,">'
        return web.Response(text=text, content_type="text/html")

    async def module(_request: web.Request) -> web.StreamResponse:
        return web.FileResponse(CLIENTS / "dist" / "calls.js", headers={"content-type": "text/javascript"})

    application = web.Application()
    application.router.add_get("/", page)
    application.router.add_get("/calls.js", module)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
