"""A key set from its start on: when it asks, what it keeps when that fails, and how long."""

import asyncio

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from gateway.policy import fetch
from gateway.policy.fetch import MAX_BODY, Fetcher
from gateway.policy.keys import KeySet, Refresh
from tests.support.clock import Clock
from tests.support.key_server import KeyServer, Page, until
from tests.support.tokens import ed_key, jwk, jwks, rsa_key
from tests.unit.policy.key_pages import FAST, KEYS, NEW, OLD, MakeKeys, open_key_sets


async def redirect(request: web.Request) -> web.Response:
    return web.Response(status=302, headers={"location": "/elsewhere"})


async def never(request: web.Request) -> web.Response:
    await asyncio.Event().wait()
    return web.Response()


async def test_a_started_set_has_its_keys(make_keys: MakeKeys, clock: Clock) -> None:
    key_set = make_keys()
    assert (key_set.ready, key_set.age(), key_set.generation) == (False, None, 0)
    await key_set.start()
    clock.now += 7
    assert (key_set.ready, key_set.age(), key_set.generation) == (True, 7.0, 1)
    assert key_set.find("old", "RS256") == rsa_key("a").public_key()
    assert key_set.find(None, "RS256") == rsa_key("a").public_key()
    assert key_set.find("old", "ES256") is None
    assert key_set.find("new", "RS256") is None


async def test_refreshes_in_the_background(server: KeyServer, make_keys: MakeKeys) -> None:
    key_set = make_keys(refresh=FAST)
    await key_set.start()
    server.pages[KEYS] = NEW
    await until(lambda: key_set.find("new", "RS256") is not None)
    assert key_set.find("old", "RS256") is None
    assert key_set.generation == 2


async def test_the_same_keys_again_change_nothing(server: KeyServer, make_keys: MakeKeys) -> None:
    key_set = make_keys(refresh=FAST)
    await key_set.start()
    server.pages[KEYS] = b" " + OLD
    seen = server.requests[KEYS]
    await until(lambda: server.requests[KEYS] > seen + 2)
    assert key_set.generation == 1


async def test_an_issuer_that_is_down_at_first(server: KeyServer, make_keys: MakeKeys) -> None:
    await server.stop()
    key_set = make_keys(refresh=FAST)
    with capture_logs() as logs:
        await key_set.start()
    assert [(entry["event"], entry["issuer"]) for entry in logs] == [("jwks_refresh_failed", "https://login.test/")]
    assert not key_set.ready
    assert key_set.find("old", "RS256") is None
    assert not key_set.is_worth_waiting("old")
    await server.start()
    await until(lambda: key_set.ready)
    assert key_set.find("old", "RS256") is not None


@pytest.mark.parametrize(
    "page",
    [
        503,
        404,
        b"",
        b"<html>",
        b'{"keys":[]}',
        b'{"keys":[{"kty":"oct","k":"a2V5"}]}',
        jwks(*[jwk(ed_key("a"), f"k{i}") for i in range(33)]),
        NEW + b" " * MAX_BODY,
        redirect,
        never,
    ],
    ids=lambda page: page.__name__ if callable(page) else str(page)[:16],
)
async def test_a_failing_fetch_keeps_the_good_keys(
    server: KeyServer, make_keys: MakeKeys, monkeypatch: pytest.MonkeyPatch, page: Page | bytes | int
) -> None:
    monkeypatch.setattr(fetch, "TIMEOUT", 0.1 if page is never else 2.0)
    server.pages["/elsewhere"] = NEW
    key_set = make_keys(refresh=FAST)
    await key_set.start()
    server.pages[KEYS] = page
    seen = server.requests[KEYS]
    await until(lambda: server.requests[KEYS] > seen + 2)
    assert key_set.find("old", "RS256") is not None
    assert key_set.generation == 1
    assert server.requests["/elsewhere"] == 0
    server.pages[KEYS] = NEW
    await until(lambda: key_set.find("new", "RS256") is not None)


async def test_keys_are_believed_for_a_day_without_news(server: KeyServer, make_keys: MakeKeys, clock: Clock) -> None:
    key_set = make_keys(refresh=FAST)
    await key_set.start()
    server.pages[KEYS] = 503
    clock.now += 86400
    seen = server.requests[KEYS]
    await until(lambda: server.requests[KEYS] > seen + 2)
    assert key_set.ready
    clock.now += 1
    await until(lambda: not key_set.ready)
    assert key_set.find("old", "RS256") is None
    assert key_set.generation == 2
    server.pages[KEYS] = OLD
    await until(lambda: key_set.ready)
    assert key_set.generation == 3


@pytest.mark.parametrize(("failures", "seconds"), [(0, 300), (1, 0.5), (2, 1), (3, 2), (8, 30), (5000, 30)])
def test_failures_slow_down_and_are_bounded(failures: int, seconds: float) -> None:
    assert Refresh().pause(failures) == pytest.approx(seconds, rel=0.1)


@pytest.mark.parametrize("failures", [0, 9])
def test_files_are_read_often(failures: int) -> None:
    assert Refresh().pause(failures, is_file=True) == pytest.approx(2, rel=0.1)


async def test_a_closed_set_asks_no_more_and_holds_no_connection(server: KeyServer, clock: Clock) -> None:
    server.pages[KEYS] = OLD
    fetcher = Fetcher()
    key_set = KeySet("https://login.test/", server.url + KEYS, fetcher, refresh=FAST, clock=clock)
    await key_set.start()
    session = fetcher._session()
    server.held[KEYS] = asyncio.Event()
    seen = server.requests[KEYS]
    await until(lambda: server.requests[KEYS] > seen)
    await key_set.close()
    assert session.closed
    assert not open_key_sets()


# -- what is told ----------------------------------------------------------------------------------------------------


async def test_keys_in_use_that_change_are_told(server: KeyServer, make_keys: MakeKeys) -> None:
    key_set = make_keys(refresh=FAST)
    with capture_logs() as logs:
        await key_set.start()
        server.pages[KEYS] = NEW
        await until(lambda: key_set.generation == 2)
    told = [(entry["event"], entry["issuer"], entry["kids"]) for entry in logs]
    assert told == [("jwks_changed", "https://login.test/", [kid]) for kid in ("old", "new")]


async def test_a_set_on_trial_tells_nothing(server: KeyServer, clock: Clock) -> None:
    server.pages[KEYS] = OLD
    key_set = KeySet("https://login.test/", server.url + KEYS, Fetcher(), refresh=FAST, clock=clock)
    with capture_logs() as logs:
        await key_set.start()
        server.pages[KEYS] = 503
        await until(lambda: bool(key_set.problem))
        await key_set.close()
    assert logs == []


@pytest.mark.parametrize(("page", "told"), [(OLD, []), (NEW, ["jwks_changed"]), (503, ["jwks_refresh_failed"])])
async def test_a_set_that_takes_the_place_of_another_tells_what_is_other(
    server: KeyServer, make_keys: MakeKeys, clock: Clock, page: bytes | int, told: list[str]
) -> None:
    before = make_keys()
    await before.start()
    server.pages["/elsewhere"] = page
    key_set = KeySet("https://login.test/", server.url + "/elsewhere", Fetcher(), clock=clock)
    await key_set.start()
    with capture_logs() as logs:
        key_set.use(before if page != 503 else None)
        key_set.use(before)  # a second generation has it as well
    await key_set.close()
    assert [entry["event"] for entry in logs] == told
