"""How several workers start: what is wrong is said once, and who dies meanwhile is started again."""

import asyncio
import os
import signal
import socket
import struct
import sys
from pathlib import Path

import pytest

from gateway.demo.world import DemoWorld
from tests.faults.workers import SOON, Workers, serving
from tests.support.serving import PROGRAM, site


async def test_what_is_wrong_is_said_once() -> None:
    async with DemoWorld(http_port=0, https_port=0, issuer_port=0, admin_port=0) as world:
        (world.config_path.parent / "gateway.key").unlink()
        process = await asyncio.create_subprocess_exec(
            *(*PROGRAM, "serve", "-c", str(world.config_path), "--workers", "3"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        _, stderr = await asyncio.wait_for(process.communicate(), SOON)
        assert process.returncode == 1
        (line,) = stderr.decode().strip().splitlines()
        assert "upstreams.demo.tls.private_key" in line


@pytest.mark.parametrize("workers", [1, 2])
async def test_the_service_manager_hears_from_the_main_process_when_all_serve(workers: int, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"{tmp_path}/notify")
        manager.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        manager.settimeout(SOON)
        async with site() as place:
            environ = dict(os.environ, NOTIFY_SOCKET=f"{tmp_path}/notify")
            gateway = await place.begin(environ=environ, workers=workers)
            told, [(*_, credentials)], *_ = await asyncio.to_thread(manager.recvmsg, 100, socket.CMSG_SPACE(12))
            assert told == b"READY=1"
            assert struct.unpack("3i", credentials)[0] == gateway.process.pid
            gateway.signal(signal.SIGHUP)
            await gateway.event("configuration_read_again", workers)
            await gateway.started()
            assert all(await Workers(gateway, place.fields()).calls(10))


async def test_two_gateways_do_not_share_an_address_by_mistake() -> None:
    async with site() as place:
        first = await place.serve(workers=2)
        listeners = first.configuration()["listeners"]
        listeners[0]["bind"] = f"127.0.0.1:{first.port}"
        second = await place.begin(workers=2, listeners=listeners)
        assert await second.ended(SOON) == 3
        assert not second.named("ready")


async def test_sighup_while_a_worker_starts_does_not_end_it() -> None:
    async with serving() as workers:
        gateway = workers.gateway
        before = gateway.workers()
        os.kill(before[0], signal.SIGKILL)
        await gateway.event("worker_ended")
        async with asyncio.timeout(SOON):
            while (await gateway.metrics())["gateway_workers_ready"] < 2:
                gateway.signal(signal.SIGHUP)
        assert len(gateway.named("worker_ended")) == 1


async def test_a_worker_that_dies_while_others_start_is_started_again() -> None:
    async with site() as place:
        gateway = await place.begin(workers=2)
        async with asyncio.timeout(SOON):
            while len(processes := gateway.workers()) < 2:  # the second one starts when the first is ready
                await asyncio.sleep(0.01)
        os.kill(processes[0], signal.SIGKILL)
        await gateway.started()
        await gateway.all_ready()
        assert all(await Workers(gateway, place.fields()).calls(20))


async def test_modules_in_the_working_directory_are_not_the_gateways(tmp_path: Path) -> None:
    for name in ("yaml", "click", "gateway"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(9)\n")
    async with site() as place:
        gateway = await place.begin(program=[sys.executable, "-P", "-m", "gateway"], cwd=tmp_path, workers=2)
        await gateway.started()
        assert len(gateway.workers()) == 2
