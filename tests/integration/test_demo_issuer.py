"""The development issuer with a real HTTP client: both grants, every refusal, and what a browser asks of it."""

import asyncio
import base64
import hashlib
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from html.parser import HTMLParser
from urllib.parse import parse_qs, urlsplit

import aiohttp
import jwt
import pytest

from gateway.demo.interceptors import JwtVerifier, TokenError
from gateway.demo.issuer import Issuer

ORIGINS = ("http://127.0.0.1:8080", "https://localhost:8443")
REDIRECT_URI = f"{ORIGINS[0]}/"
BASIC = {"authorization": "Basic " + base64.b64encode(b"cli:cli-secret").decode()}
CREDENTIALS = {"grant_type": "client_credentials", "scope": "demo.read"}


class Page(HTMLParser):
    """What a person, and a browser, can do with a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]

    def form(self) -> dict[str, str]:
        return {field["name"]: field["value"] for field in self.all("input")}


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    issuer = Issuer(ORIGINS)
    await issuer.start()
    yield issuer
    await issuer.stop()


@pytest.fixture
async def client(issuer: Issuer) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(issuer.url) as client:
        yield client


def pkce() -> tuple[str, str]:
    verifier = secrets.token_urlsafe(48)
    return verifier, base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def request(challenge: str, **changes: str) -> dict[str, str]:
    good = {
        "response_type": "code",
        "client_id": "web",
        "redirect_uri": REDIRECT_URI,
        "state": "a&b=c #ü%+",
        "code_challenge": challenge,
        "code_challenge_method": "S256",
        "scope": "demo.read demo.admin",
    }
    return {**good, **changes}


async def answer(response: aiohttp.ClientResponse) -> dict[str, str]:
    """What a redirect tells the client."""
    assert response.status == 303, await response.text()
    location = response.headers["location"]
    assert location.startswith(f"{REDIRECT_URI}?")
    return {name: values[0] for name, values in parse_qs(urlsplit(location).query, strict_parsing=True).items()}


async def get_code(client: aiohttp.ClientSession, challenge: str, role: str = "reader") -> str:
    async with client.get("/authorize", params=request(challenge)) as page:
        assert page.status == 200
        form = Page(await page.text()).form()
    async with client.post("/authorize", data=form | {"role": role}, allow_redirects=False) as response:
        return (await answer(response))["code"]


def redemption(code: str, verifier: str) -> dict[str, str]:
    grant = {"grant_type": "authorization_code", "client_id": "web", "redirect_uri": REDIRECT_URI}
    return grant | {"code": code, "code_verifier": verifier}


async def post_token(
    client: aiohttp.ClientSession, form: object, headers: Mapping[str, str] | None = None
) -> tuple[int, dict[str, object]]:
    async with client.post("/token", data=form, headers=headers) as response:
        assert response.headers["cache-control"] == "no-store"
        assert response.content_type == "application/json"
        return response.status, await response.json()


def verified(issuer: Issuer, token: object) -> Mapping[str, object]:
    return JwtVerifier(issuer.public_jwks, issuer=issuer.url, audience="demo-api")(str(token))


# --- authorization code


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
    ids=str,
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


# --- what browsers and other programs ask


async def test_metadata_and_keys(client: aiohttp.ClientSession, issuer: Issuer) -> None:
    documents = []
    for name in ("openid-configuration", "oauth-authorization-server"):
        async with client.get(f"/.well-known/{name}") as response:
            documents.append(await response.json())
    assert documents[0] == documents[1]
    assert documents[0]["issuer"] == issuer.url
    assert documents[0]["code_challenge_methods_supported"] == ["S256"]
    async with client.get(documents[0]["jwks_uri"]) as response:
        assert await response.json() == issuer.public_jwks()


SHARED = ["/token", "/jwks", "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"]


@pytest.mark.parametrize("origin", [*ORIGINS, "https://evil.example", "http://127.0.0.1:8080.evil.example", "null"])
@pytest.mark.parametrize("path", SHARED)
async def test_json_is_shared_with_the_page_and_nobody_else(
    client: aiohttp.ClientSession, path: str, origin: str
) -> None:
    method = "POST" if path == "/token" else "GET"
    expected = origin if origin in ORIGINS else None
    async with client.request(method, path, headers={"origin": origin}) as response:
        assert response.headers.get("access-control-allow-origin") == expected
        assert "access-control-allow-credentials" not in response.headers
    preflight = {
        "origin": origin,
        "access-control-request-method": method,
        "access-control-request-headers": "content-type",
    }
    async with client.options(path, headers=preflight) as response:
        assert response.headers.get("access-control-allow-origin") == expected
        assert (response.status == 200) == (expected is not None)


async def test_the_page_is_shared_with_nobody(client: aiohttp.ClientSession) -> None:
    async with client.get("/authorize", params=request(pkce()[1]), headers={"origin": ORIGINS[0]}) as response:
        assert not [name for name in response.headers if name.lower().startswith("access-control-")]


async def test_the_page_runs_no_script_and_may_lead_back_to_the_origins_only(client: aiohttp.ClientSession) -> None:
    async with client.get("/authorize", params=request(pkce()[1])) as response:
        policy = dict(part.split(" ", 1) for part in response.headers["content-security-policy"].split("; "))
        page = Page(await response.text())
    assert policy == {
        "default-src": "'none'",
        "style-src": "'self'",
        "img-src": "data:",
        "form-action": f"'self' {' '.join(ORIGINS)}",
        "frame-ancestors": "'none'",
        "base-uri": "'none'",
    }
    assert not page.all("script")
    assert not page.all("style")
    assert not [name for _, attributes in page.tags for name in attributes if name == "style" or name.startswith("on")]
    assert [button["value"] for button in page.all("button")] == ["reader", "admin", "none"]
    assert page.all("html") == [{"lang": "en"}]
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in page.all("meta")
    (style,) = (link["href"] for link in page.all("link") if link["rel"] == "stylesheet")
    async with client.get(style) as response:
        assert (response.status, response.content_type) == (200, "text/css")


@pytest.mark.parametrize("attack", ['"><script>alert(1)</script>', "'><b>", "$origin"])
async def test_what_was_sent_stays_text_on_the_page(client: aiohttp.ClientSession, attack: str) -> None:
    async with client.get("/authorize", params=request(pkce()[1], state=attack)) as response:
        page = Page(await response.text())
    assert page.form()["state"] == attack
    assert not page.all("script")
    assert not page.all("b")
    async with client.get("/authorize", params=[(attack, "1"), (attack, "2")]) as response:
        assert response.status == 400
        refused = Page(await response.text())
    assert not refused.all("script")
    assert not refused.all("b")


# --- starting and stopping


async def test_it_listens_on_the_loopback_address_and_has_no_address_before(issuer: Issuer) -> None:
    assert issuer.url.startswith("http://127.0.0.1:")
    with pytest.raises(RuntimeError, match="started"):
        Issuer(ORIGINS).mint("reader")


async def test_a_port_that_is_taken_is_named(issuer: Issuer) -> None:
    port = urlsplit(issuer.url).port
    assert port
    with pytest.raises(OSError, match=f"127.0.0.1:{port}"):
        await Issuer(ORIGINS).start(port)


async def test_it_is_gone_when_it_stops(issuer: Issuer, client: aiohttp.ClientSession) -> None:
    await issuer.stop()
    with pytest.raises(aiohttp.ClientConnectorError):
        await client.get("/jwks")
