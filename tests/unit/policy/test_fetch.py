import asyncio
import gzip
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from structlog.testing import capture_logs

from gateway.policy import fetch
from gateway.policy.fetch import MAX_BODY, FailureLog, Fetcher, FetchError, is_allowed
from tests.support.certificates import authority, leaf, write_pair
from tests.support.key_server import KeyServer, Page


@pytest.fixture
async def fetcher() -> AsyncIterator[Fetcher]:
    fetcher = Fetcher()
    yield fetcher
    await fetcher.close()


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://login.example.com/keys", True),
        ("https://10.0.0.1:8443/", True),
        ("http://127.0.0.1:8080/keys", True),
        ("http://127.8.9.10/", True),
        ("http://[::1]:1/", True),
        ("http://localhost:1/", True),
        ("http://login.example.com/keys", False),
        ("http://localhost.example.com/", False),
        ("http://127.0.0.1.example.com/", False),
        ("http://127.0.0.1@example.com/", False),
        ("http://10.0.0.1/", False),
        ("http://0.0.0.0/", False),
        ("ftp://localhost/", False),
        ("file:///etc/passwd", False),
        ("https://", False),
        ("https://[", False),
        ("/keys", False),
        ("", False),
    ],
)
def test_where_it_may_go(url: str, allowed: bool) -> None:
    assert is_allowed(url) is allowed


async def test_gets_the_body(server: KeyServer, fetcher: Fetcher) -> None:
    server.pages["/"] = b"x" * MAX_BODY
    assert await fetcher.get(server.url + "/") == b"x" * MAX_BODY


async def redirect(request: web.Request) -> web.Response:
    return web.Response(status=302, headers={"location": "/elsewhere"})


async def endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b"x" * 10_000)


async def trickle(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b" ")
        await asyncio.sleep(0.01)


async def cut(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"content-length": "100"})
    await response.prepare(request)
    await response.write(b"{")
    assert request.transport is not None
    request.transport.close()
    return response


async def bomb(request: web.Request) -> web.Response:
    return web.Response(body=gzip.compress(bytes(10_000_000)), headers={"content-encoding": "gzip"})


@pytest.mark.parametrize(
    ("page", "reason"),
    [
        (404, "HTTP status 404"),
        (500, "HTTP status 500"),
        (204, "HTTP status 204"),
        (redirect, "HTTP status 302"),
        (b"x" * (MAX_BODY + 1), "more than 256 KiB"),
        (endless, "more than 256 KiB"),
        (trickle, "no answer within"),
        (cut, "no answer: ClientPayloadError"),
    ],
)
async def test_no_answer(
    server: KeyServer,
    fetcher: Fetcher,
    monkeypatch: pytest.MonkeyPatch,
    page: Page | bytes | int,
    reason: str,
) -> None:
    monkeypatch.setattr(fetch, "TIMEOUT", 0.2 if page is trickle else 2.0)
    server.pages["/"] = page
    with pytest.raises(FetchError, match=reason):
        await fetcher.get(server.url + "/")
    assert server.requests == {"/": 1}


async def test_a_compressed_answer_is_not_expanded(server: KeyServer, fetcher: Fetcher) -> None:
    server.pages["/"] = bomb
    assert len(await fetcher.get(server.url + "/")) < 20_000


async def test_nobody_there(server: KeyServer, fetcher: Fetcher) -> None:
    await server.stop()
    with pytest.raises(FetchError, match="no answer: Connection refused") as caught:
        await fetcher.get(server.url + "/")
    assert caught.value.hint == ""


async def test_a_private_authority(fetcher: Fetcher, tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*write_pair(tmp_path, *leaf(authority(), "localhost")))
    async with await asyncio.start_server(lambda *_: None, "127.0.0.1", 0, ssl=context) as issuer:
        with pytest.raises(FetchError, match="its certificate is refused: unable to get local issuer") as caught:
            await fetcher.get(f"https://localhost:{issuer.sockets[0].getsockname()[1]}/")
    assert caught.value.hint == "if its authority is private, name its file in the environment variable SSL_CERT_FILE"


async def test_a_name_that_nobody_has(fetcher: Fetcher) -> None:
    with pytest.raises(FetchError, match="its name cannot be resolved"):
        await fetcher.get("https://nobody.invalid/keys")


async def test_a_forbidden_url_is_not_even_resolved(fetcher: Fetcher) -> None:
    with pytest.raises(FetchError, match="neither https nor on this machine"):
        await fetcher.get("http://login.example.com/keys")


async def test_cookies_are_not_kept(server: KeyServer, fetcher: Fetcher) -> None:
    seen: list[str | None] = []

    async def page(request: web.Request) -> web.Response:
        seen.append(request.headers.get("cookie"))
        return web.Response(text="{}", headers={"set-cookie": "a=b"})

    server.pages["/"] = page
    for _ in range(2):
        # By name: cookies of bare addresses are not kept anyhow.
        await fetcher.get(server.url.replace("127.0.0.1", "localhost") + "/")
    assert seen == [None, None]


async def test_a_given_session_stays_open(server: KeyServer) -> None:
    server.pages["/"] = b"{}"
    async with aiohttp.ClientSession() as session:
        fetcher = Fetcher(session)
        await fetcher.get(server.url + "/")
        await fetcher.close()
        assert not session.closed


async def test_after_close_there_is_no_answer(server: KeyServer, fetcher: Fetcher) -> None:
    server.pages["/"] = b"{}"
    await fetcher.get(server.url + "/")
    await fetcher.close()
    with pytest.raises(FetchError):
        await fetcher.get(server.url + "/")


def test_failures_are_logged_once_a_minute() -> None:
    now = [0.0]
    failures = FailureLog("it_failed", lambda: now[0], issuer="x")
    with capture_logs() as logs:
        for second in range(0, 150, 2):
            now[0] = float(second)
            failures.add(f"reason {second}")
    assert [(entry["reason"], entry["failures"]) for entry in logs] == [
        ("reason 0", 1),
        ("reason 60", 30),
        ("reason 120", 30),
    ]
    assert logs[0]["event"] == "it_failed"
    assert logs[0]["issuer"] == "x"
