"""A hostile client over HTTP/2: one that leaves, in whatever way and at whatever moment. His calls go with him."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tests.support.backends import SCRIPT, ScriptedBackend
from tests.support.behaviours import PIECE
from tests.support.frames_http2 import block, continuation, data, goaway, headers, reset
from tests.support.gateway import RunningGateway, eventually
from tests.support.hostile import ECHO, GOOD, assert_gives_nothing_away, code, flood_call, head, left_behind, open_call
from tests.support.raw_http2 import Peer, hostile_client
from tests.support.waiting_gate import waiting_gate

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def close(peer: Peer) -> None:
    peer.wire.writer.close()


async def half_close(peer: Peer) -> None:
    peer.wire.half_close()


async def cut(peer: Peer) -> None:
    peer.wire.reset()


async def goodbye(peer: Peer) -> None:
    await peer.send(goaway())
    peer.wire.writer.close()


LEAVING = pytest.mark.parametrize("leave", [close, half_close, cut, goodbye])
Leave = Callable[[Peer], Awaitable[None]]


async def nothing_sent(gateway: RunningGateway, peer: Peer) -> None:
    pass


async def half_a_head(gateway: RunningGateway, peer: Peer) -> None:
    await peer.send(headers(1, GOOD, more=True), continuation(1, b"", more=True)[:5])


async def no_body(gateway: RunningGateway, peer: Peer) -> None:
    await peer.send(open_call(gateway, method="Collect"))
    await gateway.world.backend.wait_open(2)


async def half_a_message(gateway: RunningGateway, peer: Peer) -> None:
    await peer.send(open_call(gateway, method="Collect"), data(1, ECHO[:-1]))
    await gateway.world.backend.wait_open(2)


async def half_a_frame(gateway: RunningGateway, peer: Peer) -> None:
    await peer.send(open_call(gateway, method="Collect"), data(1, ECHO)[:-1])
    await gateway.world.backend.wait_open(2)


async def open_both_ways(gateway: RunningGateway, peer: Peer) -> None:
    await peer.send(open_call(gateway), data(1, ECHO))
    await peer.until(lambda: peer.said(1).data == ECHO)


async def no_reply_yet(gateway: RunningGateway, peer: Peer) -> None:
    await peer.send(headers(1, block(head(gateway, SCRIPT + "Silent"))), data(1, ECHO, end=True))
    await eventually(lambda: gateway.open_calls == 2)


async def busy_streams(gateway: RunningGateway, peer: Peer) -> None:
    await peer.send(*[flood_call(gateway, stream) for stream in (1, 3, 5)])
    await peer.until(lambda: len(peer.said(1).data) > PIECE)


async def answers_on_their_way(gateway: RunningGateway, peer: Peer) -> None:
    peer.wire.stop_reading()
    for stream in range(1, 201, 2):
        await peer.send(open_call(gateway, stream, "Echo"), data(stream, ECHO, end=True))


async def a_body_that_is_held_up(gateway: RunningGateway, peer: Peer) -> None:
    await peer.send(headers(1, block(head(gateway, SCRIPT + "Silent"))), data(1, bytes(16_384)) * 60)
    await eventually(lambda: gateway.open_calls == 2)


async def refused(gateway: RunningGateway, peer: Peer) -> None:
    await peer.send(headers(1, block(head(gateway, role=None))))
    assert code(await peer.answer(1)) == 16


@LEAVING
@pytest.mark.parametrize(
    "stage",
    [
        nothing_sent,
        half_a_head,
        no_body,
        half_a_message,
        half_a_frame,
        open_both_ways,
        no_reply_yet,
        busy_streams,
        answers_on_their_way,
        a_body_that_is_held_up,
        refused,
    ],
)
async def test_who_leaves_takes_his_calls_along(
    gateway: RunningGateway,
    backend: ScriptedBackend,
    stage: Callable[[RunningGateway, Peer], Awaitable[None]],
    leave: Leave,
) -> None:
    before = left_behind(gateway, [backend])
    async with hostile_client(gateway.port) as peer:
        await stage(gateway, peer)
        await leave(peer)
        await eventually(lambda: left_behind(gateway, [backend]) == before)
        assert_gives_nothing_away(peer)


@pytest.mark.parametrize("leave", [close, cut, goodbye])
async def test_who_leaves_a_tls_connection_takes_his_calls_along(
    gateway: RunningGateway, backend: ScriptedBackend, leave: Leave
) -> None:
    before = left_behind(gateway, [backend])
    port, context = gateway.door(True, "h2")
    async with hostile_client(port, context=context) as peer:
        await busy_streams(gateway, peer)
        await leave(peer)
        await eventually(lambda: left_behind(gateway, [backend]) == before)


async def test_many_who_come_and_go(gateway: RunningGateway, backend: ScriptedBackend) -> None:
    before = left_behind(gateway, [backend])

    async def come_and_go(number: int) -> None:
        async with hostile_client(gateway.port) as peer:
            await peer.send(*[open_call(gateway, stream) for stream in range(1, 21, 2)])
            if number % 2:
                await peer.pong()
            if number % 3:
                peer.wire.reset()

    await asyncio.gather(*map(come_and_go, range(60)))
    await eventually(lambda: left_behind(gateway, [backend]) == before)


@LEAVING
async def test_who_leaves_while_the_gate_waits(leave: Leave) -> None:
    async with waiting_gate() as (gateway, server), hostile_client(gateway.port) as peer:
        waiting = block(head(gateway, authorization="Bearer opaque"))
        await peer.send(*[headers(stream, waiting) + data(stream, ECHO) for stream in (1, 3, 5)], reset(3))
        await server.arrived.wait()
        await eventually(lambda: gateway.open_calls == 2)
        await leave(peer)
        await eventually(lambda: gateway.open_calls == 0)
