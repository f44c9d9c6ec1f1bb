"""The sample page in Chromium, against `grpcweb-gateway demo`, over HTTP/1.1 and HTTP/2: what a person can do there,
and what gets refused.

Rule: a test fails on any error or warning in the console and on any violation of the page's content security policy,
unless it says that it expects it. What each test saw last is in tests/browser/artifacts/.
"""

import re
from collections.abc import AsyncIterator
from urllib.parse import parse_qs, urlsplit

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Request, ViewportSize, expect

from tests.browser.demonstration import TOKEN, Demo, SamplePage, demonstration, opened

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def demo() -> AsyncIterator[Demo]:
    async with demonstration() as running_demo:
        yield running_demo
    log = "".join(running_demo.printed)
    assert "/demo.v1.Demo/Echo" in log
    assert TOKEN.search(log) is None


@pytest.fixture(scope="module", params=["http1", "http2"])
def version(request: pytest.FixtureRequest) -> str:
    """Every test runs over both."""
    return str(request.param)


@pytest.fixture(scope="module")
def url(demo: Demo, version: str) -> str:
    return {"http1": demo.page, "http2": demo.tls_page}[version]


@pytest_asyncio.fixture(loop_scope="module")
async def sample(chromium: Browser, url: str, request: pytest.FixtureRequest) -> AsyncIterator[SamplePage]:
    """The page, just opened."""
    async with opened(chromium, url, request.node.name) as page:
        yield page


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def logged_in(chromium: Browser, url: str) -> AsyncIterator[SamplePage]:
    async with opened(chromium, url, "logged_in") as page:
        await page.log_in("reader")
        yield page


@pytest_asyncio.fixture(loop_scope="module")
async def reader(logged_in: SamplePage, request: pytest.FixtureRequest) -> AsyncIterator[SamplePage]:
    """The page, logged in as reader; shared by tests that leave it so."""
    yield logged_in
    await logged_in.finish(request.node.name)


async def test_login_is_an_authorization_code_with_pkce(sample: SamplePage, demo: Demo) -> None:
    requests: list[Request] = []

    def on_request(request: Request) -> None:
        requests.append(request)

    sample.page.on("request", on_request)
    await expect(sample["who"]).to_have_text("signed out")
    await sample.log_in("reader")
    await expect(sample["who"]).to_contain_text("reader@demo")
    await expect(sample["claims"]).to_contain_text("reader")
    asked = next(parse_qs(urlsplit(each.url).query) for each in requests if "/authorize?" in each.url)
    assert (asked["response_type"], asked["code_challenge_method"]) == (["code"], ["S256"])
    redeemed = next(parse_qs(each.post_data or "") for each in requests if each.url == f"{demo.issuer}/token")
    assert redeemed["code_verifier"][0] not in str(asked)
    assert urlsplit(sample.page.url).query == "", "the code stays in the address"
    stored = await sample.page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])")
    assert stored == '[{},{},""]'


async def test_a_reload_and_a_log_out_forget_the_token(sample: SamplePage) -> None:
    await sample.log_in("reader")
    await sample.open()
    await expect(sample["who"]).to_have_text("signed out")
    await sample.log_in("reader")
    await sample["logout"].click()
    await expect(sample["who"]).to_have_text("signed out")
    await sample["echo"].click()
    await expect(sample.badge("unary-outcome")).to_have_text("16 UNAUTHENTICATED")


async def test_a_login_that_is_cancelled_is_told(sample: SamplePage) -> None:
    await sample.log_in("none")
    await expect(sample["trouble"]).to_be_visible()
    await expect(sample["who"]).to_have_text("signed out")


async def test_echo(reader: SamplePage, version: str) -> None:
    await reader["unary-text"].fill("<b>grüß dich</b> 在庫")
    await reader["echo"].click()
    await expect(reader.badge("unary-outcome")).to_have_text("0 OK")
    await expect(reader["reply"]).to_have_text("<b>grüß dich</b> 在庫")
    carried_by = {"http1": "HTTP/1.1", "http2": "HTTP/2"}[version]
    await expect(reader["page-version"]).to_have_text(carried_by)
    await expect(reader["unary-outcome"].get_by_test_id("http-version")).to_have_text(f"{carried_by}, ")


async def test_who_am_i_shows_what_the_backend_saw(reader: SamplePage) -> None:
    await reader["whoami"].click()
    await expect(reader["whoami-facts"]).to_contain_text("DNS:gateway.demo.internal")
    await expect(reader["whoami-facts"]).to_contain_text("reader@demo")
    await expect(reader["whoami-metadata"]).to_contain_text("x-user-id")


async def test_an_admin_may_shout(sample: SamplePage) -> None:
    await sample.log_in("admin")
    await sample["unary-text"].fill("louder")
    await sample["shout"].click()
    await expect(sample["reply"]).to_have_text("LOUDER")


async def test_stream_messages_arrive_one_by_one_until_cancelled(reader: SamplePage, demo: Demo) -> None:
    await reader["count"].fill("0")
    await reader["interval"].fill("50")
    await reader["stream-start"].click()
    await expect(reader["stream-count"]).to_have_text(re.compile("^[1-9]"))
    await expect(reader["ticker"].locator("li")).to_have_count(5)
    await expect(reader["stream-cancel"]).to_be_enabled()
    await demo.wait_open_calls(1)
    await reader["stream-cancel"].click()
    await expect(reader.badge("stream-outcome")).to_have_text("1 CANCELLED")
    await expect(reader["stream-cancel"]).to_be_disabled()
    await demo.wait_open_calls(0)


async def test_a_stream_to_its_end(reader: SamplePage) -> None:
    await reader["count"].fill("7")
    await reader["interval"].fill("20")
    await reader["stream-start"].click()
    await expect(reader.badge("stream-outcome")).to_have_text("0 OK")
    await expect(reader["stream-count"]).to_have_text("7 of 7")
    await expect(reader["chart"].locator("rect")).to_have_count(7)


async def test_base64_text(sample: SamplePage) -> None:
    await sample.log_in("reader")
    await sample["text"].check()
    await sample["echo"].click()
    await expect(sample.badge("unary-outcome")).to_have_text("0 OK")
    await sample["count"].fill("3")
    await sample["interval"].fill("20")
    await sample["stream-start"].click()
    await expect(sample["stream-count"]).to_have_text("3 of 3")
    await sample["wire-summary"].click()
    await expect(sample["wire-frames"]).to_contain_text("application/grpc-web-text")
    await expect(sample["wire-message"]).to_have_count(4)  # the request and three replies
    await expect(sample["wire-trailer"]).to_contain_text("grpc-status:0")


async def test_an_error_with_details(reader: SamplePage) -> None:
    await reader["fail-message"].fill("the shelf is empty 在庫なし")
    await reader["fail"].click()
    await expect(reader.badge("fail-outcome")).to_have_text("9 FAILED_PRECONDITION")
    await expect(reader["fail-outcome"].get_by_test_id("message")).to_have_text("the shelf is empty 在庫なし")
    facts = reader["fail-outcome"].get_by_test_id("error-facts")
    await expect(facts).to_contain_text("google.rpc.ErrorInfo")
    await expect(facts).to_contain_text("SHELF_EMPTY")
    await expect(facts).to_contain_text("demo.internal")


async def test_a_deadline(reader: SamplePage, demo: Demo) -> None:
    await reader["deadline"].fill("300")
    await reader["deadline-start"].click()
    await expect(reader.badge("deadline-outcome")).to_have_text("4 DEADLINE_EXCEEDED")
    await demo.wait_open_calls(0)


async def test_no_token_is_refused(sample: SamplePage) -> None:
    await sample["try-no-token"].click()
    await expect(sample.badge("result-no-token")).to_have_text("16 UNAUTHENTICATED")
    await expect(sample["back-no-token"]).to_contain_text("Bearer")


async def test_an_expired_token_is_refused(sample: SamplePage) -> None:
    await sample["try-expired"].click()
    await sample.choose_role("reader")
    await expect(sample.badge("result-expired")).to_have_text("16 UNAUTHENTICATED")
    await expect(sample["back-expired"]).to_contain_text("invalid_token")
    await expect(sample["login-hint"]).to_have_count(0)  # it is not the token of who is logged in


async def test_a_missing_role_is_refused(reader: SamplePage) -> None:
    await reader["try-role"].click()
    await expect(reader.badge("result-role")).to_have_text("7 PERMISSION_DENIED")


async def test_a_foreign_origin_is_refused(sample: SamplePage, url: str) -> None:
    await sample["try-foreign"].click()
    await expect(sample["sent-foreign"]).to_contain_text(f"POST {url}demo.v1.Demo/Echo")
    await expect(sample["back-foreign"]).to_contain_text("TypeError")
    sample.expect_problem("from origin 'null' has been blocked by CORS policy: Response to preflight")
    sample.expect_problem("Failed to load resource: net::ERR_FAILED")


async def test_a_gateway_that_is_away_is_not_taken_for_a_refusal_of_a_foreign_origin(sample: SamplePage) -> None:
    await sample.page.route("**/demo.v1.Demo/*", lambda route: route.abort())
    await sample["try-foreign"].click()
    await expect(sample["why-foreign"]).to_contain_text("no answer either")
    await expect(sample["result-foreign"]).not_to_contain_text("stopped here")
    sample.expect_problem("Failed to load resource: net::ERR_FAILED")


async def test_the_other_gateway_is_called_across_origins(sample: SamplePage, demo: Demo, url: str) -> None:
    [other] = {demo.page, demo.tls_page} - {url}
    await sample.log_in("reader")
    calls: list[str] = []
    sample.page.on("request", lambda request: calls.append(request.url))
    await sample["gateways"].get_by_role("radio").nth(1).check()
    await sample["echo"].click()
    await expect(sample["reply"]).to_have_text("hello, gateway")
    assert calls == [f"{other}demo.v1.Demo/Echo"]


async def test_the_gateways_have_names(sample: SamplePage, demo: Demo, url: str) -> None:
    names = {demo.page: "gateway", demo.tls_page: "gateway over TLS"}
    labels = [f"{names[one]} ({one.rstrip('/')})" for one in sorted(names, key=url.__ne__)]
    await expect(sample["gateways"].locator("label")).to_have_text(labels)
    await expect(sample["gateways"].get_by_role("radio", checked=True)).to_have_value(url.rstrip("/"))


async def test_a_foreign_origin_is_refused_by_the_other_gateway(sample: SamplePage, demo: Demo, url: str) -> None:
    [other] = {demo.page, demo.tls_page} - {url}
    await sample["gateways"].get_by_role("radio").nth(1).check()
    await sample["try-foreign"].click()
    await expect(sample["sent-foreign"]).to_contain_text(f"POST {other}demo.v1.Demo/Echo")
    await expect(sample["back-foreign"]).to_contain_text("TypeError")
    assert set(sample.posted) == {f"{other}demo.v1.Demo/Echo"}
    sample.expect_problem("from origin 'null' has been blocked by CORS policy: Response to preflight")
    sample.expect_problem("Failed to load resource: net::ERR_FAILED")


async def test_the_page_fits_a_phone_in_the_dark(chromium: Browser, url: str, request: pytest.FixtureRequest) -> None:
    phone = ViewportSize(width=360, height=740)
    context = await chromium.new_context(viewport=phone, color_scheme="dark", ignore_https_errors=True)
    sample = SamplePage(await context.new_page(), url)
    await sample.open()
    await sample.log_in("reader")
    await sample["whoami"].click()
    await expect(sample["whoami-facts"]).to_be_visible()
    assert await sample.page.evaluate("document.documentElement.scrollWidth") == 360
    assert await sample.page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    await sample.finish(request.node.name)
    await context.close()
