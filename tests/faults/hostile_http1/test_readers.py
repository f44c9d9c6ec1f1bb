"""A hostile peer over HTTP/1.1: one that does not read, or slowly."""

import asyncio
import time

import pytest

from gateway.demo.pb import demo_pb2
from tests.faults.hostile_http1.attack import STALL
from tests.support.backends import SCRIPT, ScriptedBackend
from tests.support.behaviours import PIECE
from tests.support.frames import message
from tests.support.gateway import DEMO, RunningGateway, at_rest, eventually
from tests.support.wire import PATIENCE, connect, request

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize("tls", [False, True])
async def test_a_reader_that_never_reads(
    gateway: RunningGateway, backend: ScriptedBackend, tls: bool, defects: list[str]
) -> None:
    port, context = gateway.door(tls)
    async with connect(port, context=context, deaf=True) as wire:
        wire.stop_reading()
        already = backend.sent
        await wire.send(request(SCRIPT + "Flood", gateway.fields(), b""))
        await eventually(lambda: backend.sent > already)
        sent = await at_rest(lambda: backend.sent, pause=0.1) - already
        assert sent * PIECE < 16 * 1024 * 1024  # what the kernel, the windows and the gateway hold, and no more
        assert gateway.open_calls == 1
        await eventually(lambda: gateway.open_calls == 0, STALL + 2)
        await eventually(lambda: backend.open == 0)


@pytest.mark.parametrize("tls", [False, True])
async def test_a_reader_that_is_slow_loses_nothing(gateway: RunningGateway, tls: bool) -> None:
    size, burst = 8_000_000, 400_000  # more than the kernel holds; more than what counts as moving
    port, context = gateway.door(tls)
    async with connect(port, context=context, deaf=True) as wire:
        wire.stop_reading()
        started = time.monotonic()
        await wire.send(
            request(DEMO + "Count", gateway.fields(), message(demo_pb2.CountRequest(count=1, payload_bytes=size)))
        )
        await asyncio.sleep(STALL / 2)
        wire.read_again()
        head = await wire.head()
        received = bytearray()
        while b"grpc-status:" not in received[-100:]:
            before = len(received)
            while len(received) < before + burst and b"grpc-status:" not in received[-100:]:
                data = await asyncio.wait_for(wire.reader.read(burst), PATIENCE)
                assert data, "cut off"
                received += data
            await asyncio.sleep(STALL / 4)
        assert time.monotonic() - started > 4 * STALL
        assert head.status == 200
        assert len(received) > size
