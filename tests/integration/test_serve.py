"""`serve` as a process: the ready event, signals, exit codes."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from gateway.demo.world import DemoWorld
from tests.support import http2

START, END = 60.0, 20.0  # seconds for a process to be ready or over, and to end, on a machine that is very busy


@pytest.fixture
async def world() -> AsyncIterator[DemoWorld]:
    async with DemoWorld(http_port=0, https_port=0, issuer_port=0, admin_port=0) as demo_world:
        yield demo_world


def configure(world: DemoWorld, **changes: Any) -> Path:
    configuration = yaml.safe_load(world.config_path.read_text())
    configuration["listeners"] = [{"bind": "127.0.0.1:0"}]
    configuration["observability"] = {"log": {"format": "json"}}
    path = world.config_path.with_name("other.yaml")
    path.write_text(yaml.safe_dump(configuration | changes))
    return path


@contextlib.asynccontextmanager
async def serving(*arguments: str | Path) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", *map(str, arguments)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"GRPC_VERBOSITY": "NONE"},
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def event(process: asyncio.subprocess.Process, name: str) -> dict[str, Any]:
    """The next event of that name in the log."""
    assert process.stdout is not None
    async with asyncio.timeout(START):
        while line := await process.stdout.readline():
            found: dict[str, Any] = json.loads(line)
            if found["event"] == name:
                return found
    raise AssertionError(f"the log ended without {name}")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_says_when_it_is_ready_and_ends_well_on_a_signal(world: DemoWorld, number: signal.Signals) -> None:
    async with serving("serve", "-c", configure(world)) as process:
        ready = await event(process, "ready")
        host, port = ready["listeners"][0].removeprefix("http://").split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        async with http2.connect(int(port)) as client:
            process.send_signal(number)
            await event(process, "stopped")
            assert await asyncio.wait_for(process.wait(), END) == 0
            assert client.goaway is not None
            await client.until_closed()
        writer.close()


async def test_the_log_is_one_json_object_a_line(world: DemoWorld) -> None:
    async with serving("serve", "-c", configure(world)) as process:
        ready = await event(process, "ready")
        assert {"level", "timestamp", "version", "admin"} <= ready.keys()


async def test_a_taken_port_is_exit_code_3_and_one_line(world: DemoWorld) -> None:
    taken = f"127.0.0.1:{world.backend.port}"
    async with serving("serve", "-c", configure(world, listeners=[{"bind": taken}])) as process:
        _, stderr = await asyncio.wait_for(process.communicate(), START)
        assert process.returncode == 3
        (line,) = stderr.decode().strip().splitlines()
        assert taken in line
        assert "in use" in line


async def test_a_missing_certificate_is_exit_code_1_and_names_key_and_line(world: DemoWorld) -> None:
    (world.config_path.parent / "gateway.key").unlink()
    async with serving("serve", "-c", world.config_path) as process:
        _, stderr = await asyncio.wait_for(process.communicate(), START)
        assert process.returncode == 1
        (line,) = stderr.decode().strip().splitlines()
        assert "upstreams.demo.tls.private_key" in line
        assert f"{world.config_path}:" in line


async def test_check_finds_the_demo_fine_online_and_says_what_is_down(world: DemoWorld) -> None:
    async with serving("check", "-c", world.config_path) as process:
        stdout, stderr = await asyncio.wait_for(process.communicate(), START)
        assert process.returncode == 0, stderr.decode()
        assert stdout.decode().strip().endswith(": fine")
    await world.backend.stop()
    async with serving("check", "-c", world.config_path) as process:
        _, stderr = await asyncio.wait_for(process.communicate(), START)
        assert process.returncode == 1
        assert "upstreams.demo.targets" in stderr.decode()
    async with serving("check", "--offline", "-c", world.config_path) as process:
        await asyncio.wait_for(process.communicate(), START)
        assert process.returncode == 0


async def test_check_asks_the_backends_for_their_methods(world: DemoWorld) -> None:
    rules = [{"methods": ["/demo.v1.Demo/Ecko"], "roles": ["reader"]}]
    path = configure(world, authorization={"rules": rules, "descriptors": "reflection"})
    async with serving("check", "-c", path) as process:
        _, stderr = await asyncio.wait_for(process.communicate(), START)
        assert process.returncode == 1
        first, _ = stderr.decode().strip().splitlines()
        assert "authorization.rules[0].methods[0]: no such method: /demo.v1.Demo/Ecko" in first
        assert "did you mean /demo.v1.Demo/Echo?" in first


async def test_dev_puts_a_page_on_this_machine_through_without_a_token(world: DemoWorld) -> None:
    pki = world.pki
    tls = ["--ca", pki.ca, "--cert", pki.gateway.certificate, "--key", pki.gateway.private_key]
    target = f"localhost:{world.backend.port}"
    async with serving("dev", target, "--port", "0", *tls) as process:
        assert process.stdout is not None
        async with asyncio.timeout(START):
            while b"Browsers call http://127.0.0.1:" not in (line := await process.stdout.readline()):
                assert line
        port = int(line.split(b"http://127.0.0.1:")[1].split(b";")[0])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            b"POST /grpc.health.v1.Health/Check HTTP/1.1\r\nhost: x\r\norigin: http://localhost:5173\r\n"
            b"content-type: application/grpc-web\r\ncontent-length: 5\r\nconnection: close\r\n\r\n\0\0\0\0\0"
        )
        answer = await asyncio.wait_for(reader.read(), END)
        writer.close()
        assert b"access-control-allow-origin: http://localhost:5173" in answer
        assert b"grpc-status:0" in answer
        process.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(process.wait(), END) == 0


async def test_it_follows_its_configuration_and_reads_it_again_on_sighup(world: DemoWorld) -> None:
    path = configure(world)
    good = path.read_text()
    async with serving("serve", "-c", path) as process:
        await event(process, "ready")
        path.write_text(good.replace("require_origin", "requires_origin") + "nonsense: true\n")
        refused = await event(process, "configuration_refused")
        assert any("nonsense" in problem and str(path) in problem for problem in refused["problems"])
        changed = yaml.safe_load(good)
        changed["drain"] = "3s"
        path.write_text(yaml.safe_dump(changed))
        assert (await event(process, "configuration_changed"))["sections"] == ["drain"]
        process.send_signal(signal.SIGHUP)
        await event(process, "configuration_read_again")
        process.send_signal(signal.SIGTERM)
        assert (await event(process, "draining"))["seconds"] == 3
        assert await asyncio.wait_for(process.wait(), END) == 0


async def test_a_change_of_the_log_takes_effect(world: DemoWorld) -> None:
    path = configure(world)
    async with serving("serve", "-c", path) as process:
        admin = (await event(process, "ready"))["admin"]
        changed = yaml.safe_load(path.read_text())
        changed["observability"]["log"]["level"] = "error"
        path.write_text(yaml.safe_dump(changed))
        async with aiohttp.ClientSession(admin) as session, asyncio.timeout(END):
            while (await (await session.get("/config")).json())["observability"]["log"]["level"] != "error":
                await asyncio.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        stdout, _ = await process.communicate()
        assert "stopped" not in stdout.decode()
