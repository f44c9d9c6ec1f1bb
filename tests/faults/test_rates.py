"""Limits per peer, subject and method on both fronts: what is over them costs no backend a call, and is told a time.

Redis is real here, shared by two gateways, killed and frozen (tests/faults/test_rate_storage.py has the storage alone).
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from structlog.testing import capture_logs

from gateway import check
from gateway.demo.pb import demo_pb2
from gateway.policy.rate_redis import ASK_AGAIN
from gateway.protocol.metadata import Headers
from gateway.protocol.status import Code, Status
from tests.support import http2
from tests.support.frames import message
from tests.support.gateway import DEMO, Change, RunningGateway, eventually, running, untouched
from tests.support.http2 import head
from tests.support.redis_server import PASSWORD, RedisServer, redis_server
from tests.support.wire import connect, request

WAIT = 0.25  # seconds that a call may wait to be counted
SLOW = 1.25  # seconds that a busy machine may add to a call
ECHO = message(demo_pb2.EchoRequest(text="hello"))
HEALTH = "/grpc.health.v1.Health/Check"

Said = tuple[Status, Headers, Headers]  # the end of a call, its response headers, its trailers
Ask = Callable[..., Awaitable[Said]]


def limited(*rates: dict[str, Any], **limits: Any) -> Change:
    def change(configuration: dict[str, Any]) -> None:
        configuration["limits"] = limits | ({"rate": list(rates)} if rates else {})

    return change


async def by_http1(gateway: RunningGateway, path: str = DEMO + "Echo", role: str | None = "reader") -> Said:
    async with connect(gateway.port) as wire:
        answer = await wire.ask(request(path, gateway.fields(role=role), ECHO))
    _, status, trailers = answer.grpc()
    return status, answer.headers, trailers


async def by_http2(gateway: RunningGateway, path: str = DEMO + "Echo", role: str | None = "reader") -> Said:
    async with http2.connect(gateway.port, update_windows=True) as client:
        stream = await client.request(head(path, *gateway.fields(role=role), scheme="http"), ECHO)
        answer = (await stream.response()).answer
    _, status, trailers = answer.grpc()
    return status, answer.headers, trailers


@pytest.fixture(params=[by_http1, by_http2])
def ask(request: pytest.FixtureRequest) -> Ask:
    """A call of Echo on a connection of its own."""
    chosen: Ask = request.param
    return chosen


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[RedisServer]:
    async with redis_server(tmp_path) as server:
        yield server


def retry_delay(status: Status) -> float:
    """Seconds, from its RetryInfo: google.rpc.Status.details (3) holds an Any, and RetryInfo a Duration (1)."""
    assert status.details is not None
    any_of_it = AnyMessage.FromString(fields(status.details)[3])
    assert any_of_it.type_url == "type.googleapis.com/google.rpc.RetryInfo"
    return Duration.FromString(fields(any_of_it.value)[1]).ToTimedelta().total_seconds()


def fields(data: bytes) -> dict[int, bytes]:
    """The length-delimited fields of a small protobuf message."""
    found, offset = {}, 0
    while offset < len(data):
        number, kind = data[offset] >> 3, data[offset] & 7
        length = data[offset + 1] if kind == 2 else 0
        found[number] = data[offset + 2 : offset + 2 + length]
        offset += 2 + length
    return found


def assert_too_often(said: Said) -> float:
    """Refused, with the same hint in both forms; seconds."""
    status, headers, _ = said
    assert status.code == Code.RESOURCE_EXHAUSTED
    delay = retry_delay(status)
    assert dict(headers)[b"grpc-retry-pushback-ms"] == b"%d" % round(delay * 1000)
    return delay


async def test_a_peer_that_calls_too_often_is_refused_whoever_it_is(ask: Ask) -> None:
    async with running(limited({"key": "peer", "limit": "3/hour"})) as gateway:
        for _ in range(3):
            assert (await ask(gateway))[0].code == 0
        async with untouched(gateway):
            assert 0 < assert_too_often(await ask(gateway)) <= 7200.002
            assert_too_often(await ask(gateway, role=None))  # nobody asks who it is
            assert_too_often(await ask(gateway, HEALTH))


async def test_who_waits_as_long_as_it_was_told_may_come_again(ask: Ask) -> None:
    async with running(limited({"key": "peer", "limit": "2/second", "burst": 3})) as gateway:
        while (said := await ask(gateway))[0].code == 0:
            assert gateway.backend_calls < 100
        delay = assert_too_often(said)
        assert 0 < delay <= 3.002
        await asyncio.sleep(delay)
        assert (await ask(gateway))[0].code == 0


async def test_a_subject_that_calls_too_often_is_refused_and_no_other(ask: Ask) -> None:
    async with running(limited({"key": "subject", "limit": "2/hour"})) as gateway:
        for _ in range(2):
            assert (await ask(gateway))[0].code == 0
        async with untouched(gateway):
            assert 0 < assert_too_often(await ask(gateway)) <= 7200
        assert (await ask(gateway, role="admin"))[0].code == 0
        assert (await ask(gateway, role=None))[0].code == Code.UNAUTHENTICATED


async def test_a_method_that_is_called_too_often_is_refused_to_all(ask: Ask) -> None:
    async with running(limited({"key": "method", "limit": "2/hour"})) as gateway:
        assert (await ask(gateway, role=None))[0].code == Code.UNAUTHENTICATED  # is no call of it
        assert (await ask(gateway))[0].code == 0
        assert (await ask(gateway, role="admin"))[0].code == 0
        async with untouched(gateway):
            assert_too_often(await ask(gateway))
            assert_too_often(await ask(gateway, role="admin"))
        assert (await ask(gateway, DEMO + "WhoAmI"))[0].code == 0


async def test_both_fronts_count_together() -> None:
    async with running(limited({"key": "subject", "limit": "2/hour"})) as gateway:
        assert (await by_http1(gateway))[0].code == 0
        assert (await by_http2(gateway))[0].code == 0
        assert_too_often(await by_http1(gateway))
        assert_too_often(await by_http2(gateway))


async def test_an_address_has_only_so_many_calls_at_once(ask: Ask) -> None:
    async with running(limited(max_calls_per_peer=2)) as gateway, contextlib.AsyncExitStack() as exits:
        streams = []
        for number in range(2):  # one on each front
            count = message(demo_pb2.CountRequest(count=1000, interval_ms=1000))
            if number:
                client = await exits.enter_async_context(http2.connect(gateway.port, update_windows=True))
                stream = await client.request(head(DEMO + "Count", *gateway.fields(), scheme="http"), count)
                await stream.received(1)
                streams.append(stream)
            else:
                wire = await exits.enter_async_context(connect(gateway.port))
                await wire.send(request(DEMO + "Count", gateway.fields(), count))
                await wire.head()
                await wire.chunk()
        with capture_logs() as logs:
            async with untouched(gateway):
                status, _, _ = await ask(gateway)
        assert (status.code, status.message) == (
            Code.RESOURCE_EXHAUSTED, "too many calls at once from this address",
        )  # fmt: skip
        assert [entry["reason"] for entry in logs] == ["max_calls_per_peer"]
        await streams[0].cancel()
        await eventually(lambda: gateway.open_calls == 1)
        assert (await ask(gateway))[0].code == 0


async def test_a_native_client_is_told_to_push_back() -> None:
    async with running(limited({"key": "peer", "limit": "1/hour"})) as gateway:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{gateway.port}") as channel:
            echo = channel.unary_unary(DEMO + "Echo")
            metadata = [("authorization", f"Bearer {gateway.token()}")]
            await echo(demo_pb2.EchoRequest(text="x").SerializeToString(), metadata=metadata)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await echo(demo_pb2.EchoRequest(text="x").SerializeToString(), metadata=metadata)
        assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        trailers = dict(caught.value.trailing_metadata())
        assert int(trailers["grpc-retry-pushback-ms"]) > 0
        assert b"google.rpc.RetryInfo" in trailers["grpc-status-details-bin"]


# -- Redis -------------------------------------------------------------------------------------------------------------


async def test_two_gateways_share_one_redis(redis: RedisServer, ask: Ask) -> None:
    change = limited({"key": "peer", "limit": "6/hour"}, rate_storage=redis.url)
    async with running(change) as one, running(change) as other:
        for _ in range(3):
            assert (await ask(one))[0].code == 0
            assert (await ask(other))[0].code == 0
        for gateway in (one, other):
            async with untouched(gateway):
                assert assert_too_often(await ask(gateway)) > 0


async def test_every_limit_is_counted_in_redis(redis: RedisServer, ask: Ask) -> None:
    rates = [{"key": key, "limit": "100/hour"} for key in ("method", "subject", "peer")]
    async with running(limited(*rates, rate_storage=redis.url)) as gateway:
        assert (await ask(gateway))[0].code == 0
    keys = [key for key in await redis.keys() if "check" not in key]
    assert [key.partition("/")[0] for key in keys] == [
        f"grpcweb-gateway:{{{name}" for name in ("method", "peer", "subject")
    ]
    assert not any("demo-" in key for key in keys)  # no name of a subject


@pytest.mark.parametrize(("failure", "code"), [("refuse", Code.UNAVAILABLE), ("allow", Code.OK)])
@pytest.mark.parametrize("fault", ["killed", "frozen"])
async def test_redis_fails_under_load_and_comes_back(redis: RedisServer, fault: str, failure: str, code: Code) -> None:
    limits = {"rate_storage": redis.url, "rate_storage_failure": failure}
    change = limited({"key": "peer", "limit": "100000/second"}, {"key": "subject", "limit": "100000/second"}, **limits)
    ended: list[tuple[float, float, int]] = []  # when calls began and ended, and their status
    stop = asyncio.Event()

    async def load(gateway: RunningGateway) -> None:
        while not stop.is_set():
            started = time.monotonic()
            reply = await gateway.echo()
            ended.append((started, time.monotonic(), reply.code))

    async def more(calls: int) -> set[int]:
        """The statuses of as many calls that begin from now on."""
        now = time.monotonic()
        await eventually(lambda: sum(began >= now for began, _, _ in ended) >= calls)
        return {code for began, _, code in ended if began >= now}

    def changes() -> list[str]:
        return [entry["event"] for entry in logs if entry["event"].startswith("rate_storage")]

    async def well() -> None:
        """Fifty calls in a row: on a machine that stood still for WAIT, Redis was given up for a second."""
        async with asyncio.timeout(20):
            while await more(50) != {Code.OK} or changes()[-1:] == ["rate_storage_down"]:
                pass

    with capture_logs() as logs:
        async with running(change) as gateway:
            tasks = [asyncio.create_task(load(gateway)) for _ in range(5)]
            await well()
            ended.clear()
            logs.clear()
            before = gateway.backend_calls
            await redis.kill() if fault == "killed" else redis.freeze()
            await eventually(lambda: "rate_storage_down" in changes())
            assert await more(50) == {code}
            assert max(end - began for began, end, _ in ended) < WAIT + SLOW
            if failure == "refuse":
                after = gateway.backend_calls
                await more(50)
                assert gateway.backend_calls == after
            else:
                assert gateway.backend_calls > before
            await redis.start() if fault == "killed" else redis.thaw()
            await eventually(lambda: "rate_storage_up" in changes(), ASK_AGAIN + 10)
            await well()
            stop.set()
            await asyncio.gather(*tasks)
    assert changes()[:2] == ["rate_storage_down", "rate_storage_up"]
    assert PASSWORD not in repr(logs)


async def test_a_gateway_starts_without_its_redis(redis: RedisServer, ask: Ask) -> None:
    await redis.kill()
    with capture_logs() as logs:
        async with running(limited({"key": "peer", "limit": "9/hour"}, rate_storage=redis.url)) as gateway:
            async with untouched(gateway):
                status, headers, _ = await ask(gateway)
            assert status.code == Code.UNAVAILABLE
            assert retry_delay(status) == ASK_AGAIN
            assert dict(headers)[b"grpc-retry-pushback-ms"] == b"1000"
    assert [entry["reason"] for entry in logs if "reason" in entry] == ["ConnectionError", "rate_storage"]


async def test_what_is_said_at_once_is_not_lost_while_redis_is_asked(redis: RedisServer) -> None:
    """A body that comes in while the gate waits, and a browser that leaves meanwhile."""
    async with running(limited({"key": "peer", "limit": "100/hour"}, rate_storage=redis.url)) as gateway:
        redis.freeze()
        async with connect(gateway.port) as wire, untouched(gateway):
            await wire.send(request(DEMO + "Echo", gateway.fields(), ECHO))
            await eventually(lambda: gateway.open_calls == 1)
        await eventually(lambda: gateway.open_calls == 0)
        redis.thaw()
        await asyncio.sleep(ASK_AGAIN)
        assert (await gateway.echo()).code == 0


async def test_a_reload_keeps_what_was_counted_and_a_changed_rate_begins_anew(ask: Ask) -> None:
    async with running(limited({"key": "peer", "limit": "2/hour"})) as gateway:
        for _ in range(2):
            assert (await ask(gateway))[0].code == 0
        assert await gateway.reconfigure(limited({"key": "peer", "limit": "2/hour"}, max_calls=500))
        assert_too_often(await ask(gateway))
        assert await gateway.reconfigure(limited({"key": "peer", "limit": "3/hour"}))
        assert (await ask(gateway))[0].code == 0


async def test_check_tells_of_a_redis_that_does_not_answer(redis: RedisServer) -> None:
    async with running(limited({"key": "peer", "limit": "9/hour"}, rate_storage=redis.url)) as gateway:
        settings = gateway.gateway.settings
        assert await asyncio.to_thread(check.run, settings, offline=False) == []
        await redis.kill()
        assert await asyncio.to_thread(check.run, settings, offline=True) == []
        (problem,) = await asyncio.to_thread(check.run, settings, offline=False)
    assert problem.key == "limits.rate_storage"
    assert problem.message == f"calls cannot be counted at 127.0.0.1:{redis.port}/0: ConnectionError"
