"""Request bodies that Chromium streams by fetch: the gateway takes them over HTTP/2; over HTTP/1.1 none is sent.

Rule: fetch is half-duplex, so a page sees no reply before its request has ended.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page

from gateway.demo.pb import demo_pb2
from tests.browser.network import Network
from tests.browser.runtimes import PATIENCE, serve_page
from tests.support.frames import message, take_apart
from tests.support.gateway import BINARY, DEMO, RunningGateway, running

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

FRAMES = [message(demo_pb2.EchoRequest(text=text)) for text in ("one", "two", "three")]
COLLECT = """async ({ url, headers, frames }) => {
    const body = new ReadableStream({
        pull(controller) {
            if (frames.length === 0) controller.close();
            else controller.enqueue(new Uint8Array(frames.shift()));
        },
    });
    try {
        const response = await fetch(url, { method: "POST", headers, body, duplex: "half" });
        return [...new Uint8Array(await response.arrayBuffer())];
    } catch (error) {
        return error.name;
    }
}"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def origin() -> AsyncIterator[str]:
    async with serve_page() as port:
        yield f"http://127.0.0.1:{port}"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(origin: str) -> AsyncIterator[RunningGateway]:
    def change(configuration: dict[str, Any]) -> None:
        configuration["cors"]["allow_origins"] = [origin]

    async with running(change) as gateway:
        yield gateway


@pytest_asyncio.fixture(loop_scope="module")
async def page(chromium: Browser, origin: str) -> AsyncIterator[Page]:
    context = await chromium.new_context(ignore_https_errors=True)  # the certificates are of this run
    page = await context.new_page()
    await page.goto(origin)
    yield page
    await context.close()


async def collect(page: Page, gateway: RunningGateway, listener: int) -> Any:
    """The body of the answer, or the name of the error."""
    call = {
        "url": gateway.gateway.urls[listener] + DEMO + "Collect",
        "headers": {"content-type": BINARY, "authorization": f"Bearer {gateway.token()}"},
        "frames": [list(frame) for frame in FRAMES],
    }
    async with asyncio.timeout(PATIENCE):
        return await page.evaluate(COLLECT, call)


async def test_over_http_2_chromium_sends_a_stream(page: Page, gateway: RunningGateway) -> None:
    network = await Network.watch(page)
    messages, status, _ = take_apart(bytes(await collect(page, gateway, listener=1)))
    assert status.code == 0
    assert [demo_pb2.CollectReply.FromString(each).text for each in messages] == ["one two three"]
    assert {each.protocol for each in network.answered(DEMO)} == {"h2"}


async def test_over_http_1_it_sends_none(page: Page, gateway: RunningGateway) -> None:
    before = gateway.backend_calls
    assert await collect(page, gateway, listener=0) == "TypeError"
    assert gateway.backend_calls == before
