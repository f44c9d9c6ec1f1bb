"""Listeners with TLS, and clients with certificates: what rules open to them, and what they do not."""

import asyncio
import json
import ssl
from pathlib import Path
from typing import Any

import pytest

from gateway.demo.pb import demo_pb2
from tests.support.backends import SCRIPT, ScriptedBackend
from tests.support.certificates import Authority, authority, leaf, write_pair
from tests.support.frames import message, take_apart
from tests.support.gateway import DEMO, Change, RunningGateway, running
from tests.support.wire import connect, request

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def told_over_tls(
    gateway: RunningGateway, pair: tuple[Path, Path] | None, role: str | None
) -> tuple[int, dict[str, str]]:
    """Status and metadata at the backend. Raises ssl.SSLError or ConnectionError where TLS refuses."""
    port, context = gateway.door(True, "http/1.1", pair=pair)
    async with connect(port, context=context) as wire:
        answer = await wire.ask(request(SCRIPT + "Tell", gateway.fields(role=role), b""))
        messages, status, _ = answer.grpc()
        return status.code, dict(json.loads(messages[0])["metadata"]) if messages else {}


async def test_tls(gateway: RunningGateway) -> None:
    port, context = gateway.door(True, "http/1.1")
    async with connect(port, context=context) as wire:
        ask = request(DEMO + "WhoAmI", gateway.fields(), message(b""))
        for _ in range(2):
            messages, status, _ = (await wire.ask(ask)).grpc()
            assert status.code == 0
            assert demo_pb2.WhoAmIReply.FromString(messages[0]).metadata["x-forwarded-proto"] == "https"
        chosen = wire.writer.get_extra_info("ssl_object")
        assert chosen.selected_alpn_protocol() == "http/1.1"
    async with connect(port, context=context) as wire:
        ask = request(DEMO + "Count", gateway.fields(), message(demo_pb2.CountRequest(count=3)))
        assert len(take_apart((await wire.ask(ask)).body)[0]) == 3


@pytest.fixture(scope="module")
def clients() -> Authority:
    return authority("clients")


def client_pair(folder: Path, signer: Authority, name: str) -> tuple[Path, Path]:
    return write_pair(folder, *leaf(signer, name), stem=name)


def with_clients(backend: ScriptedBackend, signer: Authority, folder: Path, mode: str) -> Change:
    """The listener with TLS asks for certificates of `signer`."""
    ca = folder / "clients.pem"
    ca.write_bytes(signer.pem)

    def change(configuration: dict[str, Any]) -> None:
        configuration["upstreams"]["script"] = backend.section()
        configuration["listeners"][1]["tls"] |= {"client_ca": str(ca), "client_auth": mode}
        del configuration["authorization"]["descriptors"]
        configuration["authorization"]["rules"].append(
            {"methods": [SCRIPT + "Tell"], "roles": ["reader"], "identities": ["DNS:ops.internal", "CN:batch"]}
        )

    return change


async def test_a_certificate_opens_what_rules_name_it_for(
    backend: ScriptedBackend, clients: Authority, tmp_path: Path
) -> None:
    ops, batch, other = (client_pair(tmp_path, clients, name) for name in ("ops.internal", "batch", "other"))
    async with running(with_clients(backend, clients, tmp_path, "optional")) as gateway:
        backend.calls.clear()
        for pair in (ops, batch):
            code, arrived = await told_over_tls(gateway, pair, None)
            assert code == 0
            assert arrived.keys().isdisjoint({"authorization", "x-user-id"})
        assert (await told_over_tls(gateway, other, None))[0] == 16
        assert (await told_over_tls(gateway, None, None))[0] == 16
        code, arrived = await told_over_tls(gateway, other, "reader")
        assert (code, arrived["x-user-id"]) == (0, "reader@demo")
        assert (await told_over_tls(gateway, ops, "reader"))[0] == 0
        assert backend.calls["Tell"] == 4
        # The certificate opens only what names it, and a token that is bad is not made good by it.
        port, context = gateway.door(True, "http/1.1", pair=ops)
        async with connect(port, context=context) as wire:
            echo = request(DEMO + "Echo", gateway.fields(role=None), message(b""))
            assert (await wire.ask(echo)).code == 16
            bad = gateway.fields(authorization="Bearer x")
            assert (await wire.ask(request(SCRIPT + "Tell", bad, b""))).code == 16
        assert gateway.backend_calls == 0


async def test_a_certificate_of_another_authority_is_refused(
    backend: ScriptedBackend, clients: Authority, tmp_path: Path
) -> None:
    foreign = client_pair(tmp_path, authority("others"), "ops.internal")
    async with running(with_clients(backend, clients, tmp_path, "optional")) as gateway:
        backend.calls.clear()
        with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
            await told_over_tls(gateway, foreign, "reader")
        assert not backend.calls


async def test_a_certificate_is_required(backend: ScriptedBackend, clients: Authority, tmp_path: Path) -> None:
    other = client_pair(tmp_path, clients, "other")
    async with running(with_clients(backend, clients, tmp_path, "required")) as gateway:
        backend.calls.clear()
        with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
            await told_over_tls(gateway, None, "reader")
        assert not backend.calls
        assert (await told_over_tls(gateway, other, "reader"))[0] == 0
        assert (await told_over_tls(gateway, other, None))[0] == 16


async def test_a_listener_that_asks_for_no_certificate_believes_none(
    backend: ScriptedBackend, clients: Authority, tmp_path: Path
) -> None:
    ops = client_pair(tmp_path, clients, "ops.internal")

    def change(configuration: dict[str, Any]) -> None:
        asking = {"tls": dict(configuration["listeners"][1]["tls"]), "bind": "127.0.0.1:0"}
        configuration["listeners"].append(configuration["listeners"][1])
        configuration["listeners"][1] = asking
        with_clients(backend, clients, tmp_path, "optional")(configuration)
        configuration["listeners"][1:] = reversed(configuration["listeners"][1:])

    async with running(change) as gateway:
        assert (await told_over_tls(gateway, ops, None))[0] == 16
        assert (await told_over_tls(gateway, ops, "reader"))[0] == 0
