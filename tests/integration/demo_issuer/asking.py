"""What clients, browsers and people ask of the issuer, and how they read what it says."""

import base64
import hashlib
import secrets
from collections.abc import Mapping
from html.parser import HTMLParser
from urllib.parse import parse_qs, urlsplit

import aiohttp

from gateway.demo.interceptors import JwtVerifier
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
