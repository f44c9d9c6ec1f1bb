"""The demonstration's world: what it leaves on disk, and that its commands do what they say."""

import asyncio
import json
import shutil
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
import grpc.aio
import pytest
from aiohttp import web

from gateway.demo.pb import demo_pb2, demo_pb2_grpc
from gateway.demo.pki import Pki
from gateway.demo.world import DemoWorld
from gateway.settings import load

needs_curl = pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")


@pytest.fixture
async def world() -> AsyncIterator[DemoWorld]:
    async with DemoWorld(http_port=0, https_port=0, issuer_port=0, admin_port=0) as world:
        yield world


async def shell(script: str) -> str:
    process = await asyncio.create_subprocess_exec("/bin/sh", "-c", script, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    assert process.returncode == 0
    return output.decode()


def gateway_credentials(pki: Pki) -> grpc.ChannelCredentials:
    pair = pki.gateway.private_key.read_bytes(), pki.gateway.certificate.read_bytes()
    return grpc.ssl_channel_credentials(pki.ca.read_bytes(), *pair)


def modes(directory: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in (directory, *directory.iterdir())}


async def test_the_configuration_is_one_the_gateway_reads(world: DemoWorld) -> None:
    settings = load(world.config_path)
    plain, tls = settings.listeners
    assert (str(plain.bind.host), plain.bind.port, plain.tls) == ("127.0.0.1", world.http_port, None)
    assert tls.tls is not None
    assert tls.tls.certificate == world.pki.server.certificate
    assert settings.cors.allow_origins == world.origins
    (issuer,) = settings.auth.issuers
    assert (issuer.issuer, issuer.audiences, issuer.jwks) == (world.issuer.url, ("demo-api",), "discover")
    assert settings.authorization.default == "deny"
    roles = {method: rule.roles for rule in settings.authorization.rules for method in rule.methods}
    admin = {"/demo.v1.Demo/Shout": ("admin",)}
    reader = {f"/demo.v1.Demo/{name}": ("reader",) for name in ("Echo", "WhoAmI", "Count", "Fail", "Collect", "Chat")}
    assert roles == admin | reader
    upstream = settings.upstreams["demo"]
    assert upstream.targets == (f"127.0.0.1:{world.backend.port}",)
    assert upstream.tls is not None
    assert (upstream.tls.certificate, upstream.tls.server_name) == (
        world.pki.gateway.certificate,
        "backend.demo.internal",
    )


async def test_origins_are_both_names_of_both_listeners() -> None:
    world = DemoWorld(http_port=80, https_port=8443)
    assert world.origins == (
        "http://127.0.0.1",
        "http://localhost",
        "https://localhost:8443",
        "https://127.0.0.1:8443",
    )


async def test_what_the_page_is_told_is_json_and_true(world: DemoWorld) -> None:
    assert json.loads(json.dumps(world.page_config)) == {
        "issuer": world.issuer.url,
        "client_id": "web",
        "audience": "demo-api",
        "scope": "demo.read demo.admin",
        "gateways": [
            {"name": "gateway", "url": f"http://127.0.0.1:{world.http_port}"},
            {"name": "gateway over TLS", "url": f"https://localhost:{world.https_port}"},
        ],
    }


async def test_everything_is_for_the_owner_and_gone_afterwards() -> None:
    async with DemoWorld(http_port=0, https_port=0, issuer_port=0, admin_port=0) as world:
        directory = world.config_path.parent
        found = modes(directory)
        assert found[directory.name] == 0o700
        assert {mode for name, mode in found.items() if name.endswith(".key")} == {0o600}
        address = ("127.0.0.1", world.backend.port)
    assert not directory.exists()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(*address)


async def test_a_port_that_is_taken_is_named_and_nothing_is_left(
    world: DemoWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    port = urlsplit(world.issuer.url).port
    assert port
    with pytest.raises(OSError, match=f"127.0.0.1:{port}"):
        async with DemoWorld(http_port=0, https_port=0, issuer_port=port):
            pytest.fail("the port is taken")
    assert modes(tmp_path).keys() == {tmp_path.name}


@needs_curl
async def test_the_token_command_gets_a_token_that_the_backend_believes(world: DemoWorld) -> None:
    token = await shell(f'{world.token_command}\nprintf %s "$TOKEN"')
    async with grpc.aio.secure_channel(f"localhost:{world.backend.port}", gateway_credentials(world.pki)) as channel:
        stub: Any = demo_pb2_grpc.DemoStub(channel)
        reply = await stub.WhoAmI(demo_pb2.WhoAmIRequest(), metadata=(("authorization", f"Bearer {token}"),))
    assert (reply.subject, list(reply.roles)) == ("reader@demo", ["reader"])


@needs_curl
async def test_the_curl_command_sends_a_grpc_web_call(world: DemoWorld) -> None:
    async def reply(request: web.Request) -> web.Response:
        body = await request.read()
        seen = f"{request.method} {request.path} {request.content_type} {request.headers['authorization']} {body!r}"
        return web.Response(text=seen)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", reply)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", world.http_port).start()
    try:
        shown = await shell(f"TOKEN=secret\n{world.curl_command}")
    finally:
        await runner.cleanup()
    sent = rb"\x00\x00\x00\x00\x07\n\x05hello".decode()
    assert shown == f"POST /demo.v1.Demo/Echo application/grpc-web+proto Bearer secret b'{sent}'"
