"""The sample page in Chromium, calling the real Envoy that `grpcweb-gateway demo --envoy` runs beside the gateway.

Rule: what a person sees is the same as with the gateway: answers, refusals and streams.
"""

import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from tests.browser.demonstration import Demo, SamplePage, demonstration
from tests.support.envoy import require_envoy

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def demo() -> AsyncIterator[Demo]:
    require_envoy()
    async with demonstration("--envoy", "--envoy-port=0") as running_demo:
        yield running_demo


@pytest.fixture(scope="module")
def envoy(demo: Demo) -> str:
    found = re.search(r"Envoy +(http://[^ ]+)", "".join(demo.printed))
    assert found is not None
    return found[1]


@pytest_asyncio.fixture(loop_scope="module")
async def sample(
    chromium: Browser, demo: Demo, envoy: str, request: pytest.FixtureRequest
) -> AsyncIterator[SamplePage]:
    """The page, logged in as reader, with Envoy chosen; every call that it makes must go there."""
    context = await chromium.new_context()
    page = SamplePage(await context.new_page(), demo.page)
    await page.open()
    await page.log_in("reader")
    await page["gateways"].get_by_label(f"Envoy ({envoy})").check()
    page.posted.clear()
    yield page
    await page.finish(request.node.name)
    assert page.posted
    assert [url for url in page.posted if not url.startswith(f"{envoy}/demo.v1.Demo/")] == []
    await context.close()


async def test_echo_through_envoy(sample: SamplePage) -> None:
    await sample["unary-text"].fill("grüß dich")
    await sample["echo"].click()
    await expect(sample.badge("unary-outcome")).to_have_text("0 OK")
    await expect(sample["reply"]).to_have_text("grüß dich")


async def test_the_backend_sees_the_same(sample: SamplePage) -> None:
    await sample["whoami"].click()
    await expect(sample["whoami-facts"]).to_contain_text("DNS:gateway.demo.internal")
    await expect(sample["whoami-metadata"]).to_contain_text("x-user-id")
    await expect(sample["whoami-metadata"]).not_to_contain_text("sec-fetch")


@pytest.mark.parametrize("text", [False, True], ids=["binary", "text"])
async def test_a_stream_through_envoy(sample: SamplePage, text: bool) -> None:
    if text:
        await sample["text"].check()
    await sample["count"].fill("4")
    await sample["interval"].fill("20")
    await sample["stream-start"].click()
    await expect(sample.badge("stream-outcome")).to_have_text("0 OK")
    await expect(sample["stream-count"]).to_have_text("4 of 4")


@pytest.mark.parametrize("text", [False, True], ids=["binary", "text"])
async def test_a_missing_role_can_be_read_by_the_page(sample: SamplePage, text: bool) -> None:
    if text:
        await sample["text"].check()
    await sample["try-role"].click()
    await expect(sample.badge("result-role")).to_have_text("7 PERMISSION_DENIED")


async def test_a_missing_token_can_be_read_by_the_page(sample: SamplePage) -> None:
    await sample["try-no-token"].click()
    await expect(sample.badge("result-no-token")).to_have_text("16 UNAUTHENTICATED")
    await expect(sample["back-no-token"]).to_contain_text("Bearer")


async def test_a_foreign_origin_is_refused_by_envoy(sample: SamplePage, envoy: str) -> None:
    await sample["try-foreign"].click()
    await expect(sample["sent-foreign"]).to_contain_text(f"POST {envoy}/demo.v1.Demo/Echo")
    await expect(sample["back-foreign"]).to_contain_text("TypeError")
    sample.expect_problem("from origin 'null' has been blocked by CORS policy: Response to preflight")
    sample.expect_problem("Failed to load resource: net::ERR_FAILED")


async def test_the_demonstration_says_where_to_choose_envoy(demo: Demo) -> None:
    [line] = [line for line in demo.printed if line.lstrip().startswith("Envoy ")]
    assert "choose it on the page, under The wire" in line


async def test_an_error_with_details_comes_through_envoy(sample: SamplePage) -> None:
    await sample["fail"].click()
    await expect(sample.badge("fail-outcome")).to_have_text("9 FAILED_PRECONDITION")


async def test_a_deadline_through_envoy(sample: SamplePage) -> None:
    await sample["deadline"].fill("300")
    await sample["deadline-start"].click()
    await expect(sample.badge("deadline-outcome")).to_have_text("4 DEADLINE_EXCEEDED")
