"""The commands of README.md, run: what they print, and what follows."""

import asyncio
import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest

from gateway.demo.world import DemoWorld
from gateway.settings import Settings
from tests.integration.readme.page import BLOCKS, CALL, CHECK, DEV, PROGRAM, RENDER, SCHEMA, SERVE, TEXT, YAML
from tests.integration.readme.shell import run, started
from tests.support.envoy import require_envoy
from tests.support.gateway import running


def arrange(world: DemoWorld, folder: Path) -> None:
    """The certificates of `world` under the names that README.md gives them."""
    (folder / "tls").mkdir()
    shutil.copy(world.pki.ca, folder / "tls" / "ca.pem")
    for name, pair in {"server": world.pki.server, "client": world.pki.gateway}.items():
        shutil.copy(pair.certificate, folder / "tls" / f"{name}.pem")
        shutil.copy(pair.private_key, folder / "tls" / f"{name}.key")


@pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")
async def test_the_steps_to_a_backend_of_ones_own(world: DemoWorld, tmp_path: Path) -> None:
    arrange(world, tmp_path)
    text = YAML[0].text
    for theirs, here in {
        "0.0.0.0:8443": f"127.0.0.1:{world.https_port}",
        "https://login.example.com/": world.issuer.url,
        "shop.internal:50051": f"127.0.0.1:{world.backend.port}",
        "server_name: shop.internal": "server_name: backend.demo.internal",
    }.items():
        assert theirs in text
        text = text.replace(theirs, here)
    (tmp_path / "gateway.yaml").write_text(text + "admin: null\n")
    code, out, errors = await run(CHECK, tmp_path)
    assert (code, errors) == (0, "")
    assert out.endswith("gateway.yaml: fine\n")
    async with started(SERVE, tmp_path, '"event":"ready"'):
        call = CALL.replace("api.example.com:8443", f"localhost:{world.https_port}")
        code, out, errors = await run(call, tmp_path, CURL_CA_BUNDLE=str(world.pki.ca))
        assert (code, errors) == (0, "")
        assert out.endswith("grpc-status:0^M\n")
    assert world.backend.calls == {"/grpc.health.v1.Health/Check": 1}


async def test_a_service_calls_the_same_port(tmp_path: Path) -> None:
    def nothing_is_public(configuration: dict[str, Any]) -> None:
        configuration["auth"]["public_methods"] = []
        configuration["authorization"] = {"default": "authenticated"}

    async with running(nothing_is_public) as gateway:
        (url,) = (url for url in gateway.gateway.urls if url.startswith("https"))
        assert "api.example.com:8443" in PROGRAM
        (tmp_path / "program.py").write_text(PROGRAM.replace("api.example.com", "localhost").replace("8443", url[-5:]))
        roots = {"GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": str(gateway.world.pki.ca)}
        assert all(f"`{name}=tls/ca.pem`" in TEXT for name in roots)
        code, out, errors = await run("python program.py", tmp_path, TOKEN=gateway.token(), **roots)
        assert (code, out, errors) == (0, "status: SERVING\n\n", "")
        code, _, errors = await run("python program.py", tmp_path, TOKEN="other", **roots)
        assert (code, "UNAUTHENTICATED" in errors) == (1, True)
        reply = await gateway.echo(headers=gateway.headers(content_type="application/grpc"))
        assert reply.http == 415


async def test_the_configuration_of_envoy_is_made(world: DemoWorld, tmp_path: Path) -> None:
    require_envoy()
    arrange(world, tmp_path)
    text = YAML[0].text.replace("https://login.example.com/", world.issuer.url)
    (tmp_path / "gateway.yaml").write_text(text)
    code, out, errors = await run(RENDER, tmp_path)
    assert (code, errors.splitlines()[-1]) == (0, "Envoy takes it.")
    assert out.splitlines()[0] == "envoy.yaml"
    assert {path.name for path in (tmp_path / "envoy-secrets").iterdir()} == {
        *("listener.0-certificate.yaml", "shop-certificate.yaml", "shop-ca.yaml"),
    }


async def test_check_tells_the_sample(world: DemoWorld, tmp_path: Path) -> None:
    arrange(world, tmp_path)
    shutil.copy(world.pki.server.private_key, tmp_path / "tls" / "client.key")
    (tmp_path / "gateway.yaml").write_text(YAML[0].text.replace("audiences: [shop-api]", "audiences: []"))
    code, out, errors = await run(f"{CHECK} --offline", tmp_path)
    assert (code, out) == (1, "")
    (sample,) = (block.text for block in BLOCKS if "gateway.yaml:13:" in block.text)
    assert re.sub(r"hint: .*\)", "hint: …)", errors.replace(str(tmp_path), "/srv/shop")) == sample


async def test_dev_starts_as_written(world: DemoWorld, tmp_path: Path) -> None:
    arrange(world, tmp_path)

    async def start(command: str) -> None:
        target = shlex.split(command)[2]
        kind = "TLS" if "--ca" in command or "--tls" in command else "plaintext"
        async with started(f"{command} --port 0", tmp_path, "calls go to") as (_, printed):
            assert f"calls go to {target} ({kind})" in printed

    await asyncio.gather(*map(start, DEV))


async def test_the_schema_goes_to_a_file(tmp_path: Path) -> None:
    assert await run(SCHEMA, tmp_path) == (0, "", "")
    assert set(json.loads((tmp_path / "gateway.schema.json").read_text())["properties"]) == set(Settings.model_fields)


async def test_the_demonstration_prints_the_sample(tmp_path: Path) -> None:
    command = "grpcweb-gateway demo --http-port 0 --https-port 0 --issuer-port 0"
    async with started(command, tmp_path, "Ctrl-C stops") as (_, printed):
        pass
    (sample,) = (block.text for block in BLOCKS if "The page" in block.text)
    for line in filter(None, sample.splitlines()):
        pattern = re.sub(r"(?<=:)\d{4,5}\b", r"\\d+", re.escape(line)).replace("…", r".+")
        assert re.search(f"^{pattern}$", printed, re.MULTILINE), line
