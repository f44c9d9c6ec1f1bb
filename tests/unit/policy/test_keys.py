import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from gateway.policy import fetch, keys
from gateway.policy.fetch import MAX_BODY, Fetcher
from gateway.policy.keys import KeySet, Refresh
from tests.support.clock import Clock
from tests.support.key_server import KeyServer, Page, key_server, until
from tests.support.tokens import ec_key, ed_key, jwk, jwks, rsa_key

FAST = Refresh(every=0.01, file_every=0.01, retry_first=0.01, retry_last=0.02)
OLD, NEW = jwks(jwk(rsa_key("a"), "old")), jwks(jwk(rsa_key("b"), "new"))
KEYS = "/keys"


@pytest.fixture
async def server() -> AsyncIterator[KeyServer]:
    async with key_server() as server:
        server.pages[KEYS] = OLD
        yield server


@pytest.fixture
def clock() -> Clock:
    return Clock()


Make = Callable[..., KeySet]


@pytest.fixture
async def make(server: KeyServer, clock: Clock) -> AsyncIterator[Make]:
    """Key sets of the server's page, or another source, with a clock that stands still; closed at the end."""
    fetcher = Fetcher()
    made: list[KeySet] = []

    def make(source: str | Path | None = None, *, issuer: str = "https://login.test/", **options: Refresh) -> KeySet:
        made.append(KeySet(issuer, source or server.url + KEYS, fetcher, clock=clock, **options))
        return made[-1]

    yield make
    for key_set in made:
        await key_set.close()
    await fetcher.close()
    # Closing leaves nothing that runs.
    assert not [task for task in asyncio.all_tasks() if "KeySet" in repr(task.get_coro())]


async def redirect(request: web.Request) -> web.Response:
    return web.Response(status=302, headers={"location": "/elsewhere"})


async def never(request: web.Request) -> web.Response:
    await asyncio.Event().wait()
    return web.Response()


# Start and refresh


async def test_a_started_set_has_its_keys(make: Make, clock: Clock) -> None:
    key_set = make()
    assert (key_set.ready, key_set.age(), key_set.generation) == (False, None, 0)
    await key_set.start()
    clock.now += 7
    assert (key_set.ready, key_set.age(), key_set.generation) == (True, 7.0, 1)
    assert key_set.find("old", "RS256") == rsa_key("a").public_key()
    assert key_set.find(None, "RS256") == rsa_key("a").public_key()
    assert key_set.find("old", "ES256") is None
    assert key_set.find("new", "RS256") is None


async def test_refreshes_in_the_background(server: KeyServer, make: Make) -> None:
    key_set = make(refresh=FAST)
    await key_set.start()
    server.pages[KEYS] = NEW
    await until(lambda: key_set.find("new", "RS256") is not None)
    assert key_set.find("old", "RS256") is None
    assert key_set.generation == 2


async def test_the_same_keys_again_change_nothing(server: KeyServer, make: Make) -> None:
    key_set = make(refresh=FAST)
    await key_set.start()
    server.pages[KEYS] = b" " + OLD
    seen = server.requests[KEYS]
    await until(lambda: server.requests[KEYS] > seen + 2)
    assert key_set.generation == 1


async def test_an_issuer_that_is_down_at_first(server: KeyServer, make: Make) -> None:
    await server.stop()
    key_set = make(refresh=FAST)
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
    server: KeyServer, make: Make, monkeypatch: pytest.MonkeyPatch, page: Page | bytes | int
) -> None:
    monkeypatch.setattr(fetch, "TIMEOUT", 0.1 if page is never else 2.0)
    server.pages["/elsewhere"] = NEW
    key_set = make(refresh=FAST)
    await key_set.start()
    server.pages[KEYS] = page
    seen = server.requests[KEYS]
    await until(lambda: server.requests[KEYS] > seen + 2)
    assert key_set.find("old", "RS256") is not None
    assert key_set.generation == 1
    assert server.requests["/elsewhere"] == 0
    server.pages[KEYS] = NEW
    await until(lambda: key_set.find("new", "RS256") is not None)


async def test_keys_are_believed_for_a_day_without_news(server: KeyServer, make: Make, clock: Clock) -> None:
    key_set = make(refresh=FAST)
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


async def test_a_closed_set_asks_no_more_and_holds_no_connection(server: KeyServer, clock: Clock) -> None:
    fetcher = Fetcher()
    key_set = KeySet("https://login.test/", server.url + KEYS, fetcher, refresh=FAST, clock=clock)
    await key_set.start()
    session = fetcher._session()
    server.held[KEYS] = asyncio.Event()
    seen = server.requests[KEYS]
    await until(lambda: server.requests[KEYS] > seen)
    await key_set.close()
    assert session.closed
    assert not [task for task in asyncio.all_tasks() if "KeySet" in repr(task.get_coro())]


@pytest.mark.parametrize("failures", [0, 9])
def test_files_are_read_often(failures: int) -> None:
    assert Refresh().pause(failures, is_file=True) == pytest.approx(2, rel=0.1)


# Unknown kids


async def test_an_unknown_kid_brings_the_new_key_in_one_fetch(server: KeyServer, make: Make) -> None:
    key_set = make()
    await key_set.start()
    server.pages[KEYS] = NEW
    assert key_set.is_worth_waiting("new")
    await key_set.wait_for("new")
    assert key_set.find("new", "RS256") == rsa_key("b").public_key()
    assert key_set.find("old", "RS256") is None
    assert key_set.generation == 2
    assert server.requests[KEYS] == 2


async def test_known_kids_fetch_nothing(server: KeyServer, make: Make) -> None:
    key_set = make()
    await key_set.start()
    for kid in ("old", None):
        assert not key_set.is_worth_waiting(kid)
        await key_set.wait_for(kid)
    assert server.requests[KEYS] == 1


async def test_a_storm_of_unknown_kids_is_one_fetch_in_thirty_seconds(
    server: KeyServer, make: Make, clock: Clock
) -> None:
    key_set = make()
    await key_set.start()

    async def storm(name: str) -> int:
        before = server.requests[KEYS]
        await asyncio.gather(*(key_set.wait_for(f"{name}{number}") for number in range(200)))
        return server.requests[KEYS] - before

    assert await storm("a") == 1
    assert await storm("b") == 0
    assert not key_set.is_worth_waiting("c")
    clock.now += 29.9
    assert await storm("c") == 0
    clock.now += 0.1
    assert await storm("d") == 1
    server.pages[KEYS] = 503
    clock.now += 30
    assert await storm("e") == 1
    assert await storm("f") == 0
    assert key_set.ready


async def test_a_kid_is_fetched_for_once(server: KeyServer, make: Make, clock: Clock) -> None:
    key_set = make()
    await key_set.start()
    for _ in range(3):
        await key_set.wait_for("nobody")
        clock.now += 30
    assert server.requests[KEYS] == 2
    assert not key_set.is_worth_waiting("nobody")


async def test_a_failed_fetch_does_not_make_a_kid_unknown(server: KeyServer, make: Make, clock: Clock) -> None:
    key_set = make()
    await key_set.start()
    server.pages[KEYS] = 503
    await key_set.wait_for("new")
    assert not key_set.is_worth_waiting("new")
    server.pages[KEYS] = NEW
    clock.now += 30
    await key_set.wait_for("new")
    assert key_set.find("new", "RS256") is not None


async def test_a_fetch_that_began_earlier_does_not_make_a_kid_unknown(
    server: KeyServer, make: Make, clock: Clock
) -> None:
    key_set = make()
    await key_set.start()
    server.held[KEYS] = asyncio.Event()
    server.arrived.clear()
    first = asyncio.create_task(key_set.wait_for("other"))
    await server.arrived.wait()
    second = asyncio.create_task(key_set.wait_for("new"))
    await asyncio.sleep(0)
    server.held[KEYS].set()
    await asyncio.gather(first, second)
    assert server.requests[KEYS] == 2
    clock.now += 30
    assert not key_set.is_worth_waiting("other")
    assert key_set.is_worth_waiting("new")


async def test_who_leaves_does_not_cancel_the_fetch_for_others(server: KeyServer, make: Make) -> None:
    key_set = make()
    await key_set.start()
    server.pages[KEYS] = NEW
    server.held[KEYS] = asyncio.Event()
    server.arrived.clear()
    leaver = asyncio.create_task(key_set.wait_for("new"))
    await server.arrived.wait()
    stayer = asyncio.create_task(key_set.wait_for("new"))
    leaver.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await leaver
    server.held[KEYS].set()
    await stayer
    assert key_set.find("new", "RS256") is not None
    assert server.requests[KEYS] == 2


async def test_unknown_kids_are_remembered_within_bounds(
    server: KeyServer, make: Make, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "MAX_UNKNOWN_KIDS", 2)
    key_set = make()
    await key_set.start()
    for kid in ("a", "b", "c"):
        await key_set.wait_for(kid)
        clock.now += 30
    assert [key_set.is_worth_waiting(kid) for kid in ("a", "b", "c")] == [True, False, False]


async def test_close_during_a_fetch_frees_who_waits(server: KeyServer, make: Make) -> None:
    key_set = make()
    await key_set.start()
    server.held[KEYS] = asyncio.Event()
    server.arrived.clear()
    waiting = asyncio.create_task(key_set.wait_for("new"))
    await server.arrived.wait()
    await key_set.close()
    await asyncio.wait_for(waiting, 1)


# Other sources

METADATA = "/tenant/.well-known/openid-configuration"


def metadata(**members: object) -> bytes:
    return json.dumps(members).encode()


async def test_discovers_the_key_set(server: KeyServer, make: Make) -> None:
    for issuer in (f"{server.url}/tenant", f"{server.url}/tenant/"):
        server.pages[METADATA] = metadata(issuer=issuer, jwks_uri=server.url + KEYS)
        key_set = make("discover", issuer=issuer)
        await key_set.start()
        assert key_set.find("old", "RS256") is not None


@pytest.mark.parametrize(
    "changes",
    [
        {"issuer": None},
        {"issuer": "https://login.test/"},
        {"issuer": "{url}/tenant"},
        {"issuer": ["{url}/tenant/"]},
        {"jwks_uri": None},
        {"jwks_uri": 1},
        {"jwks_uri": "/keys"},
        {"jwks_uri": "http://login.test/keys"},
        {"jwks_uri": "file:///etc/keys"},
    ],
    ids=str,
)
async def test_metadata_that_is_not_the_issuers(server: KeyServer, make: Make, changes: dict[str, object]) -> None:
    issuer = f"{server.url}/tenant/"
    members = {"issuer": issuer, "jwks_uri": server.url + KEYS} | changes
    members = {name: json.loads(json.dumps(value).replace("{url}", server.url)) for name, value in members.items()}
    server.pages[METADATA] = metadata(**members)
    key_set = make("discover", issuer=issuer)
    await key_set.start()
    assert not key_set.ready
    assert server.requests[KEYS] == 0


async def test_an_issuer_elsewhere_cannot_point_to_this_machine(server: KeyServer) -> None:
    issuer = "https://login.test"

    class Elsewhere(Fetcher):
        async def get(self, url: str) -> bytes:
            if url.startswith(issuer):
                return metadata(issuer=issuer, jwks_uri=server.url + KEYS)
            return await super().get(url)

    key_set = KeySet(issuer, "discover", Elsewhere())
    await key_set.start()
    await key_set.close()
    assert not key_set.ready
    assert server.requests[KEYS] == 0


async def test_a_file_is_read_again_when_it_changes(tmp_path: Path, make: Make) -> None:
    file = tmp_path / "keys.json"
    file.write_bytes(OLD)
    for source in (file, str(file)):
        key_set = make(source, refresh=FAST)
        await key_set.start()
        assert key_set.ready
    with capture_logs() as logs:
        file.write_bytes(b"half a fi")
        await until(lambda: len(logs) > 0)
    assert logs[0]["event"] == "jwks_refresh_failed"
    assert key_set.find("old", "RS256") is not None
    file.write_bytes(NEW)
    await until(lambda: key_set.find("new", "RS256") is not None)
    assert key_set.generation == 2


async def test_what_is_no_file_of_keys(tmp_path: Path, make: Make) -> None:
    (tmp_path / "big").write_bytes(OLD + b" " * MAX_BODY)
    os.mkfifo(tmp_path / "pipe")
    for source in (tmp_path / "missing", tmp_path, tmp_path / "big", tmp_path / "pipe"):
        key_set = make(source)
        await asyncio.wait_for(key_set.start(), 2)
        assert not key_set.ready


async def test_several_keys_of_one_document(server: KeyServer, make: Make) -> None:
    server.pages[KEYS] = jwks(jwk(rsa_key("a"), "rsa"), jwk(ec_key("a"), "ec"))
    key_set = make()
    await key_set.start()
    assert key_set.find("ec", "ES256") == ec_key("a").public_key()
    assert key_set.find("rsa", "PS512") == rsa_key("a").public_key()
