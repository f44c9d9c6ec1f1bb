"""`serve` with several workers: they share the listeners, one that dies is replaced, and one signal ends all."""

import asyncio
import contextlib
import os
import signal
import socket
import struct
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from gateway.demo.world import DemoWorld
from tests.faults.conftest import Figures
from tests.support.gateway import ORIGIN, at_rest
from tests.support.serving import PROGRAM, Serving, site

ELSEWHERE = "https://elsewhere.example.com"
SOON = 20.0  # seconds for what waits for nothing, on a machine that may be very busy


def lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


class Workers:
    """Two of one gateway, and a caller whom they know."""

    def __init__(self, gateway: Serving, fields: list[tuple[str, str]]) -> None:
        self.gateway = gateway
        self._fields = fields

    async def calls(self, count: int, **headers: str) -> list[bool]:
        """Whether each of so many is answered well."""
        fields = [(name, headers.get(name, value)) for name, value in self._fields]
        return list(await asyncio.gather(*(self.gateway.call(fields) for _ in range(count))))


@contextlib.asynccontextmanager
async def serving(**changes: Any) -> AsyncIterator[Workers]:
    async with site() as place:
        yield Workers(await place.serve(workers=2, **changes), place.fields())


async def test_workers_share_the_port_and_are_seen_together() -> None:
    async with serving() as workers:
        gateway = workers.gateway
        assert len(gateway.workers()) == 2
        assert all(await workers.calls(40))
        metrics = await gateway.metrics()
        assert metrics["gateway_workers_ready"] == 2
        calls = [metrics[f'gateway_calls_total{{code="OK",method="/demo.v1.Demo/Echo",worker="{i}"}}'] for i in (0, 1)]
        assert sum(calls) == 40
        assert all(calls)  # each has had some
        assert await gateway.is_ready()
        assert '"workers": 2' in await gateway.page("config")
        assert {event.get("worker") for event in gateway.named("call")} <= {0, 1}


async def test_a_worker_that_is_killed_is_replaced_and_no_call_is_lost(figures: Figures) -> None:
    async with serving() as workers:
        gateway = workers.gateway
        before = gateway.workers()
        os.kill(before[0], signal.SIGKILL)
        killed = time.monotonic()
        # New connections to the dead one's share wait until its successor accepts them.
        async with asyncio.timeout(20):
            results = await workers.calls(40)
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


async def test_connections_that_wait_for_a_worker_that_is_killed_are_served_by_the_next_one() -> None:
    async with serving() as workers:
        worker, _ = workers.gateway.workers()
        os.kill(worker, signal.SIGSTOP)  # from now on the kernel takes connections for it, and nobody accepts them
        calls = [asyncio.create_task(workers.calls(1)) for _ in range(40)]
        answered = await at_rest(lambda: sum(call.done() for call in calls), pause=1.0)
        assert 0 < answered < len(calls)
        os.kill(worker, signal.SIGKILL)
        async with asyncio.timeout(20):
            assert all(ok for (ok,) in await asyncio.gather(*calls))


async def test_workers_told_to_end_one_after_the_other_lose_no_call(figures: Figures) -> None:
    async with serving() as workers:
        gateway = workers.gateway
        going_on = True
        results: list[bool] = []

        async def load() -> None:
            while going_on:
                results.extend(await workers.calls(1))

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


# -- the end ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_one_signal_drains_all_of_them(number: signal.Signals) -> None:
    async with serving() as workers:
        gateway = workers.gateway
        processes = gateway.workers()
        gateway.signal(number)
        assert await gateway.ended(SOON) == 0
        assert not any(map(lives, processes))


async def test_workers_end_when_the_supervisor_is_killed() -> None:
    async with serving() as workers:
        gateway = workers.gateway
        processes = gateway.workers()
        gateway.process.kill()
        async with asyncio.timeout(SOON):
            while any(map(lives, processes)):
                await asyncio.sleep(0.1)


async def test_nobody_is_started_once_all_are_to_stop() -> None:
    """A worker that waits for its next start when the signal comes does not come back, and nobody waits for it."""
    async with serving(drain="60s") as workers:
        gateway = workers.gateway
        for number in (1, 2, 3, 4):  # it waits longer each time
            await gateway.all_ready()
            os.kill(gateway.workers()[-1], signal.SIGKILL)
            await gateway.event("worker_ended", number)
        gateway.signal()
        assert await gateway.ended(SOON) == 0
        assert len(gateway.named("draining")) == 2  # the supervisor and the other worker


async def test_the_drain_is_as_long_as_the_configuration_in_use_says() -> None:
    async with serving(drain="0s") as workers:
        gateway = workers.gateway
        gateway.reconfigure(drain="45s")
        await gateway.event("configuration_changed", 2)
        gateway.signal()
        assert {event["seconds"] for event in [await gateway.event("draining", number) for number in (1, 2, 3)]} == {45}
        assert await gateway.ended(SOON) == 0


# -- the start --------------------------------------------------------------------------------------------------------


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


# -- the configuration ------------------------------------------------------------------------------------------------


async def test_all_follow_the_configuration() -> None:
    async with serving() as workers:
        gateway = workers.gateway
        gateway.signal(signal.SIGHUP)
        await gateway.event("configuration_read_again", 2)
        cors = gateway.configuration()["cors"]
        cors["allow_origins"].remove(ORIGIN)
        gateway.reconfigure(cors=cors, workers=3)
        await gateway.event("configuration_changed", 2)
        assert "workers" in (await gateway.event("restart_needed"))["sections"]
        assert not any(await workers.calls(20))


async def replaced(gateway: Serving) -> None:
    """Kill all workers, and wait for those that come in their place."""
    before, ended = gateway.workers(), len(gateway.named("worker_ended"))
    for worker in before:
        os.kill(worker, signal.SIGKILL)
    await gateway.event("worker_ended", ended + len(before))
    await gateway.all_ready()
    assert not set(before) & set(gateway.workers())


async def test_a_worker_that_starts_again_has_what_is_in_use_and_not_a_bad_file(figures: Figures) -> None:
    async with serving() as workers:
        gateway = workers.gateway
        good = gateway.path.read_text()
        cors = gateway.configuration()["cors"]
        gateway.reconfigure(cors=cors | {"allow_origins": [ELSEWHERE]})
        await gateway.event("configuration_changed", 2)
        gateway.path.write_text(good + "nonsense: true\n")
        await gateway.event("configuration_refused", 2)
        await replaced(gateway)
        results = await workers.calls(20, origin=ELSEWHERE)
        assert all(results)
        assert not any(await workers.calls(20))
        await gateway.event("configuration_refused", 4)  # the new ones have judged the file, too, and say so
        assert (await gateway.metrics())['gateway_configuration_refused{worker="0"}'] == 1
        gateway.path.write_text(good)
        await gateway.event("configuration_changed", 4)
        assert all(await workers.calls(20))
        assert not any(await workers.calls(20, origin=ELSEWHERE))
        figures(workers_killed=2, calls=len(results), failed=results.count(False))


async def test_what_the_environment_says_is_the_same_and_nobody_else_sees_the_configuration() -> None:
    async with site() as place:
        cors = {"allow_origins": ["${WHERE}"]}
        gateway = await place.begin(environ=dict(os.environ, WHERE=ELSEWHERE), workers=2, cors=cors)
        await gateway.started()
        await replaced(gateway)
        assert all(await Workers(gateway, place.fields()).calls(10, origin=ELSEWHERE))
        seen = [
            Path(f"/proc/{worker}/{what}").read_text()  # noqa: ASYNC240 - no disk is asked
            for worker in gateway.workers()
            for what in ("cmdline", "environ")
        ]
        assert not any("allow_origins" in text for text in seen)


async def test_a_worker_that_starts_again_serves_the_listeners_that_there_are() -> None:
    """Whatever the file says by then, or the plaintext of one could be served on the socket of the other."""
    async with serving() as workers:
        gateway = workers.gateway
        cors = gateway.configuration()["cors"]
        cors["allow_origins"].append(ELSEWHERE)
        gateway.reconfigure(listeners=gateway.configuration()["listeners"][1:], cors=cors)
        await gateway.event("configuration_changed", 2)
        await replaced(gateway)
        assert all(await workers.calls(20))
        assert all(await workers.calls(20, origin=ELSEWHERE))
        await gateway.event("restart_needed", 4)
        assert (await gateway.metrics())['gateway_restart_needed{worker="0"}'] == 1


async def test_a_worker_without_the_keys_that_the_others_have_takes_no_calls() -> None:
    async with site() as place:
        gateway = await place.serve(workers=2)
        issuer = place.world.issuer
        port = urlsplit(issuer.url).port
        assert port is not None
        workers = Workers(gateway, place.fields())
        await issuer.stop()
        os.kill(gateway.workers()[0], signal.SIGKILL)
        assert "auth.issuers[0].jwks: no keys came" in (await gateway.event("worker_ended", 2))["cause"]
        assert all(await workers.calls(40))
        assert (await gateway.metrics())["gateway_workers_ready"] == 1
        await issuer.start(port)
        await gateway.all_ready()
        assert all(await workers.calls(40))


async def test_without_any_worker_one_starts_though_there_are_no_keys() -> None:
    """As at the first start: what needs no token is served."""
    async with site() as place:
        gateway = await place.serve(workers=2)
        await place.world.issuer.stop()
        for worker in gateway.workers():
            os.kill(worker, signal.SIGKILL)
        await gateway.event("worker_ended", 2)
        async with asyncio.timeout(SOON):
            while not (await gateway.metrics())["gateway_workers_ready"]:
                await asyncio.sleep(0.05)


async def test_files_that_have_gone_bad_are_named_until_they_or_the_configuration_are_mended() -> None:
    async with serving() as workers:
        gateway = workers.gateway
        key = gateway.path.with_name("gateway.key")
        moved = key.rename(key.with_name("moved.key"))
        for process in gateway.workers():
            os.kill(process, signal.SIGKILL)
        causes = [(await gateway.event("worker_ended", number))["cause"] for number in (1, 2, 3, 4)]
        assert causes[:2] == ["signal SIGKILL"] * 2
        assert all("upstreams.demo.tls.private_key: no such file:" in cause for cause in causes[2:])
        assert all("as it was when it was last good" in cause for cause in causes[2:])
        upstreams = gateway.configuration()["upstreams"]
        upstreams["demo"]["tls"]["private_key"] = moved.name
        gateway.reconfigure(upstreams=upstreams)
        await gateway.all_ready()
        assert all(await workers.calls(20))
        await replaced(gateway)  # by what they have told
        assert all(await workers.calls(20))
