"""The issuer to browsers and other programs: its documents, its page, and where it listens."""

from urllib.parse import urlsplit

import aiohttp
import pytest

from gateway.demo.issuer import Issuer
from tests.integration.demo_issuer.asking import ORIGINS, Page, pkce, request

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
