"""Listeners that change while calls run: their certificates, whom they admit, what they speak."""

import asyncio
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
from tests.faults.conftest import Figures
from tests.faults.reloading import Load, count
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


async def test_who_came_in_plaintext_has_to_go_when_there_is_tls() -> None:
    def with_tls(configuration: dict[str, Any]) -> None:
        first, second = configuration["listeners"]
        first["tls"] = second["tls"]

    async with running() as gateway:
        port, trust = gateway.door(tls=True)
        async with connect(port, context=trust) as elsewhere:
            echo = request(DEMO + "Echo", gateway.fields(), ECHO)
            assert (await elsewhere.ask(echo)).code == 0
            await assert_all_go(gateway, with_tls, tls=False)
            assert (await elsewhere.ask(echo)).code == 0


async def test_a_bad_listener_certificate_is_alarmed_and_the_old_one_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reload, "PATIENCE", 0.1)
    async with running() as gateway:
        before = await serial(gateway)
        with capture_logs() as events:
            files(gateway)[0].write_text("-----BEGIN NONSENSE-----\n")
            await eventually(lambda: any(event["event"] == "certificate_refused" for event in events), 10)
        assert await serial(gateway) == before
        assert (await gateway.metrics())['gateway_listener_certificate_refused{listener="listeners[1]"}'] == 1


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
