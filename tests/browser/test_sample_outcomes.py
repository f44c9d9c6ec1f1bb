"""The places of the sample page where a call is shown: while it waits, and when the token has expired."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from tests.browser.demonstration import Demo, SamplePage, demonstration, opened

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def demo() -> AsyncIterator[Demo]:
    async with demonstration() as running_demo:
        yield running_demo


@pytest_asyncio.fixture(loop_scope="module")
async def sample(chromium: Browser, demo: Demo, request: pytest.FixtureRequest) -> AsyncIterator[SamplePage]:
    async with opened(chromium, demo.page, request.node.name) as page:
        yield page


@pytest.mark.parametrize(
    ("button", "status", "outcome"),
    [
        ("echo", "unary-status", "unary-outcome"),
        ("fail", "fail-status", "fail-outcome"),
        ("try-no-token", "status-no-token", "result-no-token"),
        ("try-role", "status-role", "result-role"),
    ],
)
async def test_a_call_that_waits_is_told_in_place_of_the_old_outcome(
    sample: SamplePage, button: str, status: str, outcome: str
) -> None:
    await sample.log_in("reader")
    await sample[button].click()
    await expect(sample.badge(outcome)).to_be_visible()
    async with sample.holding_calls():
        await sample[button].click()
        await expect(sample[status]).to_have_text("Calling …")
        await sample[status].scroll_into_view_if_needed()
        await expect(sample[status]).to_be_in_viewport()
        await expect(sample[outcome]).to_be_empty()
    await expect(sample.badge(outcome)).to_be_visible()
    await expect(sample[status]).to_contain_text("ended with")


async def test_a_count_that_waits_is_told_in_place_of_the_old_outcome(sample: SamplePage) -> None:
    await sample.log_in("reader")
    await sample["deadline"].fill("1")
    await sample["deadline-start"].click()
    await expect(sample.badge("deadline-outcome")).to_have_text("4 DEADLINE_EXCEEDED")
    await sample["deadline"].fill("60000")
    await sample["deadline-start"].click()
    await expect(sample["deadline-status"]).to_have_text("Counting …")
    await sample["deadline-status"].scroll_into_view_if_needed()
    await expect(sample["deadline-status"]).to_be_in_viewport()
    await expect(sample["deadline-outcome"]).to_be_empty()


async def test_an_expired_token_leads_to_a_new_login(sample: SamplePage) -> None:
    await sample["lifetime"].evaluate("(choice) => (choice.options[1].value = '-1')")
    await sample["lifetime"].select_option("30 seconds")
    await sample.log_in("reader")
    for button, outcome in (("try-role", "result-role"), ("stream-start", "stream-outcome"), ("echo", "unary-outcome")):
        await sample[button].click()
        await expect(sample.badge(outcome)).to_have_text("16 UNAUTHENTICATED")
        await expect(sample[outcome].get_by_test_id("login-hint")).to_have_text("Your token has expired: log in again.")
    await expect(sample["unary-status"]).to_contain_text("Your token has expired: log in again.")
    await sample["many-streams"].fill("3")
    await sample["many-start"].click()
    await expect(sample["many-outcome"].get_by_test_id("login-hint")).to_have_count(1)
    await sample["unary-outcome"].get_by_role("link", name="log in again").click()
    await expect(sample["login"]).to_be_in_viewport()
    await sample.log_in("reader")
    await sample["echo"].click()
    await expect(sample.badge("unary-outcome")).to_have_text("0 OK")
    await sample["try-no-token"].click()
    await expect(sample.badge("result-no-token")).to_have_text("16 UNAUTHENTICATED")
    await expect(sample["login-hint"]).to_have_count(0)
