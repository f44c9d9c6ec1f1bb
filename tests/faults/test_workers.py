"""`serve` with several workers: they share the listeners, one that dies is replaced, and one signal ends all."""

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from gateway.demo.pb import demo_pb2
from gateway.demo.world import DemoWorld
from tests.faults.conftest import Figures
from tests.support.frames import message
from tests.support.gateway import DEMO, ORIGIN


class Serving:
    """A supervisor and its workers, as a user runs them."""

    def __init__(self, process: asyncio.subprocess.Process, world: DemoWorld, session: aiohttp.ClientSession) -> None:
        self.process = process
        self.world = world
        self.session = session
        self.events: list[dict[str, Any]] = []
        self.url = self.admin = ""
        self._changed = asyncio.Condition()
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            async with self._changed:
                self.events.append(json.loads(line))
                self._changed.notify_all()

    async def event(self, name: str, count: int = 1) -> dict[str, Any]:
        """The event of that name, when there have been so many."""

        def found() -> list[dict[str, Any]]:
            return [event for event in self.events if event["event"] == name]

        async with asyncio.timeout(20), self._changed:
            await self._changed.wait_for(lambda: len(found()) >= count)
        return found()[count - 1]

    async def call(self, **options: Any) -> bool:
        """Whether one is answered well."""
        headers = {
            "content-type": "application/grpc-web+proto",
            "origin": ORIGIN,
            "authorization": f"Bearer {self.world.issuer.mint('reader')}",
        }
        body = message(demo_pb2.EchoRequest(text="x"))
        async with self.session.post(f"{self.url}{DEMO}Echo", data=body, headers=headers, **options) as reply:
            return b"grpc-status:0" in await reply.read()

    async def metrics(self) -> dict[str, float]:
        async with self.session.get(f"{self.admin}/metrics") as response:
            lines = (await response.text()).splitlines()
        series = (line.rpartition(" ") for line in lines if not line.startswith("#"))
        return {name: float(value) for name, _, value in series}

    async def all_ready(self, workers: int = 2) -> None:
        async with asyncio.timeout(20):
            while (await self.metrics())["gateway_workers_ready"] < workers:
                await asyncio.sleep(0.1)

    def workers(self) -> list[int]:
        """Process ids."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return sorted(map(int, children.split()))


def lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


@contextlib.asynccontextmanager
async def serving(workers: int = 2, **changes: Any) -> AsyncIterator[Serving]:
    async with DemoWorld(http_port=0, https_port=0, issuer_port=0, admin_port=0) as world:
        configuration = yaml.safe_load(world.config_path.read_text())
        configuration["listeners"] = [{"bind": "127.0.0.1:0"}]
        configuration["cors"]["allow_origins"].append(ORIGIN)
        configuration["observability"] = {"log": {"format": "json"}}
        path = world.config_path.with_name("workers.yaml")
        path.write_text(yaml.safe_dump(configuration | {"workers": workers} | changes))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway", "serve", "-c", str(path)), stdout=asyncio.subprocess.PIPE
        )
        # Each call on a connection of its own, so that both workers get some.
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
            one = Serving(process, world, session)
            try:
                ready = await one.event("ready")
                one.url, one.admin = ready["listeners"][0], ready["admin"]
                yield one
            finally:
                if process.returncode is None:
                    process.kill()
                await process.wait()
                await one._reading


async def test_workers_share_the_port_and_are_seen_together() -> None:
    async with serving() as gateway:
        assert len(gateway.workers()) == 2
        assert all(await asyncio.gather(*(gateway.call() for _ in range(40))))
        metrics = await gateway.metrics()
        assert metrics["gateway_workers_ready"] == 2
        calls = [metrics[f'gateway_calls_total{{code="OK",method="/demo.v1.Demo/Echo",worker="{i}"}}'] for i in (0, 1)]
        assert sum(calls) == 40
        assert all(calls)  # each has had some
        async with gateway.session.get(f"{gateway.admin}/readyz") as response:
            assert response.status == 200
        async with gateway.session.get(f"{gateway.admin}/config") as response:
            assert (await response.json())["workers"] == 2
        assert {event.get("worker") for event in gateway.events if event["event"] == "call"} <= {0, 1}


async def test_a_worker_that_is_killed_is_replaced_and_no_call_is_lost(figures: Figures) -> None:
    async with serving() as gateway:
        before = gateway.workers()
        os.kill(before[0], signal.SIGKILL)
        killed = time.monotonic()
        # New connections to the dead one's share wait until its successor accepts them.
        results = await asyncio.gather(*(gateway.call() for _ in range(40)))
        assert all(results)
        assert (await gateway.event("worker_ended"))["cause"] == "signal SIGKILL"
        await gateway.all_ready()
        figures(
            calls=len(results), failed=results.count(False), seconds_to_replaced=round(time.monotonic() - killed, 2)
        )
        after = gateway.workers()
        assert len(after) == 2
        assert before[1] in after
        assert (await gateway.metrics())['gateway_worker_restarts_total{worker="0"}'] == 1


async def test_workers_told_to_end_one_after_the_other_lose_no_call(figures: Figures) -> None:
    async with serving() as gateway:
        going_on = True
        results: list[bool] = []

        async def load() -> None:
            while going_on:
                results.append(await gateway.call())

        callers = [asyncio.create_task(load()) for _ in range(4)]
        for number, worker in enumerate(gateway.workers()):
            os.kill(worker, signal.SIGTERM)
            await gateway.event("worker_ended", number + 1)
            await gateway.all_ready()
        going_on = False
        await asyncio.gather(*callers)
        assert len(results) > len(callers)
        assert all(results)
        figures(calls=len(results), failed=results.count(False), workers_ended=2)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_one_signal_drains_all_of_them(number: signal.Signals) -> None:
    async with serving() as gateway:
        workers = gateway.workers()
        gateway.process.send_signal(number)
        assert await asyncio.wait_for(gateway.process.wait(), 20) == 0
        assert not any(map(lives, workers))


async def test_workers_end_when_the_supervisor_is_killed() -> None:
    async with serving() as gateway:
        workers = gateway.workers()
        gateway.process.kill()
        async with asyncio.timeout(20):
            while any(map(lives, workers)):
                await asyncio.sleep(0.1)


async def test_all_follow_the_configuration() -> None:
    async with serving() as gateway:
        gateway.process.send_signal(signal.SIGHUP)
        await gateway.event("configuration_read_again", 2)
        path = gateway.world.config_path.with_name("workers.yaml")
        changed = yaml.safe_load(path.read_text())
        changed["cors"]["allow_origins"].remove(ORIGIN)
        path.write_text(yaml.safe_dump(changed | {"workers": 3}))
        await gateway.event("configuration_changed", 2)
        assert "workers" in (await gateway.event("restart_needed"))["sections"]
        assert not any(await asyncio.gather(*(gateway.call() for _ in range(20))))


async def test_what_is_wrong_is_said_once() -> None:
    async with DemoWorld(http_port=0, https_port=0, issuer_port=0, admin_port=0) as world:
        (world.config_path.parent / "gateway.key").unlink()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway", "serve", "-c", str(world.config_path), "--workers", "3"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        _, stderr = await asyncio.wait_for(process.communicate(), 20)
        assert process.returncode == 1
        (line,) = stderr.decode().strip().splitlines()
        assert "upstreams.demo.tls.private_key" in line
