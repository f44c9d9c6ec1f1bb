"""The backend and the issuer alone: which files they leave for a proxy, and for whom."""

import json
import os
import stat
from dataclasses import replace
from pathlib import Path

import aiohttp
import grpc
import grpc.aio
import jwt
import pytest

from gateway.demo.pb import demo_pb2, demo_pb2_grpc
from gateway.demo.standalone import Running, Standalone

TLS = {"ca.pem", "server.pem", "server.key", "gateway.pem", "gateway.key"}


@pytest.fixture
def asked(tmp_path: Path) -> Standalone:
    return Standalone(folder=tmp_path / "new" / "world", backend_port=0, issuer_port=0)


def modes(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


async def test_a_proxy_finds_its_certificates_and_the_issuers_keys_and_nothing_else(asked: Standalone) -> None:
    async with Running(asked) as running:
        assert {path.name for path in asked.folder.iterdir()} == {"tls", "issuer"}
        assert {path.name for path in (asked.folder / "tls").iterdir()} == TLS
        keys = (asked.folder / "issuer" / "jwks.json").read_text()
        assert json.loads(keys) == running.issuer.public_jwks()
        files = [path for path in asked.folder.rglob("*") if path.is_file()]
        private = {path.name for path in files if "PRIVATE KEY" in path.read_text()}
    assert private == {"server.key", "gateway.key"}


async def test_with_these_files_the_backend_can_be_called(asked: Standalone) -> None:
    async with Running(asked) as running:
        tls = asked.folder / "tls"
        files = ((tls / name).read_bytes() for name in ("ca.pem", "gateway.key", "gateway.pem"))
        credentials = grpc.ssl_channel_credentials(*files)
        token = running.issuer.mint("reader")
        options = [("grpc.ssl_target_name_override", "backend.demo.internal")]
        target = f"127.0.0.1:{running.backend.port}"
        async with grpc.aio.secure_channel(target, credentials, options=options) as channel:
            echo = demo_pb2_grpc.DemoStub(channel).Echo  # type: ignore[no-untyped-call]
            reply = await echo(demo_pb2.EchoRequest(text="hello"), metadata=[("authorization", f"Bearer {token}")])
        assert reply.text == "hello"


@pytest.mark.parametrize(("group_readable", "mode"), [(False, 0o600), (True, 0o640)])
@pytest.mark.parametrize("umask", [0o022, 0o077])
async def test_keys_are_for_the_owner_and_only_if_asked_for_the_group(
    asked: Standalone, group_readable: bool, mode: int, umask: int
) -> None:
    before = os.umask(umask)
    try:
        async with Running(replace(asked, group_readable=group_readable)):
            found = modes(asked.folder / "tls")
    finally:
        os.umask(before)
    assert {name: found[name] for name in found if name.endswith(".key")} == {"server.key": mode, "gateway.key": mode}
    assert {found[name] for name in found if name.endswith(".pem")} == {0o644}


async def test_the_issuer_calls_itself_as_it_is_told(asked: Standalone) -> None:
    url = "https://login.example.com"
    async with Running(replace(asked, issuer_url=url)) as running, aiohttp.ClientSession() as session:
        here = f"http://127.0.0.1:{running.issuer.port}"
        async with session.get(f"{here}/.well-known/openid-configuration") as response:
            assert (await response.json())["issuer"] == url
        token = jwt.decode(running.issuer.mint("reader"), options={"verify_signature": False})
        assert token["iss"] == url


async def test_on_every_address_it_calls_itself_by_one_that_can_be_called(asked: Standalone) -> None:
    async with Running(replace(asked, host="0.0.0.0")) as running:
        assert running.issuer.url == f"http://127.0.0.1:{running.issuer.port}"


async def test_started_again_it_replaces_the_files_in_one_step(asked: Standalone) -> None:
    async with Running(asked):
        first = (asked.folder / "tls" / "ca.pem").read_bytes()
    (asked.folder / "tls" / ".ca.pem.new").write_text("of a process that was killed")
    async with Running(asked):
        assert (asked.folder / "tls" / "ca.pem").read_bytes() != first
        assert {path.name for path in (asked.folder / "tls").iterdir()} == TLS


async def test_two_with_one_port_do_not_write_over_each_others_files(asked: Standalone) -> None:
    async with Running(asked) as running:
        before = (asked.folder / "tls" / "ca.pem").read_bytes()
        with pytest.raises(OSError, match=f"127.0.0.1:{running.issuer.port}"):
            await Running(replace(asked, issuer_port=running.issuer.port)).__aenter__()
        assert (asked.folder / "tls" / "ca.pem").read_bytes() == before
