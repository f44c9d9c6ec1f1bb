"""Browsers and backends over HTTP/2 that stand still: nobody else waits for them, and no memory fills."""

import asyncio
import contextlib
import socket
from collections import Counter

from tests.faults.h2_backend.load import CALL, FAST, KIB, MIB, OK, fast, fast_or_silent, to
from tests.support.backend_http2 import Request, backend, ok
from tests.support.frames import message
from tests.support.gateway import at_rest, eventually, running
from tests.support.wire import Wire, chunked, connect, request


async def test_browsers_that_stand_still_stop_neither_others_nor_fill_the_memory() -> None:
    async def answer(request: Request) -> None:
        if request.fields[b":path"] == FAST.encode():
            await ok(request)
            return
        request.head()
        piece = message(bytes(64 * KIB))
        for _ in range(1024):
            await request.send(piece)
        request.trailers(OK)

    async with backend(answer) as there, running(to(there)) as gateway, contextlib.AsyncExitStack() as exits:
        wires = [await exits.enter_async_context(connect(gateway.port, deaf=True)) for _ in range(24)]
        for wire in wires:
            exits.callback(wire.writer.transport.abort)
            await wire.send(request(CALL, gateway.fields(), message(b"")))
            wire.stop_reading()
        await there.arrivals(24)
        stalled = list(there.requests)
        await at_rest(lambda: sum(each.sent for each in stalled))
        assert all(MIB <= each.sent < 8 * MIB for each in stalled), [each.sent for each in stalled]  # sockets included
        for _ in range(5):
            await fast(gateway)
        big = await gateway.post(FAST, message(bytes(1000 * KIB)))
        assert len(big.messages[0]) == 1000 * KIB
        assert len(there.connections) == 1
        sent = stalled[0].sent
        wires[0].read_again()
        reading = asyncio.create_task(wires[0].rest())
        await there.until(lambda: stalled[0].sent > sent + 4 * MIB)  # whoever reads again goes on
        for wire in wires:
            wire.reset()
        await reading
        await there.until(lambda: not there.connections[0].open)
        await eventually(lambda: gateway.open_calls == 0)
        await fast(gateway)


async def test_a_backend_that_stands_still_stops_its_own_callers_alone() -> None:
    async with backend(fast_or_silent) as there:
        there.holds = True
        async with running(to(there)) as gateway, contextlib.AsyncExitStack() as exits:
            await there.until(lambda: bool(there.connections))
            there.connections[0].widen(64 * MIB)
            wires = [await exits.enter_async_context(connect(gateway.port, deaf=True)) for _ in range(24)]
            sent = Counter[Wire]()

            async def upload(wire: Wire) -> None:
                for _ in range(512):
                    await wire.send(chunked(message(bytes(64 * KIB))))
                    sent[wire] += 64 * KIB

            uploads = []
            for wire in wires:
                exits.callback(wire.writer.transport.abort)
                wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 * KIB)
                await wire.send(request(CALL, gateway.fields(("transfer-encoding", "chunked")), None))
                uploads.append(asyncio.create_task(upload(wire)))
            await there.arrivals(24)
            await at_rest(sent.total)
            taken = [call.request_bytes_seen for call in gateway.gateway._census.calls]  # the rest is in the sockets
            assert len(taken) == 24
            assert all(64 * KIB < each < MIB for each in taken), taken
            for _ in range(5):
                await fast(gateway)
            there.connections[0].release()
            before = sent.total()
            await eventually(lambda: sent.total() > before + 24 * MIB, 10)  # and they go on
            for wire in wires:
                wire.reset()
            await asyncio.gather(*uploads, return_exceptions=True)
            await there.until(lambda: not there.connections[0].open)
            await eventually(lambda: gateway.open_calls == 0)
