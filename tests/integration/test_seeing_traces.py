"""Traces, as a collector gets them and backends see them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from structlog.testing import capture_logs

from gateway.demo.pb import demo_pb2
from gateway.observe import spans
from gateway.version import VERSION
from tests.integration.seeing import CALLER, SAMPLED, TRACE, UNSAMPLED, Collector
from tests.support.frames import message
from tests.support.gateway import DEMO, RunningGateway, eventually, running
from tests.support.ports import free_port

CONTEXT = {"tracestate": "vendor=1", "baggage": "user=7"}


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
