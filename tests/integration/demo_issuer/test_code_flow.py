"""The issuer, by authorization code: who gets a token, and every refusal."""

import asyncio
import time

import aiohttp
import pytest

from gateway.demo.issuer import Issuer
from tests.integration.demo_issuer.asking import (
    ORIGINS,
    REDIRECT_URI,
    answer,
    get_code,
    pkce,
    post_token,
    redemption,
    request,
    verified,
)


@pytest.mark.parametrize(
    ("role", "roles", "scope"),
    [("reader", ["reader"], "demo.read"), ("admin", ["reader", "admin"], "demo.read demo.admin")],
)
async def test_code_flow_gives_a_token_for_the_chosen_role(
    client: aiohttp.ClientSession, issuer: Issuer, role: str, roles: list[str], scope: str
) -> None:
    verifier, challenge = pkce()
    status, reply = await post_token(client, redemption(await get_code(client, challenge, role), verifier))
    assert status == 200
    token = reply.pop("access_token")
    assert reply == {"token_type": "Bearer", "expires_in": 900, "scope": scope}
    claims = dict(verified(issuer, token))
    assert claims.pop("exp") == pytest.approx(time.time() + 900, abs=5)
    assert claims.pop("iat") == claims.pop("nbf") == pytest.approx(time.time(), abs=5)
    assert claims.pop("jti")
    assert claims == {
        "iss": issuer.url,
        "sub": f"{role}@demo",
        "aud": "demo-api",
        "client_id": "web",
        "scope": scope,
        "roles": roles,
    }


async def test_the_answer_returns_the_state_and_says_who_answers(client: aiohttp.ClientSession, issuer: Issuer) -> None:
    form = request(pkce()[1]) | {"role": "reader"}
    async with client.post("/authorize", data=form, allow_redirects=False) as response:
        told = await answer(response)
    assert told.keys() == {"code", "state", "iss"}
    assert (told["state"], told["iss"]) == ("a&b=c #ü%+", issuer.url)


@pytest.mark.parametrize("role", ["none", "root", ""])
async def test_whoever_chooses_no_role_gives_no_code(client: aiohttp.ClientSession, role: str) -> None:
    form = request(pkce()[1]) | {"role": role}
    async with client.post("/authorize", data=form, allow_redirects=False) as response:
        told = await answer(response)
    assert (told["error"], told["state"]) == ("access_denied", "a&b=c #ü%+")


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"state": ""}, "invalid_request"),
        ({"code_challenge": ""}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"scope": "root"}, "invalid_scope"),
    ],
    ids=str,
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_bad_request_is_answered_at_its_redirect_uri(
    client: aiohttp.ClientSession, method: str, change: dict[str, str], error: str
) -> None:
    sent = request(pkce()[1], **change) | {"role": "admin"}
    place = {"params": sent} if method == "GET" else {"data": sent}
    async with client.request(method, "/authorize", allow_redirects=False, **place) as response:
        told = await answer(response)
    assert told["error"] == error
    assert "code" not in told


@pytest.mark.parametrize(
    "change",
    [
        {"client_id": "other"},
        {"redirect_uri": "https://evil.example/"},
        {"redirect_uri": f"{REDIRECT_URI}?x=1"},
        {"redirect_uri": ORIGINS[0]},
        {"redirect_uri": ""},
    ],
    ids=str,
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_stranger_is_not_redirected(client: aiohttp.ClientSession, method: str, change: dict[str, str]) -> None:
    sent = request(pkce()[1], **change) | {"role": "admin"}
    place = {"params": sent} if method == "GET" else {"data": sent}
    async with client.request(method, "/authorize", allow_redirects=False, **place) as response:
        assert (response.status, response.content_type) == (400, "text/html")
        assert "location" not in response.headers


async def test_repeated_parameters_are_not_redirected(client: aiohttp.ClientSession) -> None:
    repeated = [*request(pkce()[1]).items(), ("state", "other")]
    async with client.get("/authorize", params=repeated, allow_redirects=False) as response:
        assert response.status == 400


async def test_the_verifier_must_match_and_a_code_works_once(client: aiohttp.ClientSession) -> None:
    verifier, challenge = pkce()
    refused = (400, "invalid_grant")
    for first, expected in ((pkce()[0], refused), (verifier, (200, None))):
        code = await get_code(client, challenge)
        for used, outcome in ((first, expected), (verifier, refused)):
            status, reply = await post_token(client, redemption(code, used))
            assert (status, reply.get("error")) == outcome


async def test_of_two_redemptions_at_the_same_time_one_wins(client: aiohttp.ClientSession) -> None:
    verifier, challenge = pkce()
    form = redemption(await get_code(client, challenge), verifier)
    results = await asyncio.gather(*(post_token(client, form) for _ in range(4)))
    assert sorted(status for status, _ in results) == [200, 400, 400, 400]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"redirect_uri": f"{ORIGINS[1]}/"}, (400, "invalid_grant")),
        ({"redirect_uri": ""}, (400, "invalid_grant")),
        ({"code_verifier": ""}, (400, "invalid_grant")),
        ({"code": "guess"}, (400, "invalid_grant")),
        ({"code": ""}, (400, "invalid_grant")),
        ({"grant_type": ""}, (400, "unsupported_grant_type")),
        ({"grant_type": "password"}, (400, "unsupported_grant_type")),
        ({"grant_type": "client_credentials"}, (400, "unauthorized_client")),
        ({"client_id": ""}, (401, "invalid_client")),
        ({"client_id": "cli", "client_secret": "cli-secret"}, (400, "unauthorized_client")),
        ({"client_secret": "guess"}, (401, "invalid_client")),
        ({"expires_in": "soon"}, (400, "invalid_request")),
    ],
    ids=str,
)
async def test_refusals_at_the_token_endpoint(
    client: aiohttp.ClientSession, change: dict[str, str], expected: tuple[int, str]
) -> None:
    verifier, challenge = pkce()
    form = redemption(await get_code(client, challenge), verifier) | change
    status, reply = await post_token(client, form)
    assert (status, reply["error"]) == expected
    assert reply.keys() == {"error", "error_description"}
