"""A gateway that is told to end: nobody notices who may go elsewhere, and nobody is left without a status."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import grpc
import pytest

from gateway.demo.pb import demo_pb2, demo_pb2_grpc
from gateway.protocol import text
from gateway.protocol.status import Code, Status
from tests.faults.conftest import Figures
from tests.support import http2, wire
from tests.support.callers import ECHO, Http1Caller, Http2Caller, NativeCaller, calling
from tests.support.frames import message
from tests.support.gateway import BINARY, DEMO, TEXT, eventually
from tests.support.serving import Balancer, Serving, Site, site
from tests.support.wire import chunked, request

DRAIN = 7  # seconds: a supervisor looks after its workers meanwhile, every five
LONG = 30  # seconds: a drain that nothing reaches the end of
AT_ONCE = 15.0  # seconds for what waits for nothing, on a machine that may be very busy
NOTICE = 2**31 - 1  # the last stream of a GOAWAY after which streams are still served (RFC 9113, section 6.8)
DRAINED = Status(Code.UNAVAILABLE, "the gateway is shutting down")

by_workers = pytest.mark.parametrize("workers", [1, 2])

Ended = tuple[int, Status]  # how many messages a stream has had, and its status
Finish = Callable[[], Awaitable[Ended]]


class Clients:
    """Of one gateway: they open streams in every form there is, each on a connection of its own."""

    def __init__(self, place: Site, gateway: Serving, exits: AsyncExitStack) -> None:
        self.place = place
        self.gateway = gateway
        self.exits = exits

    async def http1(self) -> wire.Wire:
        return await self.exits.enter_async_context(wire.connect(self.gateway.port))

    async def http2(self) -> http2.Client:
        return await self.exits.enter_async_context(http2.connect(self.gateway.tls_port, tls=self.place.world.pki.ca))

    async def streams(self, **count: int) -> list[Finish]:
        """One in each form, begun; each function reads one to its end."""
        asked = demo_pb2.CountRequest(**count)
        return [
            await self._over_http1(asked, BINARY),
            await self._over_http1(asked, TEXT),
            await self._over_http2(asked, BINARY),
            await self._over_http2(asked, TEXT),
            await self._native(asked),
        ]

    async def _over_http1(self, asked: demo_pb2.CountRequest, kind: str) -> Finish:
        line = await self.http1()
        await line.send(request(DEMO + "Count", self.place.fields(kind), _written(asked, kind)))
        answer = await line.head()
        answer.chunks.append(await line.chunk())

        async def finish() -> Ended:
            while chunk := await line.chunk(AT_ONCE):
                answer.chunks.append(chunk)
            messages, status, _ = answer.grpc()
            return len(messages), status

        return finish

    async def _over_http2(self, asked: demo_pb2.CountRequest, kind: str) -> Finish:
        client = await self.http2()
        stream = await client.request(http2.head(DEMO + "Count", *self.place.fields(kind)), _written(asked, kind))
        await stream.received(1)

        async def finish() -> Ended:
            messages, status, _ = (await stream.response(AT_ONCE)).answer.grpc()
            return len(messages), status

        return finish

    async def _native(self, asked: demo_pb2.CountRequest) -> Finish:
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{self.gateway.port}")
        self.exits.push_async_callback(channel.close)
        stub: Any = demo_pb2_grpc.DemoStub(channel)
        metadata = tuple(pair for pair in self.place.fields(BINARY) if pair[0] == "authorization")
        call = stub.Count(asked, metadata=metadata)
        await call.read()

        async def finish() -> Ended:
            count = 1
            try:
                async with asyncio.timeout(AT_ONCE):
                    while await call.read() is not grpc.aio.EOF:
                        count += 1
            except grpc.aio.AioRpcError as error:
                return count, Status(error.code().value[0], error.details() or "")
            return count, Status(Code.OK)

        return finish


def _written(asked: demo_pb2.CountRequest, kind: str) -> bytes:
    return text.encode(message(asked)) if kind == TEXT else message(asked)


@asynccontextmanager
async def clients(**changes: Any) -> AsyncIterator[Clients]:
    """Of a gateway with `changes` to its configuration."""
    async with site() as place, AsyncExitStack() as exits:
        yield Clients(place, await place.serve(**changes), exits)


def assert_ended_in_order(gateway: Serving, calls: int) -> None:
    """The log tells of a drain: so many calls that it ended, no backend that failed, and nothing after the end."""
    cut_off = [(event["code"], event["reason"]) for event in gateway.named("call") if event["code"] != "OK"]
    assert cut_off == [("UNAVAILABLE", "drain")] * calls
    assert not gateway.named("backend_lost")
    assert gateway.events[-1]["event"] == "stopped"


# -- under load -------------------------------------------------------------------------------------------------------


@by_workers
async def test_another_replica_takes_over_and_no_call_fails(workers: int, figures: Figures) -> None:
    async with site() as place, Balancer(tls=False) as plain, Balancer(tls=True) as tls, AsyncExitStack() as exits:
        first, second = await asyncio.gather(*(place.serve(workers=workers, drain=f"{LONG}s") for _ in range(2)))
        plain.replicas, tls.replicas = [first], [first]
        fields = place.fields(BINARY)
        callers = [
            caller
            for _ in range(3)
            for caller in (
                Http1Caller(plain.port, fields),
                Http2Caller(tls.port, fields, place.world.pki.ca),
                NativeCaller(plain.port, fields),
            )
        ]
        async with calling(*callers) as tally:
            streams = await Clients(place, first, exits).streams(count=20, interval_ms=50)
            await eventually(lambda: tally.good > 200, AT_ONCE)
            plain.replicas, tls.replicas = [first, second], [first, second]
            before, begun = tally.calls, time.monotonic()
            first.signal()
            finished = [await finish() for finish in streams]
            assert await first.ended() == 0
            took = time.monotonic() - begun
            during = tally.calls - before
            after = tally.calls
            await eventually(lambda: tally.calls > after + 100, AT_ONCE)
        assert tally.bad == []
        assert finished == [(20, Status(Code.OK))] * 5
        assert during > 0
        assert took < LONG  # as soon as the last stream was over
        assert_ended_in_order(first, calls=0)
        assert second.named("call")
        figures(
            calls=tally.calls,
            failed=len(tally.bad),
            resent=tally.resent,
            streams=len(finished),
            seconds_to_exit=round(took, 2),
        )


# -- on the wire ------------------------------------------------------------------------------------------------------


@by_workers
async def test_what_runs_may_finish_and_the_rest_gets_a_status(workers: int, figures: Figures) -> None:
    async with clients(workers=workers, drain=f"{DRAIN}s") as there:
        gateway = there.gateway
        resting, uploading, http2_client = await there.http1(), await there.http1(), await there.http2()
        fields = there.place.fields(BINARY)
        assert (await resting.ask(request(DEMO + "Echo", fields, ECHO))).code == 0
        # A unary call on each front whose request is not complete.
        await uploading.send(request(DEMO + "Echo", [*fields, ("transfer-encoding", "chunked")], None))
        await uploading.send(chunked(ECHO[:3]))
        unary = await http2_client.request(http2.head(DEMO + "Echo", *fields), ECHO[:3], end=False)
        short = await there.streams(count=4, interval_ms=200)
        long = await there.streams(interval_ms=600_000)

        begun = time.monotonic()
        gateway.signal()
        while await gateway.is_ready():
            await asyncio.sleep(0.005)
        unready_after = time.monotonic() - begun
        assert unready_after < DRAIN / 2
        await http2_client.until(lambda: http2_client.goaway is not None, DRAIN / 2)
        assert http2_client.goaway is not None
        assert (http2_client.goaway.code, http2_client.goaway.last_stream) == (0, NOTICE)
        assert await resting.rest() == b""
        for port in (gateway.port, gateway.tls_port):
            with pytest.raises(ConnectionError):
                async with wire.connect(port):
                    pass

        uploaded = await uploading.ask(chunked(ECHO[3:]) + b"0\r\n\r\n")
        assert (uploaded.code, uploaded.value("connection")) == (0, "close")
        assert await uploading.rest() == b""
        await unary.send(ECHO[3:], end=True)
        assert (await unary.response()).answer.code == 0
        assert [await finish() for finish in short] == [(4, Status(Code.OK))] * 5
        assert time.monotonic() - begun < DRAIN

        assert [await finish() for finish in long] == [(1, DRAINED)] * 5
        assert DRAIN - 0.1 < time.monotonic() - begun < DRAIN + AT_ONCE
        await http2_client.until_closed()
        assert await gateway.ended() == 0
        took = time.monotonic() - begun
        assert took < DRAIN + AT_ONCE
        assert_ended_in_order(gateway, calls=5)
        figures(seconds_to_unready=round(unready_after, 3), drain=DRAIN, seconds_to_exit=round(took, 2))


# -- a second signal --------------------------------------------------------------------------------------------------


@by_workers
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_signal_ends_the_drain_now(workers: int, number: signal.Signals, figures: Figures) -> None:
    async with clients(workers=workers, drain="60s") as there:
        gateway = there.gateway
        streams = await there.streams(interval_ms=600_000)
        gateway.signal(number)
        # Each process says it for itself, the supervisor first.
        await gateway.event("draining", count=workers + 1 if workers > 1 else 1)
        begun = time.monotonic()
        gateway.signal(number)
        assert await gateway.ended() == 0
        took = time.monotonic() - begun
        assert took < AT_ONCE
        assert [await finish() for finish in streams] == [(1, DRAINED)] * 5
        assert_ended_in_order(gateway, calls=5)
        figures(seconds_to_exit=round(took, 2))
