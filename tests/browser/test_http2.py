"""HTTP/2 in Chromium: the sample page comes by it, and its streams share one connection.

Rule: what is said of a connection, the browser's network stack says, and the gateway by its own count.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from tests.browser.demonstration import Demo, SamplePage, demonstration, opened
from tests.browser.network import Network

WEB = Path(__file__).resolve().parents[2] / "web"
STREAMS = 50
LONG = 1000  # messages of a stream that is cancelled long before
COUNT = "/demo.v1.Demo/Count"

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def demo() -> AsyncIterator[Demo]:
    async with demonstration() as running_demo:
        yield running_demo


async def open_all(sample: SamplePage) -> Network:
    """Start the streams; returns when some are under way."""
    network = await Network.watch(sample.page)
    await sample["many-streams"].fill(str(STREAMS))
    await sample["many-messages"].fill(str(LONG))
    await sample["many-start"].click()
    return network


async def wait_for_messages(sample: SamplePage, streams: int, messages: int) -> None:
    """Returns once the columns of `streams` streams stand for at least `messages` messages each."""
    bars = sample["many-chart"].locator(".bar")
    await expect(bars).to_have_count(STREAMS)
    grown = """([streams, height]) => {
        const bars = [...document.querySelectorAll("[data-testid=many-chart] .bar")];
        return bars.filter((bar) => bar.getAttribute("height") >= height).length >= streams;
    }"""
    await sample.page.wait_for_function(grown, arg=[streams, 100 * messages / LONG])


async def cancel_all(sample: SamplePage) -> None:
    await sample["many-cancel"].click()
    await expect(sample["many-outcome"]).to_contain_text(str(STREAMS))
    await expect(sample.badge("many-outcome")).to_have_text("1 CANCELLED")


async def test_the_page_comes_over_http_2_as_a_whole(
    chromium: Browser, demo: Demo, request: pytest.FixtureRequest
) -> None:
    context = await chromium.new_context(ignore_https_errors=True)
    sample = SamplePage(await context.new_page(), demo.tls_page)
    network = await Network.watch(sample.page)
    await sample.open()
    await expect(sample["page-version"]).to_have_text("HTTP/2")
    scripts = {path.name for path in WEB.glob("*.js")} - {"foreign.js"}
    loaded = network.answered(demo.tls_page)
    assert {each.url.removeprefix(demo.tls_page) for each in loaded} >= {"", "style.css", "demo.json"} | scripts
    assert {(each.status, each.protocol) for each in loaded} == {(200, "h2")}
    assert len({each.connection for each in loaded}) == 1
    await demo.wait_open_connections(1)
    await sample.finish(request.node.name)
    await context.close()


async def test_fifty_streams_move_at_once_on_one_connection(
    chromium: Browser, demo: Demo, request: pytest.FixtureRequest
) -> None:
    async with opened(chromium, demo.tls_page, request.node.name) as sample:
        await sample.log_in("reader")
        network = await open_all(sample)
        await wait_for_messages(sample, STREAMS, 5)
        await expect(sample["many-receiving"]).to_have_text("50 of 50")
        await demo.wait_open_calls(STREAMS)
        await demo.wait_open_connections(1)
        streams = network.answered(COUNT)
        assert len(streams) == STREAMS
        assert not any(each.over for each in streams)
        assert {each.protocol for each in streams} == {"h2"}
        assert len({each.connection for each in streams}) == 1
        await expect(sample["many-status"]).to_contain_text("HTTP/2 carries them as streams of one connection")
        await cancel_all(sample)
        await demo.wait_open_calls(0)
        entries = "performance.getEntriesByType('resource').filter(({ name }) => name.endsWith('/Count'))"
        told = await sample.page.evaluate(f"{entries}.map((entry) => entry.nextHopProtocol)")
        assert told == ["h2"] * STREAMS
        await demo.wait_open_connections(1)


async def test_over_http_1_six_streams_move_and_the_page_tells_why(
    chromium: Browser, demo: Demo, request: pytest.FixtureRequest
) -> None:
    async with opened(chromium, demo.page, request.node.name) as sample:
        await sample.log_in("reader")
        network = await open_all(sample)
        await wait_for_messages(sample, 6, 5)
        await expect(sample["many-receiving"]).to_have_text("6 of 50")
        await expect(sample["many-waiting"]).to_have_text("44")
        await demo.wait_open_calls(6)
        streams = network.answered(COUNT)
        assert [each.protocol for each in streams] == ["http/1.1"] * 6
        assert len({each.connection for each in streams}) == 6
        await expect(sample["many-status"]).to_contain_text("browsers open at most 6 to a host")
        link = sample["many-status"].get_by_role("link")
        await expect(link).to_have_attribute("href", f"{demo.tls_page}#many")
        await cancel_all(sample)
    # Only now: an answer that was given up before any of it was read, Chromium reads on for some seconds.
    await demo.wait_open_calls(0)


async def test_another_origin_has_one_connection_too(
    chromium: Browser, demo: Demo, request: pytest.FixtureRequest
) -> None:
    async with opened(chromium, demo.page, request.node.name) as sample:
        await sample.log_in("reader")
        await sample["gateways"].get_by_role("radio").nth(1).check()
        network = await open_all(sample)
        await wait_for_messages(sample, STREAMS, 5)
        await expect(sample["many-receiving"]).to_have_text("50 of 50")
        await expect(sample["many-version"]).to_have_text("not told")
        await expect(sample["many-status"]).to_contain_text("more than the 6 connections of HTTP/1.1")
        crossed = network.answered(COUNT)
        assert {each.method for each in crossed} == {"OPTIONS", "POST"}
        assert {each.protocol for each in crossed} == {"h2"}
        assert len({each.connection for each in crossed}) == 1
        await cancel_all(sample)
        await demo.wait_open_calls(0)


async def test_fifty_refusals(chromium: Browser, demo: Demo, request: pytest.FixtureRequest) -> None:
    async with opened(chromium, demo.tls_page, request.node.name) as sample:
        await open_all(sample)
        await expect(sample.badge("many-outcome")).to_have_text("16 UNAUTHENTICATED")
        await expect(sample["many-status"]).to_have_text("No message came.")
        await expect(sample["many-receiving"]).to_have_text("0 of 50")
        await expect(sample["many-waiting"]).to_have_text("0")
