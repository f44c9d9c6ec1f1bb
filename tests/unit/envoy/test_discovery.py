"""Issuers are asked where their keys are; one that does not answer is a problem with its key."""

import json

import pytest

from gateway.envoy.discovery import discovered
from gateway.settings import SettingsError
from tests.support.key_server import KeyServer, key_server
from tests.unit.envoy.reading import ISSUER, settings

METADATA = "/.well-known/openid-configuration"


def metadata(server: KeyServer, issuer: str, **changes: str) -> bytes:
    return json.dumps({"issuer": issuer, "jwks_uri": f"{server.url}/keys", **changes}).encode()


async def test_only_those_that_leave_it_to_discovery_are_asked() -> None:
    async with key_server() as server:
        one, two = f"{server.url}/one", f"{server.url}/two"
        server.pages["/one" + METADATA] = metadata(server, one)
        server.pages["/two" + METADATA] = metadata(server, two, jwks_uri=f"{server.url}/other-keys")
        issuers = [
            {"issuer": one, "audiences": ["a"]},
            ISSUER,
            {"issuer": two, "audiences": ["a"]},
            {"issuer": f"{server.url}/three", "audiences": ["a"], "jwks": f"{server.url}/keys"},
        ]
        found = await discovered(settings(auth={"issuers": issuers}))
        assert found == {one: f"{server.url}/keys", two: f"{server.url}/other-keys"}
        assert sum(server.requests.values()) == 2


async def test_every_issuer_that_does_not_answer_is_told_with_its_key() -> None:
    async with key_server() as server:
        server.pages["/not-json" + METADATA] = b"<html>"
        server.pages["/down" + METADATA] = 503
        server.pages["/other" + METADATA] = metadata(server, "https://other.example.com/")
        server.pages["/good" + METADATA] = metadata(server, f"{server.url}/good")
        names = ("good", "not-json", "down", "other", "missing")
        made = settings(auth={"issuers": [{"issuer": f"{server.url}/{name}", "audiences": ["a"]} for name in names]})
        with pytest.raises(SettingsError) as caught:
            await discovered(made)
    problems = caught.value.problems
    assert [problem.key for problem in problems] == [f"auth.issuers[{index}].jwks" for index in (1, 2, 3, 4)]
    assert [problem.message for problem in problems][1] == "discovery failed: HTTP status 503"
    assert all(problem.message.startswith("discovery failed: ") for problem in problems)
    assert {problem.hint for problem in problems} == {
        "write its jwks_uri here: Envoy cannot discover key sets by itself"
    }
    assert all(problem.line for problem in problems)


async def test_nobody_to_ask() -> None:
    assert await discovered(settings(auth={"issuers": [ISSUER]})) == {}


async def test_an_issuer_that_is_gone() -> None:
    async with key_server() as server:
        url = server.url
    with pytest.raises(SettingsError, match="discovery failed: no answer"):
        await discovered(settings(auth={"issuers": [{"issuer": url, "audiences": ["a"]}]}))
