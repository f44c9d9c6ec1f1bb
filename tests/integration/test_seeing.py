"""What operators see of calls: events and metrics."""

import re
from base64 import b64encode
from pathlib import Path
from typing import Any

import grpc.aio
from structlog.testing import capture_logs

from gateway.demo.pb import demo_pb2
from gateway.version import VERSION
from tests.integration.seeing import TRACE, UNSAMPLED, seen
from tests.support.certificates import authority, leaf, write_pair
from tests.support.frames import message
from tests.support.gateway import DEMO, TEXT, eventually, running
from tests.support.ports import free_port
from tests.support.redis_server import redis_server
from tests.support.wire import connect, request

ECHO = message(demo_pb2.EchoRequest(text="hello"))


# -- events ------------------------------------------------------------------------------------------------------------


async def test_the_event_of_a_call_tells_where_it_went_and_how_long_that_took() -> None:
    async with running(seen) as gateway:
        with capture_logs() as events:
            await gateway.echo()
            headers = gateway.headers(content_type=TEXT, traceparent=UNSAMPLED)
            async with gateway.session.post(
                gateway.url + DEMO + "Echo", data=b64encode(ECHO), headers=headers
            ) as reply:
                await reply.read()
            await gateway.echo(headers=gateway.headers(None, traceparent="00-zz"))
        binary, text, refused = (event for event in events if event["event"] == "call")
    assert (binary["method"], binary["code"], binary["reason"]) == (DEMO + "Echo", "OK", "")
    assert (binary["upstream"], binary["protocol"], binary["form"]) == ("demo", "http1", "binary")
    assert 0 < binary["gate_ms"] + binary["upstream_ms"] <= binary["ms"] + 0.01
    assert binary["upstream_ms"] > 0
    assert binary["messages"] == (1, 1)
    assert binary.keys().isdisjoint({"identity", "trace"})
    assert (text["form"], text["trace"]) == ("text", TRACE)
    assert (refused["code"], refused["reason"]) == ("UNAUTHENTICATED", "token_missing")
    assert refused.keys().isdisjoint({"upstream", "upstream_ms", "trace"})


async def test_a_native_call_over_http2_is_told_from_others() -> None:
    async with running(seen) as gateway:
        with capture_logs() as events:
            async with grpc.aio.insecure_channel(gateway.url.removeprefix("http://")) as channel:
                metadata = (("authorization", f"Bearer {gateway.token()}"), ("traceparent", UNSAMPLED))
                await channel.unary_unary(DEMO + "Echo")(b"", metadata=metadata)
        (event,) = (event for event in events if event["event"] == "call")
    assert (event["protocol"], event["form"], event["trace"]) == ("http2", "native", TRACE)


async def test_a_client_certificate_that_let_a_call_in_is_named(tmp_path: Path) -> None:
    signer = authority("clients")
    (tmp_path / "clients.pem").write_bytes(signer.pem)
    pair = write_pair(tmp_path, *leaf(signer, "ops.internal"), stem="ops")

    def change(configuration: dict[str, Any]) -> None:
        seen(configuration)
        configuration["listeners"][1]["tls"] |= {
            "client_ca": str(tmp_path / "clients.pem"),
            "client_auth": "optional",
        }
        rules = configuration["authorization"]["rules"]
        rules.append({"methods": [DEMO + "WhoAmI"], "roles": ["reader"], "identities": ["DNS:ops.internal"]})

    async with running(change) as gateway:
        port, context = gateway.door(True, "http/1.1", pair=pair)
        with capture_logs() as events:
            for role in (None, "reader"):
                async with connect(port, context=context) as wire:
                    await wire.ask(request(DEMO + "WhoAmI", gateway.fields(role=role), message(b"")))
    by_certificate, by_token = (event for event in events if event["event"] == "call")
    assert (by_certificate["identity"], by_certificate["subject"]) == ("DNS:ops.internal", "")
    assert by_certificate["upstream"] == "demo"  # it was let through; the demo's backend wants a token, too
    assert "identity" not in by_token
    assert by_token["subject"]


async def test_who_asks_for_what_is_not_routed_is_told_from_others() -> None:
    async with running(seen) as gateway:
        with capture_logs() as events:
            assert (await gateway.post("/other.v1.Nope/Nope", ECHO)).code == 12
            await gateway.echo()
    nowhere, echo = (event for event in events if event["event"] == "call")
    assert nowhere["reason"] == "unrouted"
    assert nowhere["subject"] == echo["subject"] != ""


# -- metrics -----------------------------------------------------------------------------------------------------------


async def test_metrics_tell_what_runs_and_how_upstreams_are() -> None:
    async with running(seen) as gateway:
        await gateway.echo()
        async with gateway.session.post(
            gateway.url + DEMO + "Count",
            data=message(demo_pb2.CountRequest(count=2, interval_ms=600_000)),
            headers=gateway.headers(),
        ) as stream:
            await stream.content.readany()
            during = await gateway.metrics()
        await eventually(lambda: not gateway.open_calls)
        after = await gateway.metrics()
        address = f"127.0.0.1:{gateway.world.backend.port}"
    (build,) = (series for series in after if series.startswith("gateway_build_info"))
    assert re.fullmatch(rf'gateway_build_info{{python="3\.\d+\.\d+\S*",version="{re.escape(VERSION)}"}}', build)
    streams = 'gateway_open_streams{upstream="demo"}'
    assert (during[streams], during["gateway_open_calls"], after[streams]) == (1, 1, 0)
    assert after['gateway_upstream_connections{upstream="demo"}'] == 1
    assert after[f'gateway_upstream_healthy{{address="{address}",upstream="demo"}}'] == 1
    assert after[f'gateway_upstream_ejected{{address="{address}",upstream="demo"}}'] == 0
    assert after["process_cpu_seconds_total"] > 0
    assert after["process_open_fds"] > 0
    assert not any(name.startswith("gateway_rate_storage_up") for name in after)


async def test_retries_are_counted() -> None:
    def change(configuration: dict[str, Any]) -> None:
        seen(configuration)
        configuration["upstreams"]["demo"]["idempotent_methods"] = [DEMO + "Fail"]

    async with running(change) as gateway:
        assert (await gateway.post(DEMO + "Fail", message(demo_pb2.FailRequest(code=14)))).code == 14
        metrics = await gateway.metrics()
    assert metrics['gateway_retries_total{outcome="sent",upstream="demo"}'] >= 1
    assert metrics['gateway_retries_total{outcome="failed",upstream="demo"}'] == 1


async def test_an_upstream_that_cannot_be_reached_is_not_healthy() -> None:
    dead = free_port()

    def change(configuration: dict[str, Any]) -> None:
        seen(configuration)
        configuration["upstreams"]["demo"]["targets"] = [f"127.0.0.1:{dead}"]
        del configuration["authorization"]["descriptors"]

    async with running(change) as gateway:
        assert (await gateway.echo()).code == 14
        metrics = await gateway.metrics()
    assert metrics['gateway_upstream_connections{upstream="demo"}'] == 0
    assert metrics[f'gateway_upstream_healthy{{address="127.0.0.1:{dead}",upstream="demo"}}'] == 0


async def test_a_redis_that_is_down_is_shown(tmp_path: Path) -> None:
    async with redis_server(tmp_path) as redis:

        def change(configuration: dict[str, Any]) -> None:
            seen(configuration)
            configuration["limits"] = {"rate": [{"key": "peer", "limit": "100/second"}], "rate_storage": redis.url}

        async with running(change) as gateway:
            assert (await gateway.echo()).code == 0
            assert (await gateway.metrics())["gateway_rate_storage_up"] == 1
            await redis.kill()
            assert (await gateway.echo()).code == 14
            assert (await gateway.metrics())["gateway_rate_storage_up"] == 0
