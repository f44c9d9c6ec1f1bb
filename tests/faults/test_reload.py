"""A configuration that changes while calls run: nothing fails, and a bad one is refused whole."""

import asyncio
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from structlog.testing import capture_logs

from gateway import app, generation, reload
from gateway.demo.pb import demo_pb2
from gateway.demo.pki import Pki
from gateway.upstream.h2 import H2Upstream
from tests.faults.conftest import Figures
from tests.support import http2
from tests.support.frames import message
from tests.support.gateway import DEMO, ORIGIN, RunningGateway, eventually, running, untouched
from tests.support.wire import connect, request

ELSEWHERE = "https://elsewhere.example.com"
ECHO = message(demo_pb2.EchoRequest(text="hello"))


def count(number: int, interval_ms: int) -> bytes:
    return message(demo_pb2.CountRequest(count=number, interval_ms=interval_ms))


class Load:
    """Calls, one after the other in each of some tasks, until it ends."""

    def __init__(self, gateway: RunningGateway) -> None:
        self._gateway = gateway
        self.codes: list[int] = []
        self._going_on = True

    async def __aenter__(self) -> "Load":
        self._callers = [asyncio.create_task(self._call()) for _ in range(4)]
        await self.more(20)
        return self

    async def __aexit__(self, *_exc: object) -> None:
        self._going_on = False
        await asyncio.gather(*self._callers)

    async def more(self, calls: int) -> None:
        wanted = len(self.codes) + calls
        await eventually(lambda: len(self.codes) >= wanted, 10)

    async def _call(self) -> None:
        while self._going_on:
            self.codes.append((await self._gateway.echo()).code)


async def test_calls_go_on_while_everything_changes(figures: Figures) -> None:
    async with running() as gateway, Load(gateway) as load:
        stream = asyncio.create_task(gateway.post(DEMO + "Count", count(60, 25)))
        await eventually(lambda: gateway.gateway.open_calls > 0)

        def limits(configuration: dict[str, Any]) -> None:
            configuration["limits"] = {"max_request_message": "1MiB", "max_calls": 500}

        def upstream(configuration: dict[str, Any]) -> None:
            configuration["upstreams"]["demo"]["connections"] = 2

        def grpcio(configuration: dict[str, Any]) -> None:
            configuration["upstreams"]["demo"]["transport"] = "grpcio"

        def issuers(configuration: dict[str, Any]) -> None:
            configuration["auth"]["issuers"][0]["leeway"] = "20s"

        def origins(configuration: dict[str, Any]) -> None:
            configuration["cors"]["allow_origins"].append(ELSEWHERE)

        for change in (limits, upstream, issuers, grpcio, origins):
            assert await gateway.reconfigure(change)
            await load.more(20)
        reply = await stream
        assert reply.code == 0
        assert len(reply.messages) == 60
    assert set(load.codes) == {0}
    figures(calls=len(load.codes), failed=sum(map(bool, load.codes)), streams=1, reloads=5)


async def test_what_a_call_began_with_it_ends_with() -> None:
    async with running() as gateway:
        stream = asyncio.create_task(gateway.post(DEMO + "Count", count(30, 50)))
        await eventually(lambda: gateway.backend_calls == 1)
        before = gateway.gateway.upstream("demo")
        assert isinstance(before, H2Upstream)

        def forbid(configuration: dict[str, Any]) -> None:
            configuration["authorization"]["rules"] = [{"methods": ["/demo.v1.Demo/Echo"], "roles": ["reader"]}]
            configuration["upstreams"]["demo"]["connections"] = 2

        assert await gateway.reconfigure(forbid)
        async with untouched(gateway):
            assert (await gateway.post(DEMO + "Count", count(1, 0))).code == 7
        assert gateway.gateway.upstream("demo") is not before
        assert (await gateway.metrics())["gateway_configurations"] == 2
        assert len((await stream).messages) == 30
        assert before.pool.ready
        await eventually(lambda: not before.pool.ready)  # closed with its last call
        assert (await gateway.metrics())["gateway_configurations"] == 1


async def test_what_has_not_changed_is_kept() -> None:
    async with running() as gateway:
        await gateway.echo()
        upstream, tokens = gateway.gateway.upstream("demo"), gateway.gateway.succession.current.tokens

        def origins(configuration: dict[str, Any]) -> None:
            configuration["cors"]["allow_origins"].append(ELSEWHERE)

        assert await gateway.reconfigure(origins)
        assert gateway.gateway.upstream("demo") is upstream
        assert gateway.gateway.succession.current.tokens is tokens
        assert (await gateway.echo(headers=gateway.headers(origin=ELSEWHERE))).code == 0
        await eventually(lambda: gateway.gateway.succession.living == 1)
        assert (await gateway.echo()).code == 0  # what is still used was not closed


async def test_an_origin_that_is_taken_away_is_refused_at_once() -> None:
    async with running() as gateway:
        assert (await gateway.echo()).code == 0

        def without(configuration: dict[str, Any]) -> None:
            configuration["cors"]["allow_origins"].remove(ORIGIN)

        assert await gateway.reconfigure(without)
        async with untouched(gateway):
            assert (await gateway.echo()).http == 403


async def test_a_bad_configuration_is_refused_whole() -> None:
    async with running() as gateway:

        def bad(configuration: dict[str, Any]) -> None:
            configuration["cors"]["allow_origins"].append(ELSEWHERE)
            configuration["authorization"]["rules"].append({"methods": ["not a method"], "roles": ["reader"]})
            tls = configuration["upstreams"]["demo"]["tls"]
            tls["private_key"] = configuration["listeners"][1]["tls"]["private_key"]

        with capture_logs() as events:
            assert not await gateway.reconfigure(bad)
        (refused,) = [event for event in events if event["event"] == "configuration_refused"]
        told = "\n".join(refused["problems"])  # as `check` tells them: not only those that keep it from being read
        assert "authorization.rules" in told
        assert "upstreams.demo.tls.private_key" in told
        assert len(refused["problems"]) == 2
        assert (await gateway.metrics())["gateway_configuration_refused"] == 1
        async with untouched(gateway):
            assert (await gateway.echo(headers=gateway.headers(origin=ELSEWHERE))).http == 403
        assert (await gateway.echo()).code == 0
        assert await gateway.reconfigure(lambda _configuration: None)
        assert (await gateway.metrics())["gateway_configuration_refused"] == 0


async def test_keys_that_do_not_come_keep_the_old_configuration() -> None:
    """All of it: what is wrong shows only when the new one is built, and it is not half in use by then."""
    async with running() as gateway:
        before, upstream = await gateway.gateway.configuration(), gateway.gateway.upstream("demo")
        room = gateway.gateway.census.max_connections

        def elsewhere(configuration: dict[str, Any]) -> None:
            configuration["auth"]["issuers"][0]["jwks"] = "http://127.0.0.1:1/jwks"
            configuration["cors"]["allow_origins"].append(ELSEWHERE)
            configuration["limits"] = {"max_connections": room - 1}
            configuration["upstreams"]["demo"]["connections"] = 2

        with capture_logs() as events:
            assert not await gateway.reconfigure(elsewhere)
        (refused,) = [event for event in events if event["event"] == "configuration_refused"]
        assert "auth.issuers[0].jwks" in refused["problems"][0]
        async with untouched(gateway):
            assert (await gateway.echo(headers=gateway.headers(origin=ELSEWHERE))).http == 403
        assert await gateway.gateway.configuration() == before
        assert gateway.gateway.census.max_connections == room
        assert gateway.gateway.upstream("demo") is upstream
        assert (await gateway.echo()).code == 0


async def test_an_address_stays_and_the_rest_changes() -> None:
    async with running() as gateway:

        def move(configuration: dict[str, Any]) -> None:
            configuration["listeners"][0]["bind"] = "127.0.0.1:1"
            configuration["cors"]["allow_origins"].append(ELSEWHERE)

        with capture_logs() as events:
            assert await gateway.reconfigure(move)
        (told,) = [event for event in events if event["event"] == "restart_needed"]
        assert told["sections"] == ["listeners"]
        assert (await gateway.metrics())["gateway_restart_needed"] == 1
        assert (await gateway.echo(headers=gateway.headers(origin=ELSEWHERE))).code == 0


# -- certificates of listeners ---------------------------------------------------------------------------------------


@contextmanager
def handshake(gateway: RunningGateway, *protocols: str) -> Iterator[ssl.SSLSocket]:
    import socket

    context = ssl.create_default_context(cafile=str(gateway.world.pki.ca))
    if protocols:
        context.set_alpn_protocols(list(protocols))
    with (
        socket.create_connection(("127.0.0.1", gateway.tls_port), 5) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as tls,
    ):
        yield tls


async def serial(gateway: RunningGateway) -> int:
    """Of the certificate that the listener shows."""

    def ask() -> int:
        with handshake(gateway) as tls:
            raw = tls.getpeercert(binary_form=True)
            assert raw is not None
            return x509.load_der_x509_certificate(raw).serial_number

    return await asyncio.to_thread(ask)


def files(gateway: RunningGateway) -> tuple[Path, Path]:
    tls = gateway.gateway.settings.listeners[1].tls
    assert tls is not None
    return tls.certificate, tls.private_key


async def test_a_renewed_listener_certificate_is_shown_and_no_connection_is_lost(figures: Figures) -> None:
    async with running() as gateway, Load(gateway) as load:
        before, (port, trust) = await serial(gateway), gateway.door(tls=True)
        fields = gateway.fields()
        async with connect(port, context=trust) as http1, http2.connect(port, tls=gateway.world.pki.ca) as http2_client:
            await http1.send(request(DEMO + "Count", fields, count(60, 50)))
            answer = await http1.head()
            stream = await http2_client.request(http2.head(DEMO + "Count", *fields), count(60, 50))
            await stream.received(1)
            certificate, key = files(gateway)
            renewed = gateway.world.pki.issue("renewed", "localhost")
            certificate.write_bytes(renewed.certificate.read_bytes())
            key.write_bytes(renewed.private_key.read_bytes())
            async with asyncio.timeout(10):
                while await serial(gateway) == before:
                    await asyncio.sleep(0.05)
            # Streams that were there end well, and their connections take more.
            while chunk := await http1.chunk():
                answer.chunks.append(chunk)
            for finished in (answer, (await stream.response()).answer):
                messages, status, _ = finished.grpc()
                assert (len(messages), status.code) == (60, 0)
            assert (await http1.ask(request(DEMO + "Echo", fields, ECHO))).code == 0
            again = await http2_client.request(http2.head(DEMO + "Echo", *fields), ECHO)
            assert (await again.response()).answer.code == 0
            await load.more(20)
    assert set(load.codes) == {0}
    figures(calls=len(load.codes), failed=sum(map(bool, load.codes)), streams=2)


async def test_who_could_not_come_in_now_may_finish_and_has_to_go() -> None:
    """Connections without a client certificate, when one is required."""

    def asks(mode: str) -> Callable[[dict[str, Any]], None]:
        def change(configuration: dict[str, Any]) -> None:
            configuration["listeners"][1]["tls"]["client_auth"] = mode

        return change

    def trusts(configuration: dict[str, Any], pki: Pki) -> None:
        configuration["listeners"][1]["tls"] |= {"client_ca": str(pki.ca), "client_auth": "optional"}

    async with running(pki_change=trusts) as gateway:
        (port, trust), fields = gateway.door(tls=True), gateway.fields()
        async with (
            connect(port, context=trust) as busy,
            connect(port, context=trust) as idle,
            http2.connect(port, tls=gateway.world.pki.ca) as multiplexed,
        ):
            assert (await idle.ask(request(DEMO + "Echo", fields, ECHO))).code == 0
            await busy.send(request(DEMO + "Count", fields, count(40, 50)))
            answer = await busy.head()
            stream = await multiplexed.request(http2.head(DEMO + "Count", *fields), count(40, 50))
            await stream.received(1)
            assert await gateway.reconfigure(asks("required"))
            assert await idle.rest() == b""
            while chunk := await busy.chunk():
                answer.chunks.append(chunk)
            for finished in (answer, (await stream.response()).answer):
                messages, status, _ = finished.grpc()
                assert (len(messages), status.code) == (40, 0)
            assert await busy.rest() == b""
            await multiplexed.until_closed()


async def test_a_bad_listener_certificate_is_alarmed_and_the_old_one_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reload, "PATIENCE", 0.1)
    async with running() as gateway:
        before = await serial(gateway)
        with capture_logs() as events:
            files(gateway)[0].write_text("-----BEGIN NONSENSE-----\n")
            await eventually(lambda: any(event["event"] == "certificate_refused" for event in events), 10)
        assert await serial(gateway) == before
        assert (await gateway.metrics())['gateway_listener_certificate_refused{listener="listeners[1]"}'] == 1


# Where certificates are read for a reload: when they are judged, and once more for what they are used for.
READERS = {
    "listener": (app, "server_tls", "listeners[1].tls.certificate"),
    "upstream": (generation, "make_upstream", "upstreams.demo.tls.certificate"),
}


@pytest.mark.parametrize("whose", READERS)
@pytest.mark.parametrize("mended", [False, True])
async def test_a_certificate_that_changes_during_a_reload_refuses_it_and_the_next_one_is_taken(
    whose: str, mended: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`mended`: by the time that one asks what is wrong with it."""
    async with running() as gateway:
        settings = gateway.gateway.settings
        tls = settings.listeners[1].tls if whose == "listener" else settings.upstreams["demo"].tls
        assert tls is not None
        assert tls.certificate is not None
        good = tls.certificate.read_bytes()

        def everything(configuration: dict[str, Any]) -> None:
            configuration["cors"]["allow_origins"].append(ELSEWHERE)
            configuration["upstreams"]["demo"]["connections"] = 2

        module, name, key = READERS[whose]
        read = getattr(module, name)

        def read_in_a_bad_moment(*arguments: Any) -> Any:
            tls.certificate.write_text("half of it")
            try:
                return read(*arguments)
            finally:
                if mended:
                    tls.certificate.write_bytes(good)

        with monkeypatch.context() as patch, capture_logs() as events:
            patch.setattr(module, name, read_in_a_bad_moment)
            assert not await gateway.reconfigure(everything)
        (refused,) = [event for event in events if event["event"] == "configuration_refused"]
        (problem,) = refused["problems"]
        assert f"{tls.certificate} holds no certificate" in problem
        assert (key in problem) != mended
        assert (await gateway.echo()).code == 0
        async with untouched(gateway):
            assert (await gateway.echo(headers=gateway.headers(origin=ELSEWHERE))).http == 403
        tls.certificate.write_bytes(good)
        assert await gateway.reconfigure(everything)
        assert (await gateway.echo(headers=gateway.headers(origin=ELSEWHERE))).code == 0


async def test_a_defect_refuses_a_configuration_and_not_the_ones_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def elsewhere(configuration: dict[str, Any]) -> None:
        configuration["cors"]["allow_origins"].append(ELSEWHERE)

    async def broken(*_arguments: object) -> None:
        raise ZeroDivisionError("a defect")

    async with running() as gateway:
        with monkeypatch.context() as patch, capture_logs() as events:
            patch.setattr(generation.Generation, "build", broken)
            assert not await gateway.reconfigure(elsewhere)
        assert [event["event"] for event in events] == ["unexpected_error", "configuration_refused"]
        assert (await gateway.metrics())["gateway_configuration_refused"] == 1
        assert (await gateway.echo()).code == 0
        assert await gateway.reconfigure(elsewhere)
        assert (await gateway.echo(headers=gateway.headers(origin=ELSEWHERE))).code == 0


async def test_http2_may_be_switched_off_at_the_same_address() -> None:
    async with running() as gateway:

        def alpn() -> str | None:
            with handshake(gateway, "h2", "http/1.1") as tls:
                return tls.selected_alpn_protocol()

        assert await asyncio.to_thread(alpn) == "h2"

        def off(configuration: dict[str, Any]) -> None:
            configuration["listeners"][1]["http2"] = False

        assert await gateway.reconfigure(off)
        assert await asyncio.to_thread(alpn) == "http/1.1"


async def test_connections_that_wait_to_be_accepted_outlive_a_change() -> None:
    """Who has connected while the servers change is served by one of them."""
    async with running() as gateway:
        for index in range(10):

            def change(configuration: dict[str, Any], index: int = index) -> None:
                configuration["listeners"][0]["http2"] = index % 2 == 1

            replies = [asyncio.create_task(gateway.echo()) for _ in range(20)]
            assert await gateway.reconfigure(change)
            assert {reply.code for reply in await asyncio.gather(*replies)} == {0}


async def test_the_house_is_as_full_after_a_change_as_before() -> None:
    """Or whoever may change a comma could let in as many again."""

    def limit(configuration: dict[str, Any], most: int) -> None:
        configuration["limits"] = {"max_calls": most, "max_calls_per_peer": most}

    async with running(lambda configuration: limit(configuration, 3)) as gateway:
        streams = [asyncio.create_task(gateway.post(DEMO + "Count", count(100, 20))) for _ in range(2)]
        await eventually(lambda: gateway.backend_calls == 2)
        assert await gateway.reconfigure(lambda configuration: limit(configuration, 2))
        async with untouched(gateway):
            assert (await gateway.echo()).code == 8
        assert {reply.code for reply in await asyncio.gather(*streams)} == {0}
        assert (await gateway.echo()).code == 0
