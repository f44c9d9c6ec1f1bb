"""The issuer, by client credentials, and tokens that tests mint."""

import base64
import time

import aiohttp
import jwt
import pytest

from gateway.demo.interceptors import TokenError
from gateway.demo.issuer import Issuer
from tests.integration.demo_issuer.asking import BASIC, CREDENTIALS, post_token, verified

# --- client credentials


@pytest.mark.parametrize(
    ("scope", "roles"), [("demo.read", ["reader"]), ("demo.read demo.admin", ["reader", "admin"]), ("", ["reader"])]
)
@pytest.mark.parametrize("place", ["header", "form"])
async def test_client_credentials(
    client: aiohttp.ClientSession, issuer: Issuer, scope: str, roles: list[str], place: str
) -> None:
    form, headers = CREDENTIALS | {"scope": scope}, BASIC
    if place == "form":
        form, headers = form | {"client_id": "cli", "client_secret": "cli-secret"}, {}
    status, reply = await post_token(client, form, headers)
    assert status == 200
    claims = verified(issuer, reply["access_token"])
    assert (claims["roles"], claims["client_id"]) == (roles, "cli")


@pytest.mark.parametrize(
    "authorization",
    [
        "Basic " + base64.b64encode(pair).decode()
        for pair in (b"cli:guess", b"cli:", b"cli", b"other:cli-secret", b"\xff")
    ]
    + ["Basic !", "Bearer x", "Basic"],
)
async def test_a_client_that_is_not_authenticated(client: aiohttp.ClientSession, authorization: str) -> None:
    async with client.post("/token", data=CREDENTIALS, headers={"authorization": authorization}) as response:
        assert (response.status, (await response.json())["error"]) == (401, "invalid_client")
        assert response.headers["www-authenticate"].startswith("Basic ")


@pytest.mark.parametrize(
    ("form", "error"),
    [
        (CREDENTIALS | {"scope": "demo.readonly"}, "invalid_scope"),
        ([*CREDENTIALS.items(), ("scope", "demo.admin")], "invalid_request"),
        (CREDENTIALS | {"expires_in": "86401"}, "invalid_request"),
        (aiohttp.JsonPayload(CREDENTIALS), "invalid_request"),
    ],
    ids=["unknown scope", "two scopes", "expires_in", "JSON"],
)
async def test_requests_that_are_malformed(client: aiohttp.ClientSession, form: object, error: str) -> None:
    status, reply = await post_token(client, form, BASIC)
    assert (status, reply["error"]) == (400, error)


@pytest.mark.parametrize("charset", ["utf-8", "nonsense"])
async def test_a_form_that_is_not_text(client: aiohttp.ClientSession, charset: str) -> None:
    headers = {"content-type": f"application/x-www-form-urlencoded; charset={charset}"}
    status, reply = await post_token(client, b"grant_type=\xff", headers)
    assert (status, reply["error"]) == (400, "invalid_request")


async def test_expires_in_makes_expired_tokens_for_demonstrations(
    client: aiohttp.ClientSession, issuer: Issuer
) -> None:
    status, reply = await post_token(client, CREDENTIALS | {"expires_in": "-60"}, BASIC)
    assert (status, reply["expires_in"]) == (200, -60)
    claims = jwt.decode(str(reply["access_token"]), options={"verify_signature": False})
    assert claims["iat"] < claims["exp"] <= time.time() - 60
    with pytest.raises(TokenError, match="expired"):
        verified(issuer, reply["access_token"])


# --- minting


async def test_mint_takes_a_lifetime_and_other_claims(issuer: Issuer) -> None:
    claims = verified(issuer, issuer.mint("admin", 1, sub="x", extra=[1]))
    assert (claims["sub"], claims["extra"], claims["roles"]) == ("x", [1], ["reader", "admin"])
    assert time.time() < float(str(claims["exp"])) <= time.time() + 2
    with pytest.raises(TokenError):
        verified(issuer, issuer.mint("reader", aud="other-api"))
    with pytest.raises(KeyError):
        issuer.mint("root")
