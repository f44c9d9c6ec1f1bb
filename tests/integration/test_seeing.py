"""What operators see of calls: events, metrics, and traces at a collector."""

import asyncio
import contextlib
import re
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from structlog.testing import capture_logs

from gateway.demo.pb import demo_pb2
from gateway.observe import spans
from gateway.version import VERSION
from tests.support.certificates import authority, leaf, write_pair
from tests.support.frames import message
from tests.support.gateway import DEMO, TEXT, Change, RunningGateway, eventually, running
from tests.support.redis_server import free_port, redis_server
from tests.support.wire import connect, request

ECHO = message(demo_pb2.EchoRequest(text="hello"))
TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{CALLER}-01", f"00-{TRACE}-{CALLER}-00"


def seen(configuration: dict[str, Any]) -> None:
    configuration["observability"]["log"]["access"] = True
    configuration["admin"] = {"bind": "127.0.0.1:0"}


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


# -- traces ------------------------------------------------------------------------------------------------------------


class Collector:
    """An OpenTelemetry collector: takes spans over HTTP."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.resources: list[dict[str, str]] = []
        self.status = 200
        self.asked = 0
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        self.asked += 1
        assert request.content_type == "application/x-protobuf"
        if self.status == 200:
            taken = ExportTraceServiceRequest.FromString(await request.read())
            for of_resource in taken.resource_spans:
                attributes = of_resource.resource.attributes
                self.resources.append({one.key: one.value.string_value for one in attributes})
                for of_scope in of_resource.scope_spans:
                    self.spans += of_scope.spans
        return web.Response(status=self.status)

    async def span(self) -> Span:
        """The next one."""
        await eventually(lambda: bool(self.spans), seconds=10)
        return self.spans.pop(0)

    def traced(self, **more: object) -> Change:
        def change(configuration: dict[str, Any]) -> None:
            seen(configuration)
            configuration["observability"]["tracing"] = {"otlp": self.url, **more}

        return change


@pytest.fixture
async def collector(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Collector]:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")  # ms
    one = Collector()
    application = web.Application()
    application.router.add_post("/v1/traces", one.take)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    one.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1/traces"
    yield one
    await runner.cleanup()


def attributes(span: Span) -> dict[str, str | int]:
    return {one.key: one.value.string_value or one.value.int_value for one in span.attributes}


async def metadata_at_backend(gateway: RunningGateway, **headers: str) -> dict[str, str]:
    reply = await gateway.post(DEMO + "WhoAmI", message(b""), gateway.headers(**headers))
    assert reply.code == 0
    return dict(demo_pb2.WhoAmIReply.FromString(reply.messages[0]).metadata)


CONTEXT = {"tracestate": "vendor=1", "baggage": "user=7"}


async def test_without_tracing_the_context_passes_as_it_came() -> None:
    async with running() as gateway:
        seen = await metadata_at_backend(gateway, traceparent=SAMPLED, **CONTEXT)
        assert {name: seen[name] for name in ("traceparent", *CONTEXT)} == CONTEXT | {"traceparent": SAMPLED}
        assert (await metadata_at_backend(gateway)).keys().isdisjoint({"traceparent", *CONTEXT})


async def test_a_call_is_a_span_between_its_caller_and_the_backend(collector: Collector) -> None:
    async with running(collector.traced(ratio=0)) as gateway:
        with capture_logs() as events:
            seen = await metadata_at_backend(gateway, traceparent=SAMPLED, **CONTEXT)
        span = await collector.span()
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, CALLER)
    assert seen["traceparent"] == f"00-{TRACE}-{span.span_id.hex()}-01"
    assert {name: seen[name] for name in CONTEXT} == CONTEXT
    assert (span.name, span.kind, span.trace_state) == ("demo.v1.Demo/WhoAmI", Span.SPAN_KIND_SERVER, "vendor=1")
    assert attributes(span) == {
        "rpc.system": "grpc",
        "rpc.service": "demo.v1.Demo",
        "rpc.method": "WhoAmI",
        "rpc.grpc.status_code": 0,
        "client.address": "127.0.0.1",
        "network.protocol.name": "http",
        "network.protocol.version": "1.1",
        "gateway.upstream": "demo",
    }
    assert 0 < span.end_time_unix_nano - span.start_time_unix_nano < 5e9
    assert [event["trace"] for event in events if event["event"] == "call"] == [TRACE]
    resource = collector.resources[0]
    assert (resource["service.name"], resource["service.version"]) == ("grpcweb-gateway", VERSION)


async def test_who_is_in_no_trace_begins_one(collector: Collector) -> None:
    async with running(collector.traced()) as gateway:
        seen = await metadata_at_backend(gateway, traceparent="00-zz", **CONTEXT)
        span = await collector.span()
        assert seen["traceparent"].startswith(f"00-{span.trace_id.hex()}-{span.span_id.hex()}-")
        assert not span.parent_span_id
        assert "tracestate" not in seen  # it is of a trace that nobody knows
        assert seen["baggage"] == CONTEXT["baggage"]


async def test_the_caller_decides_about_sampling_and_else_the_ratio(collector: Collector) -> None:
    async with running(collector.traced(ratio=1)) as gateway:
        assert (await metadata_at_backend(gateway, traceparent=UNSAMPLED))["traceparent"] == UNSAMPLED
        await gateway.echo()
        assert (await collector.span()).name == "demo.v1.Demo/Echo"
    assert not collector.spans
    async with running(collector.traced(ratio=0)) as gateway:
        assert (await metadata_at_backend(gateway))["traceparent"][-2:] in ("00", "02")  # 02: made by chance
        await metadata_at_backend(gateway, traceparent=SAMPLED)
    assert [span.name for span in collector.spans] == ["demo.v1.Demo/WhoAmI"]


async def test_the_environment_can_switch_spans_off(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    async with running(collector.traced()) as gateway:
        assert "traceparent" not in await metadata_at_backend(gateway)
        assert (await metadata_at_backend(gateway, traceparent=SAMPLED))["traceparent"] == SAMPLED
    assert not collector.spans


async def test_a_refusal_has_a_name_that_no_stranger_makes_up(collector: Collector) -> None:
    async with running(collector.traced()) as gateway:
        assert (await gateway.echo(headers=gateway.headers(None, authorization="Bearer secret"))).code == 16
        span = await collector.span()
    assert (span.name, span.status.code) == ("(refused)", span.status.STATUS_CODE_UNSET)
    assert attributes(span)["rpc.grpc.status_code"] == 16
    assert attributes(span)["gateway.reason"] == "token_malformed"
    assert "gateway.upstream" not in attributes(span)
    assert b"secret" not in span.SerializeToString()


async def test_a_failure_of_the_backend_is_an_error(collector: Collector) -> None:
    async with running(collector.traced()) as gateway:
        reply = await gateway.post(DEMO + "Fail", message(demo_pb2.FailRequest(code=13)))
        assert reply.code == 13
        span = await collector.span()
    assert span.status.code == span.status.STATUS_CODE_ERROR


async def test_spans_that_are_left_are_sent_at_the_end(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "60000")
    async with running(collector.traced()) as gateway:
        await gateway.echo()
        assert not collector.spans
    assert [span.name for span in collector.spans] == ["demo.v1.Demo/Echo"]


async def test_a_reload_keeps_or_changes_where_spans_go(collector: Collector) -> None:
    async with running(collector.traced()) as gateway:
        first = gateway.gateway.succession.current.tracer
        assert await gateway.reconfigure(lambda configuration: configuration.update(drain="3s"))
        assert gateway.gateway.succession.current.tracer is first
        assert await gateway.reconfigure(lambda configuration: configuration["observability"].pop("tracing"))
        assert gateway.gateway.succession.current.tracer is None
        await gateway.echo()
    assert not collector.spans


async def test_a_collector_that_fails_is_told_once_and_once_when_it_is_back(collector: Collector) -> None:
    collector.status = 400
    async with running(collector.traced()) as gateway:
        with capture_logs() as events:

            def told() -> list[tuple[str, str | None]]:
                return [
                    (event["event"], event.get("reason")) for event in events if event["event"].startswith("tracing_")
                ]

            for tries in (1, 2):
                assert (await gateway.echo()).code == 0
                await eventually(lambda tries=tries: collector.asked == tries, seconds=10)
            collector.status = 200
            await gateway.echo()
            await eventually(lambda: len(told()) == 2, seconds=10)
    assert told() == [("tracing_down", "HTTP status 400"), ("tracing_up", None)]


async def test_a_collector_that_cannot_be_reached_is_told_and_costs_no_call(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spans, "EXPORT_TIMEOUT", 0.5)
    collector.url = f"http://127.0.0.1:{free_port()}/v1/traces"
    with capture_logs() as events:
        async with running(collector.traced()) as gateway:
            for _ in range(20):
                assert (await gateway.echo()).code == 0
            await eventually(lambda: any(event["event"] == "tracing_down" for event in events), seconds=10)
    assert [event["reason"] for event in events if event["event"] == "tracing_down"] == ["Connection refused"]


async def test_no_call_and_no_end_waits_for_a_collector_that_says_nothing(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spans, "EXPORT_TIMEOUT", 600.0)
    asked, over = asyncio.Event(), asyncio.Event()

    async def silent(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        with contextlib.closing(writer):
            await over.wait()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        collector.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/traces"
        async with asyncio.timeout(spans.GOODBYE + 8), running(collector.traced()) as gateway:
            assert (await gateway.echo()).code == 0
            await asked.wait()
            assert (await gateway.echo()).code == 0
        over.set()
