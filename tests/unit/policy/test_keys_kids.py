"""Key ids that a key set does not know: they bring a fetch, and not one each."""

import asyncio
import contextlib

import pytest

from gateway.policy import keys
from tests.support.clock import Clock
from tests.support.key_server import KeyServer
from tests.support.tokens import rsa_key
from tests.unit.policy.key_pages import KEYS, NEW, MakeKeys


async def test_an_unknown_kid_brings_the_new_key_in_one_fetch(server: KeyServer, make_keys: MakeKeys) -> None:
    key_set = make_keys()
    await key_set.start()
    server.pages[KEYS] = NEW
    assert key_set.is_worth_waiting("new")
    await key_set.wait_for("new")
    assert key_set.find("new", "RS256") == rsa_key("b").public_key()
    assert key_set.find("old", "RS256") is None
    assert key_set.generation == 2
    assert server.requests[KEYS] == 2


async def test_known_kids_fetch_nothing(server: KeyServer, make_keys: MakeKeys) -> None:
    key_set = make_keys()
    await key_set.start()
    for kid in ("old", None):
        assert not key_set.is_worth_waiting(kid)
        await key_set.wait_for(kid)
    assert server.requests[KEYS] == 1


async def test_a_storm_of_unknown_kids_is_one_fetch_in_thirty_seconds(
    server: KeyServer, make_keys: MakeKeys, clock: Clock
) -> None:
    key_set = make_keys()
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


async def test_a_kid_is_fetched_for_once(server: KeyServer, make_keys: MakeKeys, clock: Clock) -> None:
    key_set = make_keys()
    await key_set.start()
    for _ in range(3):
        await key_set.wait_for("nobody")
        clock.now += 30
    assert server.requests[KEYS] == 2
    assert not key_set.is_worth_waiting("nobody")


async def test_a_failed_fetch_does_not_make_a_kid_unknown(server: KeyServer, make_keys: MakeKeys, clock: Clock) -> None:
    key_set = make_keys()
    await key_set.start()
    server.pages[KEYS] = 503
    await key_set.wait_for("new")
    assert not key_set.is_worth_waiting("new")
    server.pages[KEYS] = NEW
    clock.now += 30
    await key_set.wait_for("new")
    assert key_set.find("new", "RS256") is not None


async def test_a_fetch_that_began_earlier_does_not_make_a_kid_unknown(
    server: KeyServer, make_keys: MakeKeys, clock: Clock
) -> None:
    key_set = make_keys()
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


async def test_who_leaves_does_not_cancel_the_fetch_for_others(server: KeyServer, make_keys: MakeKeys) -> None:
    key_set = make_keys()
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
    server: KeyServer, make_keys: MakeKeys, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "MAX_UNKNOWN_KIDS", 2)
    key_set = make_keys()
    await key_set.start()
    for kid in ("a", "b", "c"):
        await key_set.wait_for(kid)
        clock.now += 30
    assert [key_set.is_worth_waiting(kid) for kid in ("a", "b", "c")] == [True, False, False]


async def test_close_during_a_fetch_frees_who_waits(server: KeyServer, make_keys: MakeKeys) -> None:
    key_set = make_keys()
    await key_set.start()
    server.held[KEYS] = asyncio.Event()
    server.arrived.clear()
    waiting = asyncio.create_task(key_set.wait_for("new"))
    await server.arrived.wait()
    await key_set.close()
    await asyncio.wait_for(waiting, 1)
