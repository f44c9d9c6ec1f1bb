"""A gateway starts, tells how it is, and stops: the composition root with everything real around it."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from structlog.testing import capture_logs

from gateway.app import Gateway
from gateway.demo.pb import demo_pb2
from gateway.errors import StartError
from gateway.settings import SettingsError, parse
from gateway.upstream.grpcio import GrpcioUpstream
from tests.support.certificates import DAY, authority, leaf, write_pair
from tests.support.frames import message
from tests.support.gateway import DEMO, RunningGateway, running


async def ask(gateway: RunningGateway, page: str) -> tuple[int, str]:
    async with gateway.session.get(f"{gateway.gateway.admin_url}{page}") as response:
        assert response.headers["server"] == "grpcweb-gateway"
        return response.status, await response.text()


async def test_the_operators_pages() -> None:
    async with running() as gateway:
        assert (await ask(gateway, "/healthz"))[0] == 200
        assert await ask(gateway, "/readyz") == (200, '{"status": "ready"}')
        await gateway.echo()
        await gateway.echo(headers=gateway.headers(None))
        metrics = (await ask(gateway, "/metrics"))[1]
        assert 'gateway_calls_total{code="OK",method="/demo.v1.Demo/Echo"} 1.0' in metrics
        assert 'gateway_refusals_total{reason="token_missing"} 1.0' in metrics
        assert "gateway_certificate_expiry_timestamp_seconds{" in metrics
        assert "gateway_open_calls 0.0" in metrics
        assert (await ask(gateway, "/config"))[0] == 200
        assert (await ask(gateway, "/nothing"))[0] == 404


async def test_config_shows_no_secret() -> None:
    def introspect(configuration: dict[str, Any]) -> None:
        configuration["auth"]["introspection"] = {
            "url": "https://login.example.com/introspect",
            "client_id": "gateway",
            "client_secret": "hunter2",
        }

    async with running(introspect) as gateway:
        status, page = await ask(gateway, "/config")
        assert status == 200
        assert "hunter2" not in page
        assert json.loads(page)["auth"]["introspection"]["client_id"] == "gateway"


async def test_not_ready_while_no_backend_can_be_reached_and_ready_again() -> None:
    async with running() as gateway:
        backend = gateway.world.backend
        port = backend.port
        await backend.stop()
        status, page = await ask(gateway, "/readyz")
        assert status == 503
        assert json.loads(page)["missing"] == {"upstream demo": "no target can be reached"}
        backend.bind = f"127.0.0.1:{port}"
        await backend.start()
        async with asyncio.timeout(10):
            while (await ask(gateway, "/readyz"))[0] != 200:
                await asyncio.sleep(0.05)


async def test_without_keys_it_is_alive_and_closed_and_not_ready() -> None:
    def nowhere(configuration: dict[str, Any]) -> None:
        configuration["auth"]["issuers"][0]["jwks"] = "http://127.0.0.1:9/jwks"

    async with running(nowhere) as gateway:
        assert (await ask(gateway, "/healthz"))[0] == 200
        status, page = await ask(gateway, "/readyz")
        assert status == 503
        assert "keys" in json.loads(page)["missing"]
        assert (await gateway.echo()).code == 16
        assert gateway.backend_calls == 0


async def test_ready_while_one_of_two_upstreams_can_be_reached() -> None:
    """Or one dead backend would take all the others out of service, everywhere at once."""

    def second(configuration: dict[str, Any]) -> None:
        dead = {"services": ["dead.v1.*"], "targets": ["127.0.0.1:1"], "plaintext": True, "allow_insecure_tokens": True}
        configuration["upstreams"]["dead"] = dead

    async with running(second) as gateway:
        status, page = await ask(gateway, "/readyz")
        assert status == 200
        assert json.loads(page) == {"status": "ready", "missing": {"upstream dead": "no target can be reached"}}
        await gateway.world.backend.stop()
        assert (await ask(gateway, "/readyz"))[0] == 503


def settings_of(gateway: RunningGateway, **changes: Any) -> Any:
    """The settings of a second gateway in the same world."""
    import yaml

    configuration = yaml.safe_load(gateway.world.config_path.read_text())
    configuration["listeners"] = [{"bind": "127.0.0.1:0"}]
    configuration |= changes
    return parse(json.dumps(configuration), gateway.world.config_path.parent)


async def test_a_port_in_use_is_one_clear_line() -> None:
    async with running() as gateway:
        second = Gateway(settings_of(gateway, listeners=[{"bind": f"127.0.0.1:{gateway.port}"}]))
        with pytest.raises(StartError) as caught:
            await second.start()
        await second.stop()
    line = f"listeners[0].bind: cannot listen on 127.0.0.1:{gateway.port}: it is in use by another process"
    assert str(caught.value) == f"{line} (hint: choose another port, or stop that one)"


async def test_an_address_of_the_operator_in_use_is_told_before_anything_listens() -> None:
    async with running() as gateway:
        assert gateway.gateway.admin_url is not None
        taken = gateway.gateway.admin_url.removeprefix("http://")
        second = Gateway(settings_of(gateway, admin={"bind": taken}))
        with pytest.raises(StartError, match=f"admin.bind: cannot listen on {taken}: it is in"):
            await second.start()
        (url,) = second.urls
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        with capture_logs() as events:
            await second.stop()
        assert events == []  # nor does it say that it has stopped


async def test_a_rule_for_a_method_that_does_not_exist_stops_the_start() -> None:
    async with running() as gateway:
        rules = [{"methods": ["/demo.v1.Demo/Ecko"], "roles": ["reader"]}]
        for descriptors in (str(gateway.gateway.settings.authorization.descriptors), "reflection"):
            second = Gateway(settings_of(gateway, authorization={"rules": rules, "descriptors": descriptors}))
            with pytest.raises(SettingsError) as caught:
                await second.start()
            await second.stop()
            (problem,) = caught.value.problems
            assert problem.key == "authorization.rules[0].methods[0]"
            assert problem.hint == "did you mean /demo.v1.Demo/Echo?"


@pytest.mark.parametrize("transport", ["grpcio", "h2"])
async def test_reflection_knows_the_methods_of_the_backend(transport: str) -> None:
    def reflect(configuration: dict[str, Any]) -> None:
        configuration["authorization"]["descriptors"] = "reflection"
        configuration["upstreams"]["demo"]["transport"] = transport

    async with running(reflect) as gateway:
        upstream = gateway.gateway.upstream("demo")
        if isinstance(upstream, GrpcioUpstream):
            assert b"/demo.v1.Demo/Echo" in upstream.unary_methods
            assert b"/demo.v1.Demo/Count" not in upstream.unary_methods
        assert isinstance(upstream, GrpcioUpstream) == (transport == "grpcio")
        assert (await gateway.echo()).code == 0


async def test_every_bad_certificate_is_reported_with_its_key() -> None:
    async with running() as gateway:
        folder = gateway.world.config_path.parent
        expired, key = write_pair(folder, *leaf(authority(), "localhost", start=-2 * DAY, end=-DAY), stem="expired")
        listener = {"bind": "127.0.0.1:0", "tls": {"certificate": str(expired), "private_key": str(key)}}
        upstream = {
            "services": ["*"],
            "targets": ["localhost:1"],
            "tls": {"ca": "ca.pem", "certificate": "gateway.pem", "private_key": "stranger.key"},
        }
        second = Gateway(settings_of(gateway, listeners=[listener], upstreams={"demo": upstream}))
        with pytest.raises(SettingsError) as caught:
            await second.start()
        await second.stop()
    assert [problem.key for problem in caught.value.problems] == [
        "listeners[0].tls.certificate",
        "upstreams.demo.tls.private_key",
    ]


async def test_a_certificate_that_openssl_refuses_is_told_before_anything_listens(tmp_path: Path) -> None:
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    certificate, key = write_pair(tmp_path, *leaf(authority(), "localhost", key=weak))
    async with running() as gateway:
        tls = {"certificate": str(certificate), "private_key": str(key)}
        second = Gateway(settings_of(gateway, listeners=[{"bind": "127.0.0.1:0", "tls": tls}]))
        with pytest.raises(SettingsError) as caught:
            await second.start()
        await second.stop()
    (problem,) = caught.value.problems
    assert problem.key == "listeners[0].tls.certificate"
    assert "OpenSSL refuses it" in problem.message


async def test_a_drain_lets_calls_finish_and_ends_the_rest_properly() -> None:
    async with running() as gateway:
        short = message(demo_pb2.CountRequest(count=8, interval_ms=50))
        endless = message(demo_pb2.CountRequest(count=0, interval_ms=50))
        replies = [asyncio.create_task(gateway.post(DEMO + "Count", body)) for body in (short, endless)]
        await gateway.world.backend.wait_open(2)
        await gateway.gateway.drain()
        finished, ended = await asyncio.gather(*replies)
        assert (finished.code, len(finished.messages)) == (0, 8)
        assert ended.code == 14
        assert ended.messages
        await gateway.world.backend.wait_open(0)
