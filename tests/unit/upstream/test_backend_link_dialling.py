"""A connection to a backend is dialled with everything checked, or not at all."""

import asyncio
from pathlib import Path

import pytest

from gateway.upstream import backend_link
from gateway.upstream.backend_link import BackendLink, dial
from gateway.upstream.connect_error import ConnectError
from gateway.upstream.resolver import Address
from tests.support.backend_http2 import Papers, backend, papers
from tests.support.wire import PATIENCE
from tests.unit.upstream.linking import Keeper, connected, plain, secured


@pytest.fixture
def files(tmp_path: Path) -> Papers:
    return papers(tmp_path)


async def test_a_backend_that_proves_its_name_sees_ours(files: Papers) -> None:
    async with backend(context=files.context()) as there, connected(there, secured(files)):
        (connection,) = there.connections
        assert connection.identities == ("gateway.test",)
        assert connection.transport.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"server_name": "other.test"}, "certificate is refused: Hostname mismatch"),
        ({"server_name": "ackend.test"}, "certificate is refused: Hostname mismatch"),
        ({"ca": "stranger.pem"}, "certificate is refused"),
        ({"ca": None}, "certificate is refused"),
        ({"certificate": None, "private_key": None}, "does it accept the gateway's certificate"),
    ],
    ids=["another name", "part of the name", "another authority", "the system's authorities", "no client certificate"],
)
async def test_a_backend_that_is_not_trusted_or_does_not_trust(
    files: Papers, changes: dict[str, str | None], problem: str
) -> None:
    if changes.get("ca"):
        (files.folder / "stranger").mkdir()
        changes = {"ca": str(papers(files.folder / "stranger").ca)}
    async with backend(context=files.context()) as there:
        with pytest.raises(ConnectError, match=problem):
            await dial(Address(there.host, there.port), secured(files, **changes), Keeper())
        assert not there.requests


@pytest.mark.parametrize("alpn", [(), ("http/1.1",)])
async def test_a_backend_that_does_not_choose_h2_is_left(files: Papers, alpn: tuple[str, ...]) -> None:
    async with backend(context=files.context(alpn=alpn)) as there:
        with pytest.raises(ConnectError, match="ALPN h2"):
            await dial(Address(there.host, there.port), secured(files), Keeper())
        await there.until(lambda: bool(there.connections) and not there.standing)


async def test_a_plaintext_backend_dialled_with_tls_and_the_reverse(files: Papers) -> None:
    async with backend() as there:
        with pytest.raises(ConnectError, match=r"TLS failed|closed"):
            await dial(Address(there.host, there.port), secured(files), Keeper())
        there.connections.clear()  # what h2 says of a TLS handshake is not the gateway's breach of HTTP/2
    async with backend(context=files.context()) as there:
        with pytest.raises(ConnectError, match=r".+"):
            await dial(Address(there.host, there.port), plain(), Keeper())


@pytest.mark.parametrize("tls", [False, True])
async def test_one_attempt_has_a_time_limit(files: Papers, tls: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody accepts the connection, and that is all."""
    monkeypatch.setattr(backend_link, "CONNECT_TIMEOUT", 0.2)
    async with backend() as there:
        there.greets = False
        started = asyncio.get_running_loop().time()
        with pytest.raises(ConnectError, match=r"no answer within 0.2 s"):
            await dial(Address(there.host, there.port), secured(files) if tls else plain(), Keeper())
        assert 0.19 < asyncio.get_running_loop().time() - started < PATIENCE
        await there.until(lambda: not there.standing)


async def test_nobody_there(tmp_path: Path) -> None:
    async with backend() as there:
        there.stop()
        with pytest.raises(ConnectError, match="refused"):
            await dial(Address(there.host, there.port), plain(), Keeper())
    with pytest.raises(ConnectError, match="No such file"):
        await dial(Address("", 0, str(tmp_path / "none")), plain(), Keeper())


@pytest.mark.parametrize("ready", [False, True])
async def test_a_dialling_that_is_cancelled_leaves_no_connection(ready: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when the connection is ready in the very turn of the loop in which nobody wants it any more."""
    settings_received = BackendLink.settings_received

    def cancel(link: BackendLink) -> None:
        settings_received(link)
        dialling.cancel()

    monkeypatch.setattr(BackendLink, "settings_received", cancel)
    async with backend() as there:
        there.greets = False
        dialling = asyncio.create_task(dial(Address(there.host, there.port), plain(), Keeper()))
        await there.until(lambda: bool(there.connections) and bool(there.connections[0].heard))
        if ready:
            there.connections[0].greet()
        else:
            dialling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await dialling
        await there.until(lambda: not there.standing)
