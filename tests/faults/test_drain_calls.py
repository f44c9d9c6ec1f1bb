"""Calls while a gateway drains: who can finish does, the rest is ended with a status."""

import asyncio
import time
from collections.abc import Callable

import pytest

from gateway.demo.pb import demo_pb2
from tests.faults.streams import AT_ONCE, ECHO, Configuration, assert_unavailable, begun, counting, finish
from tests.support.frames import message
from tests.support.gateway import BINARY, DEMO, TEXT, eventually, running
from tests.support.wire import PATIENCE, chunked, connect, request

DRAIN = 2  # seconds


def drains_for(seconds: int) -> Callable[[Configuration], None]:
    def change(configuration: Configuration) -> None:
        configuration["drain"] = f"{seconds}s"

    return change


@pytest.mark.parametrize("kind", [BINARY, TEXT])
async def test_a_drain_lets_calls_finish_and_ends_the_rest(kind: str) -> None:
    async with running(drains_for(DRAIN)) as gateway:
        finishing = request(DEMO + "Count", gateway.fields(), message(demo_pb2.CountRequest(count=2, interval_ms=200)))
        async with (
            connect(gateway.port) as resting,
            connect(gateway.port) as short,
            connect(gateway.port) as long,
            connect(gateway.port) as upload,
        ):
            assert (await resting.ask(request(DEMO + "Echo", gateway.fields(), ECHO))).code == 0
            await gateway.world.backend.wait_open(0)
            short_answer = await begun(short, finishing)
            long_answer = await begun(long, counting(gateway, kind))
            await upload.send(request(DEMO + "Collect", gateway.fields(("transfer-encoding", "chunked")), None))
            await upload.send(chunked(ECHO))
            await gateway.world.backend.wait_open(3)

            started = time.monotonic()
            drain = asyncio.create_task(gateway.gateway.drain())
            assert await resting.rest() == b""  # closed, or a call on it would be lost
            with pytest.raises(ConnectionError):
                async with connect(gateway.port):
                    pass
            # A body that was on its way still arrives, and its answer tells not to come again.
            uploaded = await upload.ask(chunked(ECHO) + b"0\r\n\r\n")
            assert demo_pb2.CollectReply.FromString(uploaded.grpc()[0][0]).count == 2
            assert uploaded.value("connection") == "close"
            assert await upload.rest() == b""
            assert len((await finish(short, short_answer)).grpc()[0]) == 2
            assert short_answer.code == 0
            assert await short.rest() == b""
            assert time.monotonic() - started < DRAIN
            # What does not end by itself is ended, with the trailer frame that every call has.
            await finish(long, long_answer)
            assert_unavailable(long_answer, messages=1)
            assert await long.rest() == b""
            assert DRAIN - 0.05 < time.monotonic() - started < DRAIN + AT_ONCE
            await drain
        assert gateway.open_calls == 0
        await asyncio.wait_for(gateway.world.backend.wait_open(0), PATIENCE)


async def test_a_drain_with_nothing_to_wait_for_is_over_at_once() -> None:
    async with running(drains_for(60)) as gateway, connect(gateway.port) as wire:
        assert (await wire.ask(request(DEMO + "Echo", gateway.fields(), ECHO))).code == 0
        started = time.monotonic()
        await gateway.gateway.drain()
        assert time.monotonic() - started < AT_ONCE
        assert await wire.rest() == b""


async def test_who_is_connected_may_bring_one_more_request_soon() -> None:
    async with (
        running(drains_for(60)) as gateway,
        connect(gateway.port) as used,
        connect(gateway.port) as fresh,
        connect(gateway.port) as silent,
    ):
        port, trust = gateway.door(tls=True)
        async with connect(port, context=trust) as secure:
            echo = request(DEMO + "Echo", gateway.fields(), ECHO)
            await used.ask(echo)
            await eventually(lambda: gateway.gateway.census.connections == 4)
            drain = asyncio.create_task(gateway.gateway.drain())
            await eventually(lambda: gateway.gateway.census.draining)
            for wire in (used, fresh, secure):
                answer = await wire.ask(echo)
                assert (answer.code, answer.value("connection")) == (0, "close")
                assert await wire.rest() == b""
            assert not drain.done()
            assert await silent.rest() == b""
            await asyncio.wait_for(drain, AT_ONCE)


async def test_a_request_that_comes_with_the_drain_is_answered() -> None:
    async with running() as gateway, connect(gateway.port) as wire:
        await wire.ask(request(DEMO + "Echo", gateway.fields(), ECHO))
        (connection,) = gateway.gateway._server.connections
        await wire.send(request(DEMO + "Echo", gateway.fields(), ECHO))
        while connection._request_count < 2:  # the drain comes in the very turn of the loop that took the request in
            await asyncio.sleep(0)
        await gateway.gateway.drain()
        answer = await wire.answer()
        assert answer.code == 0
        assert await wire.rest() == b""


async def test_stopping_cuts_off_what_the_drain_left() -> None:
    async with running() as gateway:
        async with connect(gateway.port) as wire:
            answer = await begun(wire, counting(gateway))
            await gateway.gateway.stop()
            with pytest.raises(asyncio.IncompleteReadError):
                await finish(wire, answer)
        assert gateway.open_calls == 0
