"""`grpcweb-gateway demo` as a process of its own, and its page in Chromium, watched for whatever goes wrong there."""

import asyncio
import os
import re
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from playwright.async_api import Browser, ConsoleMessage, Locator, Page, Request, Route

ARTIFACTS = Path(__file__).parent / "artifacts"
TOKEN = re.compile(r"eyJ[\w-]{20,}\.[\w-]+\.[\w-]*")  # a whole one, not the beginning that the page shows
STARTED = "Ctrl-C stops"
ADDRESSES = {
    "page": r"The page +(http://\S+/)",
    "tls_page": r"over TLS +(https://\S+/)",
    "issuer": r"token endpoint +(http://\S+)/token",
    "operator": r"operator +(http://\S+)/readyz",
    "configuration": r"configuration +(\S+)",
}


@dataclass
class Demo:
    """A running demonstration: its addresses, and all that it printed."""

    page: str
    tls_page: str
    issuer: str
    operator: str
    configuration: Path
    printed: list[str] = field(default_factory=list)

    async def wait_open_calls(self, count: int) -> None:
        """Returns once the gateway says that exactly `count` calls are open."""
        await self._wait("gateway_open_calls", count)

    async def wait_open_connections(self, count: int) -> None:
        """Returns once the gateway says that browsers hold exactly `count` connections."""
        await self._wait("gateway_open_connections", count)

    async def _wait(self, gauge: str, value: int) -> None:
        async with asyncio.timeout(5), aiohttp.ClientSession() as session:
            while True:
                async with session.get(f"{self.operator}/metrics") as response:
                    metrics = await response.text()
                if int(_find(rf"\n{gauge} (\d+)", metrics)) == value:
                    return
                await asyncio.sleep(0.02)


@asynccontextmanager
async def demonstration(*arguments: str) -> AsyncIterator[Demo]:
    """On free ports; stopped by SIGTERM, as a supervisor does, and held to leave nothing behind."""
    ports = ("--http-port=0", "--https-port=0", "--issuer-port=0")
    command = [sys.executable, "-m", "gateway", "demo", *ports, *arguments]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    process = await asyncio.create_subprocess_exec(*command, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT, env=environment)
    assert process.stdout is not None
    printed: list[str] = []
    try:
        async with asyncio.timeout(20):
            while not printed or STARTED not in printed[-1]:
                line = await process.stdout.readline()
                assert line, f"the demo ended: {''.join(printed)}"
                printed.append(line.decode())
        addresses = {name: _find(pattern, "".join(printed)) for name, pattern in ADDRESSES.items()}
        configuration = Path(addresses.pop("configuration"))
        reading = asyncio.create_task(_read(process.stdout, printed))
        yield Demo(**addresses, configuration=configuration, printed=printed)
        process.terminate()
        async with asyncio.timeout(10):
            await reading
            assert await process.wait() == 0
        assert not configuration.parent.exists()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


class SamplePage:
    """The page of the demonstration, by its data-testids."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.problems: list[str] = []
        self.posted: list[str] = []  # URLs
        page.on("request", self._on_request)
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.problems.append(f"exception: {error}"))

    def __getitem__(self, testid: str) -> Locator:
        return self.page.get_by_test_id(testid)

    def badge(self, outcome: str) -> Locator:
        return self[outcome].get_by_test_id("badge")

    async def open(self) -> None:
        await self.page.goto(self.url)
        await self.ready()

    async def ready(self) -> None:
        """Waits for what the page does when it is loaded, the end of a login included."""
        await self.page.locator("html[data-ready]").wait_for(state="attached")

    async def log_in(self, role: str = "reader") -> None:
        await self["login"].click()
        await self.choose_role(role)

    async def choose_role(self, role: str) -> None:
        """Answers the issuer's question, and comes back."""
        await self.page.locator(f"button[name=role][value={role}]").click()
        await self.page.wait_for_url(self.url)
        await self.ready()

    @asynccontextmanager
    async def holding_calls(self) -> AsyncIterator[None]:
        """Calls that are made meanwhile wait for the end of it."""
        over = asyncio.Event()

        async def hold(route: Route) -> None:
            await over.wait()
            await route.continue_()

        await self.page.route("**/demo.v1.Demo/*", hold)
        try:
            yield
        finally:
            over.set()
            await self.page.unroute_all(behavior="wait")

    async def finish(self, name: str) -> None:
        """Keeps a picture of the section last used; fails on problems, and on a whole token in the document."""
        ARTIFACTS.mkdir(exist_ok=True)
        path = ARTIFACTS / f"{name.removeprefix('test_')}.png"
        section = self.page.locator("section:focus-within")
        shown = section if await section.count() else self.page
        await shown.screenshot(path=path, animations="disabled")
        assert self.problems == []
        assert TOKEN.search(await self.page.content()) is None

    def expect_problem(self, pattern: str) -> None:
        """Takes a problem off the list; fails when there is none."""
        found = [problem for problem in self.problems if re.search(pattern, problem)]
        assert found, f"no problem matches {pattern!r}: {self.problems}"
        self.problems = [problem for problem in self.problems if problem not in found]

    def _on_request(self, request: Request) -> None:
        if request.method == "POST":
            self.posted.append(request.url)

    def _on_console(self, message: ConsoleMessage) -> None:
        """A violation of the content security policy is told here too."""
        if message.type in ("error", "warning"):
            self.problems.append(f"{message.type}: {message.text}")


@asynccontextmanager
async def opened(chromium: Browser, url: str, name: str) -> AsyncIterator[SamplePage]:
    """A page of its own, which nobody has logged in on; `name` is that of its picture."""
    context = await chromium.new_context(ignore_https_errors=True)  # the certificates are of this run
    try:
        sample = SamplePage(await context.new_page(), url)
        await sample.open()
        yield sample
        await sample.finish(name)
    finally:
        await context.close()


def _find(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    assert found is not None, f"{pattern!r} is not in {text}"
    return found[1]


async def _read(stream: asyncio.StreamReader, into: list[str]) -> None:
    while line := await stream.readline():
        into.append(line.decode())
