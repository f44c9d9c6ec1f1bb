"""Listeners that change while calls run: their certificates, whom they admit, what they speak."""

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from structlog.testing import capture_logs

from gateway import reload
from gateway.demo.pki import Pki
from gateway.front.listener import Bound, Service
from gateway.listeners import KeptListener
from tests.faults.conftest import Figures
from tests.faults.reloading import ELSEWHERE, Load, count, elsewhere, following
from tests.faults.streams import ECHO
from tests.support import http2
from tests.support.gateway import DEMO, RunningGateway, eventually, running
from tests.support.wire import connect, request


@contextmanager
def handshake(gateway: RunningGateway, *protocols: str) -> Iterator[ssl.SSLSocket]:
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


def renew(gateway: RunningGateway) -> None:
    certificate, key = files(gateway)
    renewed = gateway.world.pki.issue("renewed", "localhost")
    certificate.write_bytes(renewed.certificate.read_bytes())
    key.write_bytes(renewed.private_key.read_bytes())


async def test_a_renewed_listener_certificate_is_shown_and_no_connection_is_lost(figures: Figures) -> None:
    async with running() as gateway, Load(gateway) as load:
        before, (port, trust) = await serial(gateway), gateway.door(tls=True)
        fields = gateway.fields()
        async with connect(port, context=trust) as http1, http2.connect(port, tls=gateway.world.pki.ca) as http2_client:
            await http1.send(request(DEMO + "Count", fields, count(60, 50)))
            answer = await http1.head()
            stream = await http2_client.request(http2.head(DEMO + "Count", *fields), count(60, 50))
            await stream.received(1)
            renew(gateway)
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


async def assert_all_go(gateway: RunningGateway, change: Callable[[dict[str, Any]], None], *, tls: bool) -> None:
    """Of connections that are there when it changes, those with a stream finish it."""
    (port, trust), fields = gateway.door(tls=tls), gateway.fields()
    async with (
        connect(port, context=trust) as busy,
        connect(port, context=trust) as idle,
        http2.connect(port, tls=gateway.world.pki.ca if tls else None) as multiplexed,
    ):
        assert (await idle.ask(request(DEMO + "Echo", fields, ECHO))).code == 0
        await busy.send(request(DEMO + "Count", fields, count(40, 50)))
        answer = await busy.head()
        stream = await multiplexed.request(http2.head(DEMO + "Count", *fields), count(40, 50))
        await stream.received(1)
        assert await gateway.reconfigure(change)
        assert await idle.rest() == b""
        while chunk := await busy.chunk():
            answer.chunks.append(chunk)
        for finished in (answer, (await stream.response()).answer):
            messages, status, _ = finished.grpc()
            assert (len(messages), status.code) == (40, 0)
        assert await busy.rest() == b""
        await multiplexed.until_closed()


async def test_who_could_not_come_in_now_may_finish_and_has_to_go() -> None:
    """Connections without a client certificate, when one is required."""

    def trusts(configuration: dict[str, Any], pki: Pki) -> None:
        configuration["listeners"][1]["tls"] |= {"client_ca": str(pki.ca), "client_auth": "optional"}

    def requires(configuration: dict[str, Any]) -> None:
        configuration["listeners"][1]["tls"]["client_auth"] = "required"

    async with running(pki_change=trusts) as gateway:
        await assert_all_go(gateway, requires, tls=True)


def with_tls(configuration: dict[str, Any]) -> None:
    first, second = configuration["listeners"]
    first["tls"] = second["tls"]


async def test_who_came_in_plaintext_has_to_go_when_there_is_tls() -> None:
    async with running() as gateway:
        port, trust = gateway.door(tls=True)
        async with connect(port, context=trust) as elsewhere:
            echo = request(DEMO + "Echo", gateway.fields(), ECHO)
            assert (await elsewhere.ask(echo)).code == 0
            await assert_all_go(gateway, with_tls, tls=False)
            assert (await elsewhere.ask(echo)).code == 0


async def test_who_came_in_plaintext_and_has_said_nothing_has_to_go_too() -> None:
    """What was on its way is answered, and is the last; whoever waits on is not heard any more."""
    async with running() as gateway, connect(gateway.port) as silent, connect(gateway.port) as speaking:
        await eventually(lambda: gateway.gateway.census.connections >= 2)
        assert await gateway.reconfigure(with_tls)
        answer = await speaking.ask(request(DEMO + "Echo", gateway.fields(), ECHO))
        assert (answer.code, answer.value("connection")) == (0, "close")
        assert await speaking.rest() == b""
        assert await silent.rest(2) == b""


class Descriptors:
    """Of the process; while they are used up, some listeners cannot be prepared."""

    def __init__(self) -> None:
        self.used_up_for: list[KeptListener] = []


@pytest.fixture
def descriptors(monkeypatch: pytest.MonkeyPatch) -> Descriptors:
    found = Descriptors()
    original = Bound.prepare

    async def prepare(bound: Bound, *arguments: Any) -> Service:
        if any(listener._bound is bound for listener in found.used_up_for):
            raise OSError(errno.EMFILE, "Too many open files")
        return await original(bound, *arguments)

    monkeypatch.setattr(Bound, "prepare", prepare)
    return found


async def test_of_a_change_that_cannot_be_served_nothing_is_taken(descriptors: Descriptors) -> None:
    def change(configuration: dict[str, Any]) -> None:
        with_tls(configuration)
        elsewhere(configuration)

    async with running() as gateway:
        before = gateway.gateway.settings
        descriptors.used_up_for = [gateway.gateway.listeners[1]]
        gateway.configuration["listeners"][1]["http2"] = False
        with capture_logs() as events:
            assert not await gateway.reconfigure(change)
        assert gateway.gateway.settings is before
        assert [event["event"] for event in events] == ["configuration_refused"]
        assert "listeners[1].bind: cannot listen" in str(events)
        assert (await gateway.echo()).code == 0  # in plaintext
        assert (await gateway.echo(headers=gateway.headers(origin=ELSEWHERE))).http == 403
        descriptors.used_up_for = []
        assert await gateway.reconfigure(change)
        assert gateway.gateway.urls[0].startswith("https://")


@pytest.mark.parametrize("cause", ["time", "SIGHUP"])
async def test_a_renewed_certificate_that_cannot_be_shown_is_alarmed_and_tried_again(
    cause: str, descriptors: Descriptors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reload, "PATIENCE", 0.1)
    monkeypatch.setattr(reload, "TRY_AGAIN", 0.1 if cause == "time" else 3600.0)
    async with running() as gateway, following(gateway) as file:
        before, expiry = await serial(gateway), await metric(gateway, "expiry_timestamp_seconds")
        descriptors.used_up_for = [gateway.gateway.listeners[1]]
        with capture_logs() as events:
            renew(gateway)
            await eventually(lambda: any(event["event"] == "certificate_refused" for event in events))
            assert "it cannot be shown: Too many open files" in str(events)
            assert await metric(gateway, "refused") == 1
            assert await metric(gateway, "expiry_timestamp_seconds") == expiry
            assert await serial(gateway) == before
            descriptors.used_up_for = []
            if cause == "SIGHUP":
                file.read_again()
            await eventually(lambda: any(event["event"] == "certificate_renewed" for event in events))
        told = [event["event"] for event in events if event["event"].startswith("certificate_")]
        assert told == ["certificate_refused", "certificate_renewed"]
        assert await metric(gateway, "refused") == 0
        assert await metric(gateway, "expiry_timestamp_seconds") >= expiry
        assert await serial(gateway) != before


async def metric(gateway: RunningGateway, name: str) -> float:
    return (await gateway.metrics())[f'gateway_listener_certificate_{name}{{listener="listeners[1]"}}']


async def test_a_bad_listener_certificate_is_alarmed_and_the_old_one_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reload, "PATIENCE", 0.1)
    async with running() as gateway:
        before, certificate = await serial(gateway), files(gateway)[0]
        good = certificate.read_bytes()
        with capture_logs() as events:
            certificate.write_text("-----BEGIN NONSENSE-----\n")
            await eventually(lambda: any(event["event"] == "certificate_refused" for event in events), 10)
            assert await serial(gateway) == before
            assert (await gateway.metrics())['gateway_listener_certificate_refused{listener="listeners[1]"}'] == 1
            certificate.write_bytes(good)
            await eventually(lambda: any(event["event"] == "certificate_renewed" for event in events), 10)
        assert (await gateway.metrics())['gateway_listener_certificate_refused{listener="listeners[1]"}'] == 0


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
