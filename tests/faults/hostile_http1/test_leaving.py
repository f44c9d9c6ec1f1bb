"""A hostile peer over HTTP/1.1: one that leaves, in whatever way and at whatever moment. His call goes with him."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from gateway.demo.pb import demo_pb2
from tests.faults.hostile_http1.attack import ECHO
from tests.support.backends import SCRIPT, ScriptedBackend
from tests.support.frames import message
from tests.support.gateway import DEMO, RunningGateway, eventually
from tests.support.waiting_gate import waiting_gate
from tests.support.wire import Wire, chunked, connect, request

pytestmark = pytest.mark.asyncio(loop_scope="module")


Leave = Callable[[Wire], object]


def idle(gateway: RunningGateway) -> bytes:
    """A stream that sends one message and then nothing."""
    return request(DEMO + "Count", gateway.fields(), message(demo_pb2.CountRequest(interval_ms=600_000)))


def close(wire: Wire) -> None:
    wire.writer.close()


LEAVING = pytest.mark.parametrize("leave", [close, Wire.reset], ids=["closed", "reset"])


@pytest.fixture(scope="module")
def time_outs() -> tuple[float, float]:
    """None that a test would live to see: what ends here ends because somebody left."""
    return 60.0, 60.0


async def assert_over(gateway: RunningGateway, backend: ScriptedBackend) -> None:
    await eventually(lambda: gateway.open_calls == 0)
    await eventually(lambda: backend.open + gateway.world.backend.open_streams == 0)


async def nothing_sent(gateway: RunningGateway, wire: Wire) -> None:
    pass


async def half_a_head(gateway: RunningGateway, wire: Wire) -> None:
    await wire.send(b"POST /demo.v1.Demo/Echo HTTP/1.1\r\nHost: x")


async def head_without_body(gateway: RunningGateway, wire: Wire) -> None:
    await wire.send(request(DEMO + "Collect", gateway.fields(("content-length", "99")), None))
    await gateway.world.backend.wait_open(1)


async def half_a_body(gateway: RunningGateway, wire: Wire) -> None:
    await wire.send(request(DEMO + "Collect", gateway.fields(("content-length", "99")), None) + ECHO[:-1])
    await gateway.world.backend.wait_open(1)


async def open_chunks(gateway: RunningGateway, wire: Wire) -> None:
    await wire.send(request(DEMO + "Chat", gateway.fields(("transfer-encoding", "chunked")), None) + chunked(ECHO))
    await wire.head()
    assert await wire.chunk() == ECHO


async def no_reply_yet(gateway: RunningGateway, wire: Wire) -> None:
    await wire.send(request(SCRIPT + "Silent", gateway.fields(), b""))
    await eventually(lambda: gateway.open_calls == 1)
    await asyncio.sleep(0.05)


async def idle_stream(gateway: RunningGateway, wire: Wire) -> None:
    await wire.send(idle(gateway))
    await wire.head()
    await wire.chunk()


async def busy_stream(gateway: RunningGateway, wire: Wire) -> None:
    await wire.send(request(SCRIPT + "Flood", gateway.fields(), b""))
    await wire.head()
    await wire.chunk()


async def pipelined_behind_a_stream(gateway: RunningGateway, wire: Wire) -> None:
    await idle_stream(gateway, wire)
    await wire.send(request(DEMO + "Echo", gateway.fields(), ECHO) * 50)
    await asyncio.sleep(0.1)


async def upload_behind_a_stream(gateway: RunningGateway, wire: Wire) -> None:
    await idle_stream(gateway, wire)
    wire.writer.write(request(DEMO + "Collect", gateway.fields(("content-length", "99999999")), None) + bytes(700_000))
    await asyncio.sleep(0.1)


async def upload_that_the_backend_holds_up(gateway: RunningGateway, wire: Wire) -> None:
    await wire.send(request(SCRIPT + "Deaf", gateway.fields(("transfer-encoding", "chunked")), None))
    await wire.head()
    connections = list(gateway.gateway._server.connections)
    part = chunked(message(bytes(100_000)))

    def held_up() -> bool:
        return any(each.transport is not None and not each.transport.is_reading() for each in connections)

    async with asyncio.timeout(5):
        while not held_up():
            await wire.send(part)
            await asyncio.sleep(0.002)


@LEAVING
@pytest.mark.parametrize(
    "stage",
    [
        nothing_sent,
        half_a_head,
        head_without_body,
        half_a_body,
        open_chunks,
        no_reply_yet,
        idle_stream,
        busy_stream,
        pipelined_behind_a_stream,
        upload_behind_a_stream,
        upload_that_the_backend_holds_up,
    ],
)
async def test_who_leaves_takes_the_call_along(
    gateway: RunningGateway,
    backend: ScriptedBackend,
    stage: Callable[[RunningGateway, Wire], Awaitable[None]],
    leave: Leave,
) -> None:
    async with connect(gateway.port) as wire:
        await stage(gateway, wire)
        leave(wire)
        await assert_over(gateway, backend)


@LEAVING
async def test_who_leaves_a_tls_connection_takes_the_call_along(
    gateway: RunningGateway, backend: ScriptedBackend, leave: Leave
) -> None:
    port, context = gateway.door(tls=True)
    async with connect(port, context=context) as wire:
        await idle_stream(gateway, wire)
        leave(wire)
        await assert_over(gateway, backend)


async def test_who_leaves_a_tls_connection_that_is_held_up(gateway: RunningGateway, backend: ScriptedBackend) -> None:
    port, context = gateway.door(tls=True)
    async with connect(port, context=context) as wire:
        await upload_that_the_backend_holds_up(gateway, wire)
        wire.reset()
        await assert_over(gateway, backend)


@pytest.mark.parametrize("stage", [nothing_sent, half_a_head, half_a_body, open_chunks, no_reply_yet, idle_stream])
async def test_half_closed_is_left(
    gateway: RunningGateway,
    backend: ScriptedBackend,
    stage: Callable[[RunningGateway, Wire], Awaitable[None]],
) -> None:
    """A browser never half-closes: the end of what it sends is how its leaving shows."""
    async with connect(gateway.port) as wire:
        await stage(gateway, wire)
        wire.half_close()
        assert b"HTTP/" not in await wire.rest()
        await assert_over(gateway, backend)


@LEAVING
async def test_who_leaves_while_the_gate_waits(leave: Leave) -> None:
    async with waiting_gate() as (gateway, server), connect(gateway.port) as wire:
        await wire.send(request(DEMO + "Echo", gateway.fields(authorization="Bearer opaque"), ECHO))
        await server.arrived.wait()
        assert gateway.open_calls == 1
        leave(wire)
        await eventually(lambda: gateway.open_calls == 0)


async def test_many_who_come_and_go(gateway: RunningGateway, backend: ScriptedBackend) -> None:
    async def come_and_go(number: int) -> None:
        async with connect(gateway.port) as wire:
            await wire.send(idle(gateway))
            if number % 2:
                await wire.head()
            if number % 3:
                wire.reset()

    await asyncio.gather(*map(come_and_go, range(100)))
    await assert_over(gateway, backend)
