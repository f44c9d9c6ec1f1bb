"""How several workers start: what is wrong is said once, who dies is started again, and an issuer may be late."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import struct
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from gateway.demo.world import DemoWorld
from tests.faults.workers import SOON, Workers, serving
from tests.support.gateway import DEMO
from tests.support.key_server import KeyServer, key_server
from tests.support.serving import PROGRAM, Serving, Site, site

KEYS = "/keys"
HEALTH = "/grpc.health.v1.Health/Check"  # needs no token


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


# -- issuers that are late -------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def keys_elsewhere() -> AsyncIterator[tuple[Site, KeyServer, dict[str, Any]]]:
    """A server that has the keys, and the section `auth` that says so."""
    async with site() as place, key_server() as server:
        auth = yaml.safe_load(place.world.config_path.read_text())["auth"]
        auth["issuers"][0]["jwks"] = server.url + KEYS
        server.pages[KEYS] = json.dumps(place.world.issuer.public_jwks()).encode()
        yield place, server, auth


async def trailers(place: Site, gateway: Serving, path: str) -> str:
    """Of a call with an empty message and a good token."""
    async with place.session.post(gateway.url + path, data=bytes(5), headers=place.fields()) as reply:
        return (await reply.read()).decode(errors="replace")


async def all_answered(workers: Workers) -> None:
    async with asyncio.timeout(SOON):
        while not all(await workers.calls(20)):
            await asyncio.sleep(0.05)


async def test_workers_start_before_their_issuer_as_a_single_one_does() -> None:
    async with keys_elsewhere() as (place, server, auth):
        await server.stop()
        gateway = await place.serve(workers=2, auth=auth)
        assert not await gateway.is_ready()
        for path, status in ((f"{DEMO}Echo", 16), (HEALTH, 0)) * 10:
            assert f"grpc-status:{status}" in await trailers(place, gateway, path)
        assert (await gateway.metrics())["gateway_workers_ready"] == 2
        await server.start()
        await all_answered(Workers(gateway, place.fields()))
        assert await gateway.is_ready()
        assert not gateway.named("worker_ended")


async def test_each_issuer_is_judged_for_itself() -> None:
    """One that is late for all keeps nobody from starting; one that is down, but known to the others, does."""
    async with keys_elsewhere() as (place, server, auth):
        dead = auth["issuers"][0] | {"issuer": "http://127.0.0.1:1", "jwks": "http://127.0.0.1:1/keys"}
        gateway = await place.serve(workers=2, auth=auth | {"issuers": [dead, *auth["issuers"]]})
        workers = Workers(gateway, place.fields())
        assert all(await workers.calls(20))
        os.kill(gateway.workers()[0], signal.SIGKILL)
        await gateway.event("worker_ended")
        await gateway.all_ready()
        assert all(await workers.calls(20))
        await server.stop()
        os.kill(gateway.workers()[0], signal.SIGKILL)
        cause = (await gateway.event("worker_ended", 3))["cause"]
        assert "auth.issuers[1].jwks: no keys came" in cause
        assert "auth.issuers[0]" not in cause
        assert all(await workers.calls(20))
        await server.start()
        await gateway.all_ready()
        assert all(await workers.calls(20))


async def test_an_issuer_that_answers_only_the_first_worker_does_not_end_it() -> None:
    async with keys_elsewhere() as (place, server, auth):
        keys = server.pages[KEYS]
        assert isinstance(keys, bytes)

        async def once(_request: web.Request) -> web.Response:
            return web.Response(body=keys) if server.requests[KEYS] == 1 else web.Response(status=503)

        server.pages[KEYS] = once
        gateway = await place.serve(workers=2, auth=auth)
        assert "auth.issuers[0].jwks: no keys came" in (await gateway.event("worker_ended"))["cause"]
        workers = Workers(gateway, place.fields())
        assert all(await workers.calls(20))
        assert await gateway.is_ready()
        server.pages[KEYS] = keys
        await gateway.all_ready()
        assert all(await workers.calls(20))
