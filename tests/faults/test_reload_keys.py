"""A configuration that changes what is said of one issuer: the keys of the others stay, whoever is down meanwhile."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.policy.keys import KeySet
from gateway.upstream.h2 import H2Upstream
from tests.support.gateway import RunningGateway, eventually, running
from tests.support.key_server import KeyServer, key_server
from tests.support.tokens import jwk, jwks, rsa_key

KEYS = "/keys"
DOWN = "http://127.0.0.1:1/"
LATE = {"issuer": DOWN + "late", "jwks": DOWN + "keys", "audiences": ["anything"]}


@asynccontextmanager
async def with_one_that_is_late() -> AsyncIterator[RunningGateway]:
    """Tokens are of the first issuer; the second has been down since the start."""
    async with running(lambda configuration: configuration["auth"]["issuers"].append(dict(LATE))) as gateway:
        assert (await gateway.echo()).code == 0
        assert not (await gateway.gateway.readiness()).ready
        yield gateway


async def refused(gateway: RunningGateway, change: Any) -> list[str]:
    """The problems."""
    with capture_logs() as events:
        assert not await gateway.reconfigure(change)
    (event,) = [event for event in events if event["event"] == "configuration_refused"]
    problems: list[str] = event["problems"]
    return problems


def key_set(gateway: RunningGateway) -> KeySet:
    """Of the issuer that tokens are of."""
    return gateway.gateway.succession.current.tokens.key_sets[gateway.world.issuer.url]


def refreshing() -> int:
    """Key sets that are alive."""
    return sum("KeySet" in repr(task.get_coro()) for task in asyncio.all_tasks())


def publish(server: KeyServer, gateway: RunningGateway) -> str:
    """The address where the keys of the world's issuer are from now on, too."""
    server.pages[KEYS] = json.dumps(gateway.world.issuer.public_jwks()).encode()
    return server.url + KEYS


async def test_a_change_of_one_issuer_keeps_the_keys_of_another_that_is_down() -> None:
    async with with_one_that_is_late() as gateway:
        keys = key_set(gateway)
        await gateway.world.issuer.stop()

        def other_leeway(configuration: dict[str, Any]) -> None:
            configuration["auth"]["issuers"][1]["leeway"] = "20s"

        assert await gateway.reconfigure(other_leeway)
        assert (await gateway.echo()).code == 0
        assert key_set(gateway) is keys

        def without_the_other(configuration: dict[str, Any]) -> None:
            del configuration["auth"]["issuers"][1]

        assert await gateway.reconfigure(without_the_other)
        assert (await gateway.echo()).code == 0
        assert (await gateway.gateway.readiness()).ready
        await eventually(lambda: refreshing() == 1)


async def test_an_issuer_that_is_down_may_be_judged_by_other_rules() -> None:
    """Where its keys come from has not changed."""
    async with running() as gateway:
        assert (await gateway.echo()).code == 0
        await gateway.world.issuer.stop()

        def audiences(configuration: dict[str, Any], *names: str) -> None:
            configuration["auth"]["issuers"][0]["audiences"] = list(names)

        kept = gateway.configuration["auth"]["issuers"][0]["audiences"]
        assert await gateway.reconfigure(lambda configuration: audiences(configuration, "another"))
        assert (await gateway.echo()).code == 16
        assert await gateway.reconfigure(lambda configuration: audiences(configuration, *kept))
        assert (await gateway.echo()).code == 0


async def test_one_issuer_that_is_late_does_not_excuse_another() -> None:
    async with with_one_that_is_late() as gateway:

        def elsewhere(configuration: dict[str, Any]) -> None:
            configuration["auth"]["issuers"][0]["jwks"] = DOWN + "keys"

        def one_more(configuration: dict[str, Any]) -> None:
            configuration["auth"]["issuers"].append(LATE | {"issuer": DOWN + "new"})

        assert any("auth.issuers[0].jwks" in problem for problem in await refused(gateway, elsewhere))
        assert any("auth.issuers[2].jwks" in problem for problem in await refused(gateway, one_more))
        assert refreshing() == 2  # what was refused has left nothing
        assert (await gateway.echo()).code == 0


async def test_who_is_late_may_move_and_be_late_there() -> None:
    async with with_one_that_is_late() as gateway:

        def elsewhere(configuration: dict[str, Any]) -> None:
            configuration["auth"]["issuers"][1]["jwks"] = DOWN + "other-keys"

        assert await gateway.reconfigure(elsewhere)
        assert (await gateway.echo()).code == 0


async def test_keys_of_a_configuration_that_is_not_used_are_not_told_of() -> None:
    """Neither where it is built and refused, nor where its text is and all that is wrong with it is gathered."""
    async with key_server() as server, running() as gateway:
        address = publish(server, gateway)
        file = gateway.world.config_path.with_name("keys.json")
        file.write_text(json.dumps(gateway.world.issuer.public_jwks()))
        issuers = gateway.configuration["auth"]["issuers"]
        first = issuers[0] | {"jwks": address}
        late = LATE | {"issuer": DOWN + "new"}

        def refuse_what_is_built(configuration: dict[str, Any]) -> None:
            configuration["auth"]["issuers"] = [first, late]

        def refuse_the_text(configuration: dict[str, Any]) -> None:
            configuration["auth"]["issuers"] = [issuers[0] | {"jwks": str(file)}]
            configuration["listeners"] = []

        def same_keys(configuration: dict[str, Any]) -> None:
            configuration["auth"]["issuers"] = [first]

        with capture_logs() as events:
            assert not await gateway.reconfigure(refuse_what_is_built)
            assert server.requests[KEYS] == 1
            assert not await gateway.reconfigure(refuse_the_text)
            assert await gateway.reconfigure(same_keys)
        assert [event["event"] for event in events if event["event"].startswith("jwks_")] == []
        assert (await gateway.echo()).code == 0


async def test_the_first_keys_and_other_ones_are_told_of() -> None:
    with capture_logs() as events:
        async with key_server() as server, running() as gateway:
            server.pages[KEYS] = jwks(jwk(rsa_key("a"), "other"))

            def elsewhere(configuration: dict[str, Any]) -> None:
                configuration["auth"]["issuers"][0]["jwks"] = server.url + KEYS

            assert await gateway.reconfigure(elsewhere)
    told = [event["kids"] for event in events if event["event"] == "jwks_changed"]
    assert len(told) == 2
    assert told[1] == ["other"]


async def test_keys_from_elsewhere_follow_and_the_old_set_is_closed() -> None:
    async with key_server() as server, with_one_that_is_late() as gateway:
        keys, address = key_set(gateway), publish(server, gateway)

        def elsewhere(configuration: dict[str, Any]) -> None:
            configuration["auth"]["issuers"][0]["jwks"] = address

        assert await gateway.reconfigure(elsewhere)
        assert key_set(gateway) is not keys
        await eventually(lambda: refreshing() == 2)  # that of the one that is late, and the new one
        await gateway.world.issuer.stop()
        assert (await gateway.echo()).code == 0
        assert server.requests[KEYS] == 1
    assert refreshing() == 0


async def test_who_is_refused_for_keys_has_connected_to_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running() as gateway:

        def change(configuration: dict[str, Any]) -> None:
            configuration["auth"]["issuers"].append(LATE)
            configuration["upstreams"]["more"] = {
                "services": ["more.v1.More"],
                "targets": ["127.0.0.1:1"],
                "plaintext": True,
                "allow_insecure_tokens": True,
            }

        connecting: list[str] = []
        monkeypatch.setattr(H2Upstream, "start", lambda upstream: connecting.append(upstream.name))
        assert any("auth.issuers[1].jwks" in problem for problem in await refused(gateway, change))
        assert connecting == []
