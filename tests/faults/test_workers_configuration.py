"""The configuration of several workers: all have the same, whenever they start."""

import asyncio
import os
import signal
from pathlib import Path
from urllib.parse import urlsplit

from tests.faults.conftest import Figures
from tests.faults.reloading import ELSEWHERE
from tests.faults.workers import SOON, Workers, serving
from tests.support.gateway import ORIGIN
from tests.support.serving import Serving, site


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
