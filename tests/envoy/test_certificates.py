"""Certificates towards backends and towards browsers, and what happens when they are renewed."""

import asyncio
import ssl
from pathlib import Path

import pytest

from gateway.demo.pki import Pair, Pki
from gateway.demo.world import DemoWorld
from tests.envoy.proxied import (
    ORIGIN,
    Document,
    client_context,
    demo,
    document,
    path,
    proxied,
    scripted,
    server_context,
    status,
    who_am_i,
)
from tests.support.backends import relay
from tests.support.wire import Wire, connect, request

UNAVAILABLE = 14
OLD, NEW = "DNS:gateway.demo.internal", "DNS:new.demo.internal"
LISTENER = "listener.127.0.0.1_0.server_ssl_socket_factory.ssl_context_update_by_sds"
CLUSTER = "cluster.demo.client_ssl_socket_factory.ssl_context_update_by_sds"


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    return Pki(tmp_path)


def upstream(pki: Pki, *targets: str, **tls: str) -> Document:
    section = {"services": ["test.v1.Script"], "targets": list(targets), "tls": {"ca": str(pki.ca), **tls}}
    return document(upstreams={"script": section})


# -- the backend's -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "tls"),
    [
        (["other.test", "backend.test"], {"server_name": "backend.test"}),
        (["*.test"], {"server_name": "backend.test"}),
        (["127.0.0.1"], {}),
        (["127.0.0.1"], {"server_name": "127.0.0.1"}),
    ],
)
async def test_a_backend_whose_certificate_has_the_name(
    pki: Pki, tmp_path: Path, names: list[str], tls: dict[str, str]
) -> None:
    its = server_context(pki.issue("its", *names))
    async with scripted(its) as (backend, [port]), proxied(upstream(pki, f"127.0.0.1:{port}", **tls), tmp_path) as to:
        assert status(await to.call(path("Ping"))) == 0
    assert len(backend.arrivals) == 1


@pytest.mark.parametrize(
    ("names", "tls"),
    [
        (["a.backend.test", "backend.test.evil.test", "backend.tes"], {"server_name": "backend.test"}),
        (["*.test"], {"server_name": "a.backend.test"}),
        (["127.0.0.1"], {"server_name": "backend.test"}),
        (["backend.test"], {}),
        (["127.0.0.2"], {}),
    ],
)
async def test_a_backend_whose_certificate_has_another_name_gets_no_call(
    pki: Pki, tmp_path: Path, names: list[str], tls: dict[str, str]
) -> None:
    its = server_context(pki.issue("its", *names))
    async with scripted(its) as (backend, [port]), proxied(upstream(pki, f"127.0.0.1:{port}", **tls), tmp_path) as to:
        assert status(await to.call(path("Ping"))) == UNAVAILABLE
        assert await to.stat("cluster.script.ssl.fail_verify_san") == 1
    assert backend.arrivals == []


async def test_a_backend_that_another_authority_signed_gets_no_call(pki: Pki, tmp_path: Path) -> None:
    (tmp_path / "foreign").mkdir()
    its = server_context(Pki(tmp_path / "foreign").issue("its", "127.0.0.1"))
    async with scripted(its) as (backend, [port]), proxied(upstream(pki, f"127.0.0.1:{port}"), tmp_path) as to:
        assert status(await to.call(path("Ping"))) == UNAVAILABLE
    assert backend.arrivals == []


async def test_each_of_several_hosts_must_have_its_own_name(pki: Pki, tmp_path: Path) -> None:
    first, second = (server_context(pki.issue(name, "a.localhost")) for name in ("first", "second"))
    async with (
        scripted(first) as (good, [port]),
        scripted(second) as (bad, [other]),
        proxied(upstream(pki, f"a.localhost:{port}", f"b.localhost:{other}"), tmp_path) as to,
    ):
        answers = [status(await to.call(path("Ping"))) for _ in range(4)]
    assert sorted(answers) == [0, 0, UNAVAILABLE, UNAVAILABLE]
    assert len(good.arrivals) == 2
    assert bad.arrivals == []


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_backend_that_speaks_one_version_only(pki: Pki, tmp_path: Path, version: ssl.TLSVersion) -> None:
    its = server_context(pki.issue("its", "127.0.0.1"))
    its.minimum_version = its.maximum_version = version
    async with scripted(its) as (_, [port]), proxied(upstream(pki, f"127.0.0.1:{port}"), tmp_path) as to:
        assert status(await to.call(path("Ping"))) == 0


# -- the listener's ----------------------------------------------------------------------------------------------------


async def test_a_browser_older_than_the_minimum_version(pki: Pki, tmp_path: Path) -> None:
    tls = {"certificate": str(pki.server.certificate), "private_key": str(pki.server.private_key)}
    listener = {"bind": "127.0.0.1:0", "tls": {**tls, "minimum_version": "TLSv1.3"}}
    context = client_context(pki)
    async with scripted(None) as (_, [port]):
        settings = document(listeners=[listener], upstreams={"script": section(port)})
        async with proxied(settings, tmp_path) as to:
            assert status(await to.call(path("Ping"), context=context)) == 0
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
                await to.call(path("Ping"), context=context)


# -- renewed -----------------------------------------------------------------------------------------------------------


async def test_a_renewed_client_certificate_is_shown_on_new_connections_and_no_call_fails() -> None:
    async with relay() as wire:

        def through_the_wire(edited: Document, world: DemoWorld) -> None:
            wire.backend_port = world.backend.port
            edited["upstreams"]["demo"]["targets"] = [f"127.0.0.1:{wire.port}"]

        async with demo(through_the_wire, watched=True, admit=(OLD, NEW)) as (world, to):
            assert await who_am_i(world, to) == OLD
            loaded = await to.stat(CLUSTER)
            world.pki.issue("gateway", NEW.removeprefix("DNS:"))  # moves the key into place, then the certificate
            async with asyncio.timeout(5):
                while await to.stat(CLUSTER) == loaded:
                    assert await who_am_i(world, to) == OLD
            assert await who_am_i(world, to) == OLD
            assert wire.connections == 1
            wire.cut()
            await to.until("cluster.demo.upstream_cx_destroy", 1)
            assert await who_am_i(world, to) == NEW
            assert wire.connections == 2


async def test_a_renewed_listener_certificate_is_shown_to_new_connections() -> None:
    async with demo(watched=True) as (world, to):
        context, port = client_context(world.pki), to.envoy.ports[1]
        async with connect(port, context=context) as before:
            loaded = await to.stat(LISTENER)
            world.pki.issue("server", "localhost")
            await to.until(LISTENER, loaded + 1)
            async with connect(port, context=context) as after:
                assert serial(after) != serial(before)
            answer = await before.ask(request("/", [("origin", ORIGIN)], method="GET"))
            assert answer.status == 404  # the connection that was there goes on


async def test_a_certificate_and_key_in_folders_of_their_own() -> None:
    def apart(edited: Document, world: DemoWorld) -> None:
        folder = world.pki.directory
        for name in ("certificate", "private_key"):
            (folder / name).mkdir()
            moved = folder / name / "server.pem"
            getattr(world.pki.server, name).rename(moved)
            edited["listeners"][1]["tls"][name] = str(moved)

    async with demo(apart, watched=True) as (world, to):
        context, port = client_context(world.pki), to.envoy.ports[1]
        async with connect(port, context=context) as before:
            first = serial(before)
        loaded = await to.stat(LISTENER)
        renewed: Pair = world.pki.issue("server", "localhost")
        renewed.certificate.replace(world.pki.directory / "certificate" / "server.pem")
        await to.until("sds.listener.1-certificate.key_rotation_failed", 1)
        renewed.private_key.replace(world.pki.directory / "private_key" / "server.pem")
        await to.until(LISTENER, loaded + 1)
        async with connect(port, context=context) as after:
            assert serial(after) != first


async def test_a_bad_certificate_leaves_the_old_one_in_place() -> None:
    async with demo(watched=True) as (world, to):
        unfinished = world.pki.directory / "unfinished"
        unfinished.write_text("garbage")
        unfinished.replace(world.pki.server.certificate)
        await to.until("sds.listener.1-certificate.key_rotation_failed", 1)
        assert await who_am_i(world, to, listener=1, context=client_context(world.pki)) == OLD
    assert any("Failed to reload certificates" in line for line in to.said)


async def test_a_renewed_authority_is_believed(pki: Pki, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    new = Pki(tmp_path / "new")
    its = server_context(new.issue("its", "127.0.0.1"))
    async with (
        scripted(its) as (_, [port]),
        proxied(upstream(pki, f"127.0.0.1:{port}"), tmp_path, watched=True) as to,
    ):
        assert status(await to.call(path("Ping"))) == UNAVAILABLE
        name = CLUSTER.replace("demo", "script")
        loaded = await to.stat(name)
        new.ca.replace(pki.ca)
        await to.until(name, loaded + 1)
        assert status(await to.call(path("Ping"))) == 0


def section(port: int) -> Document:
    return {
        "services": ["test.v1.Script"],
        "targets": [f"127.0.0.1:{port}"],
        "plaintext": True,
        "allow_insecure_tokens": True,
    }


def serial(wire: Wire) -> str:
    return str(wire.writer.get_extra_info("peercert")["serialNumber"])
