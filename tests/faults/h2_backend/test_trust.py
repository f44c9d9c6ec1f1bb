"""Backends over HTTP/2 that cannot be trusted: no call goes there, and callers are told nothing of it."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.faults.h2_backend.load import CALL, to
from tests.support.backend_http2 import Backend, backend, ok, papers
from tests.support.frames import message
from tests.support.gateway import ORIGIN, running

CLUES = ("127.0.0.1", "::1", "errno", "socket", "connect to", "goaway", "rst", "ssl", "tls", "alpn", "certif", "name")


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ("name", "Hostname mismatch"),
        ("authority", "certificate is refused"),
        ("no certificate", "does it accept the gateway's certificate"),
        ("no ALPN", "ALPN h2"),
        ("HTTP/1.1", "ALPN h2"),
        ("plaintext", "TLS failed"),
    ],
)
async def test_a_connection_that_cannot_be_trusted_is_none(tmp_path: Path, wrong: str, problem: str) -> None:
    files = papers(tmp_path)
    tls = {
        "name": files.tls(server_name="other.test"),
        "authority": files.tls(ca=stranger(tmp_path)),
        "no certificate": files.tls(certificate=None, private_key=None),
    }.get(wrong, files.tls())
    context: ssl.SSLContext | None = files.context(alpn={"no ALPN": (), "HTTP/1.1": ("http/1.1",)}.get(wrong, ("h2",)))
    with capture_logs() as events:
        async with (
            talking_http1() if wrong == "plaintext" else backend(context=context) as there,
            running(to(there, tls=tls)) as gateway,
        ):
            reply = await gateway.post(CALL, message(b""))
            assert reply.code == 14
            assert reply.status is not None
            assert not any(clue in reply.status.message.lower() for clue in CLUES), reply.status
            assert reply.headers["access-control-allow-origin"] == ORIGIN
            assert problem in str(gateway.gateway.upstream("test").problem)
            assert not there.requests
    reports = [event for event in events if event["event"] == "backend_unreachable"]
    assert [(event["upstream"], event["address"]) for event in reports] == [("test", there.target)]
    assert problem in reports[0]["problem"]


def stranger(folder: Path) -> Path:
    (folder / "stranger").mkdir()
    return papers(folder / "stranger").ca


@contextlib.asynccontextmanager
async def talking_http1() -> AsyncIterator[Backend]:
    """Speaks before it has heard anything, and no TLS."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    there = Backend(ok, None, {})
    there.port = server.sockets[0].getsockname()[1]
    try:
        yield there
    finally:
        server.close()
