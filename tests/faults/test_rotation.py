"""Certificates that are renewed while calls and streams run: nothing fails, and the backend sees the new identity."""

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway import reload
from gateway.demo.pb import demo_pb2
from gateway.demo.pki import Pair, Pki
from gateway.upstream.backend_link import BackendLink
from gateway.upstream.grpcio import GrpcioUpstream
from gateway.upstream.h2 import H2Upstream
from tests.faults.conftest import Figures
from tests.support.frames import message
from tests.support.gateway import DEMO, Change, Reply, RunningGateway, eventually, running

OLD, NEW = "gateway.demo.internal", "renewed.demo.internal"
ADMITTED = (f"DNS:{OLD}", f"DNS:{NEW}")


@pytest.fixture(params=["h2", "grpcio"])
def over(request: pytest.FixtureRequest) -> Change:
    """The backend is called with either client."""

    def change(configuration: dict[str, Any]) -> None:
        configuration["upstreams"]["demo"]["transport"] = request.param

    return change


@dataclass(frozen=True)
class Connection:
    """What the next call of an upstream with one connection is made on."""

    link: Any

    @property
    def calls(self) -> int:
        return int(self.link.load if isinstance(self.link, BackendLink) else self.link.calls)

    @property
    def closed(self) -> bool:
        """It has said goodbye. grpc's server takes its time to hang up when TLS is closed."""
        return bool(self.link.closing if isinstance(self.link, BackendLink) else self.link.closed)


def connection(gateway: RunningGateway) -> Connection:
    upstream = gateway.gateway.upstream("demo")
    if isinstance(upstream, GrpcioUpstream):
        return Connection(upstream.channels.take())
    assert isinstance(upstream, H2Upstream)
    (link,) = upstream.pool.ready
    return Connection(link)


async def who(gateway: RunningGateway) -> str:
    """The identity that the backend sees."""
    reply = await gateway.post(DEMO + "WhoAmI", message(demo_pb2.WhoAmIRequest()))
    assert reply.code == 0, reply.status
    return demo_pb2.WhoAmIReply.FromString(reply.messages[0]).gateway


async def count(gateway: RunningGateway, number: int, interval_ms: int) -> Reply:
    return await gateway.post(DEMO + "Count", message(demo_pb2.CountRequest(count=number, interval_ms=interval_ms)))


async def test_renewed_files_take_effect_under_load_and_nothing_fails(over: Change, figures: Figures) -> None:
    async with running(over, admit=ADMITTED) as gateway:
        assert await who(gateway) == ADMITTED[0]
        seen: list[str] = []
        stop = asyncio.Event()

        async def load() -> None:
            while not stop.is_set():
                seen.append(await who(gateway))

        streams = [asyncio.create_task(count(gateway, 40, 25)) for _ in range(5)]
        callers = [asyncio.create_task(load()) for _ in range(4)]
        await eventually(lambda: len(seen) > 20)
        for name in (NEW, OLD, NEW):
            gateway.world.pki.issue("gateway", name)
            await eventually(lambda name=name: seen[-1] == f"DNS:{name}", 10)  # type: ignore[misc]
        stop.set()
        await asyncio.gather(*callers)
        for reply in await asyncio.gather(*streams):
            assert reply.code == 0
            assert len(reply.messages) == 40
        assert await who(gateway) == ADMITTED[1]
        figures(calls=len(seen), failed=0, streams=len(streams), rotations=3)  # `who` lets no failure pass


async def test_a_stream_stays_on_the_old_identity_until_it_ends_and_then_the_old_connection_closes(
    over: Change,
) -> None:
    async with running(over, admit=ADMITTED) as gateway:
        assert await who(gateway) == ADMITTED[0]
        old = connection(gateway)
        stream = asyncio.create_task(count(gateway, 20, 50))
        await eventually(lambda: old.calls == 1)
        gateway.world.pki.issue("gateway", NEW)
        await eventually(lambda: connection(gateway) != old, 10)
        assert await who(gateway) == ADMITTED[1]
        assert old.calls == 1
        assert (await stream).code == 0
        await eventually(lambda: old.closed)


@pytest.mark.parametrize("garbage", ["certificate", "private_key"])
async def test_a_bad_pair_is_refused_and_alarmed_and_the_old_one_goes_on(
    garbage: str, over: Change, monkeypatch: pytest.MonkeyPatch, figures: Figures
) -> None:
    monkeypatch.setattr(reload, "PATIENCE", 0.1)
    async with running(over, admit=ADMITTED) as gateway:
        pair = gateway.world.pki.gateway
        good = {path: path.read_bytes() for path in (pair.certificate, pair.private_key)}
        with capture_logs() as events:
            getattr(pair, garbage).write_text("-----BEGIN NONSENSE-----\n")
            written = time.monotonic()
            await eventually(lambda: any(event["event"] == "certificate_refused" for event in events), 10)
        figures(seconds_to_alarm=round(time.monotonic() - written, 2), patience=reload.PATIENCE)
        assert await who(gateway) == ADMITTED[0]
        assert await alarm(gateway)
        for path, content in good.items():
            path.write_bytes(content)
        gateway.world.pki.issue("gateway", NEW)
        await eventually_who(gateway, ADMITTED[1])
        assert not await alarm(gateway)


async def test_a_pair_written_one_file_after_the_other_raises_no_alarm() -> None:
    async with running(admit=ADMITTED) as gateway:
        pair = gateway.world.pki.gateway
        renewed = gateway.world.pki.issue("renewed", NEW)
        with capture_logs() as events:
            pair.certificate.write_bytes(renewed.certificate.read_bytes())
            await asyncio.sleep(0.6)  # longer than the watcher waits for files to settle
            pair.private_key.write_bytes(renewed.private_key.read_bytes())
            await eventually_who(gateway, ADMITTED[1])
        assert all(event["event"] != "certificate_refused" for event in events)


async def test_a_folder_that_a_symbolic_link_points_to_may_be_swapped(tmp_path: Path) -> None:
    """As Kubernetes renews a mounted secret: a new folder, then one rename of the link to it."""

    def provide(version: str, pair: Pair) -> None:
        folder = tmp_path / version
        folder.mkdir()
        (folder / "tls.crt").write_bytes(pair.certificate.read_bytes())
        (folder / "tls.key").write_bytes(pair.private_key.read_bytes())
        (tmp_path / "..new").symlink_to(folder)
        (tmp_path / "..new").replace(tmp_path / "..data")

    def mount(configuration: dict[str, Any], pki: Pki) -> None:
        provide("v1", pki.gateway)
        tls = configuration["upstreams"]["demo"]["tls"]
        for key, name in (("certificate", "tls.crt"), ("private_key", "tls.key")):
            (tmp_path / name).symlink_to(tmp_path / "..data" / name)
            tls[key] = str(tmp_path / name)

    async with running(pki_change=mount, admit=ADMITTED) as gateway:
        assert await who(gateway) == ADMITTED[0]
        provide("v2", gateway.world.pki.issue("renewed", NEW))
        await eventually_who(gateway, ADMITTED[1])


async def eventually_who(gateway: RunningGateway, identity: str) -> None:
    async with asyncio.timeout(10):
        while await who(gateway) != identity:
            await asyncio.sleep(0.05)


async def alarm(gateway: RunningGateway) -> bool:
    async with gateway.session.get(f"{gateway.gateway.admin_url}/metrics") as response:
        return 'gateway_certificate_refused{upstream="demo"} 1.0' in await response.text()
