"""A hostile client over HTTP/2: refused calls, their bodies and long header lists. They cost no more than they may."""

import asyncio
import contextlib
from collections.abc import Callable

import pytest

from gateway.demo.pb import demo_pb2
from gateway.front.http2 import CONNECTION_WINDOW
from gateway.http2 import STREAM_WINDOW
from gateway.http2 import link as link_module
from gateway.protocol.metadata import Headers
from tests.support.frames import message, take_apart
from tests.support.frames_http2 import (
    PREFACE,
    block,
    data,
    headers,
    in_pieces,
    indexed,
    literal,
    number,
    reset,
    settings,
)
from tests.support.gateway import DEMO, RunningGateway, eventually
from tests.support.hostile import (
    CANARY,
    ECHO,
    ENHANCE_YOUR_CALM,
    MIB,
    assert_echo,
    assert_gives_nothing_away,
    attacker,
    call,
    code,
    head,
    open_call,
    resident,
)
from tests.support.raw_http2 import hostile_client

pytestmark = pytest.mark.asyncio(loop_scope="module")

GRACE_IS_OVER = 3.0  # seconds after an answer: who has not ended the request by then is reset


# --- refusals


REFUSALS: dict[str, Callable[[RunningGateway], Headers]] = {
    "no token": lambda gateway: head(gateway, role=None),
    "not permitted": lambda gateway: head(gateway, DEMO + "Shout"),
    "unknown": lambda gateway: head(gateway, "/none.v1.Nothing/Do"),
    "a foreign origin": lambda gateway: head(gateway, origin="http://zqxjk.test"),
    "no path of gRPC": lambda gateway: head(gateway, "/zqxjk"),
}


@pytest.mark.parametrize("name", REFUSALS)
async def test_refused_calls_in_great_number(
    gateway: RunningGateway, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing reaches the backend, and no answer that has left takes the place of a call, though none of these ends."""
    monkeypatch.setattr(link_module, "GRACE", 60.0)
    block_of_all = block(REFUSALS[name](gateway))
    seen = gateway.backend_calls
    async with attacker(gateway) as (peer, link):
        for group in range(10):
            streams = range(200 * group + 1, 200 * group + 201, 2)
            await peer.send(*[headers(stream, block_of_all) for stream in streams])
            for stream in streams:
                await peer.answer(stream)
            await eventually(lambda: gateway.gateway.open_calls == 1)  # the bystander's
            await peer.send(*[data(stream, CANARY) for stream in streams])  # they go on, and nobody listens
            await peer.pong(b"%08d" % group)
            link.tick(asyncio.get_running_loop().time())
            await peer.pong(b"%08d" % (1000 + group))
            assert len(link.streams) == len(streams)  # they have their grace
            link.tick(asyncio.get_running_loop().time() + 60.0)
            await eventually(lambda: not link.streams)
            await peer.pong(b"%08d" % ~group)
            assert {peer.said(stream).reset for stream in streams} == {0}
        assert_gives_nothing_away(peer)
    assert gateway.backend_calls == seen


@pytest.mark.parametrize("name", ["no token", "a foreign origin"])
async def test_bodies_that_nobody_wants_take_no_window(gateway: RunningGateway, name: str) -> None:
    refused = block(REFUSALS[name](gateway))
    async with attacker(gateway) as (peer, link):
        for stream in range(1, 2 * (CONNECTION_WINDOW // STREAM_WINDOW) * 2, 2):
            await peer.send(headers(stream, refused), data(stream, bytes(16_384)) * (STREAM_WINDOW // 16_384))
            await peer.answer(stream)
            await peer.send(reset(stream))
        await peer.pong()
        assert link._engine.local_window_size > CONNECTION_WINDOW // 2


async def test_bodies_that_are_cut_inside_a_frame_take_the_window_and_then_the_connection(
    gateway: RunningGateway,
) -> None:
    """The engine never tells of that part. Before all of the window is gone the client is asked to connect again."""
    refused = block(head(gateway, role=None))
    async with attacker(gateway) as (peer, link):

        async def cut_off(stream: int) -> None:
            body = data(stream, bytes(16_384))
            await peer.send(headers(stream, refused), body[:-1])
            await peer.answer(stream)
            link.tick(asyncio.get_running_loop().time() + GRACE_IS_OVER)
            await peer.until(lambda: peer.said(stream).reset == 0)
            await peer.send(body[-1:])

        with contextlib.suppress(ConnectionError):
            for stream in range(1, 2 * 1000, 2):
                await cut_off(stream)
        await peer.until_closed()
        assert peer.goaway == 0


async def test_padding_takes_no_window(gateway: RunningGateway) -> None:
    """Three times as much as the window of a stream, nearly all of it padding."""
    async with attacker(gateway) as (peer, _):
        await peer.send(open_call(gateway, method="Collect"))
        body = message(demo_pb2.EchoRequest(payload=bytes(3 * STREAM_WINDOW // 257)))
        frames = [data(1, bytes((byte,)), padding=255) for byte in body]
        for start in range(0, len(frames), 100):
            await peer.send(*frames[start : start + 100])
            await asyncio.sleep(0)
        await peer.send(data(1, end=True))
        assert take_apart((await peer.answer(1)).data)[1].code == 0


# --- settings, header lists


async def test_settings_that_are_never_acknowledged(gateway: RunningGateway) -> None:
    async with hostile_client(gateway.port, greeting=PREFACE + settings()) as peer:
        for stream in range(1, 41, 2):
            await call(gateway, peer, stream)
        assert peer.goaway is None


def of_size(good: Headers, size: int) -> Headers:
    """Filled up to a list of so many bytes (RFC 9113, section 6.5.2)."""
    used = sum(len(name) + len(value) + 32 for name, value in good)
    return [*good, (b"x-a", b"a" * (size - used - 35))]


async def test_header_lists_above_the_limits(gateway: RunningGateway) -> None:
    good = head(gateway)
    for large in (of_size(good, 12_000), of_size(good, 64 * 1024), good + [(b"x-a", b"")] * 240):
        async with attacker(gateway) as (peer, _):
            await peer.send(in_pieces(1, block(large)))
            assert code(await peer.answer(1)) == 8  # above max_metadata: that call's problem
            await call(gateway, peer, 3)
    for larger in (of_size(good, 64 * 1024 + 1), good + [(b"x-a", b"")] * 256):
        async with attacker(gateway) as (peer, _):
            await peer.push(in_pieces(1, block(larger)))
            await peer.until_closed()
            assert peer.goaway == ENHANCE_YOUR_CALM
            assert_gives_nothing_away(peer)


@pytest.mark.parametrize("size", [1, 4000])
async def test_an_hpack_bomb(gateway: RunningGateway, size: int) -> None:
    """One entry of the table, and references to it: a byte each."""
    good = block(head(gateway))
    async with attacker(gateway) as (peer, _):
        await peer.send(headers(1, good + literal(b"x-a", b"a" * size, 0x40)), data(1, ECHO, end=True))
        assert_echo(await peer.answer(1))
        before = resident()
        await peer.push(headers(3, good + indexed(62) * 10_000))
        await peer.until_closed()
        assert peer.goaway == ENHANCE_YOUR_CALM
        assert resident() - before < 8 * MIB
    async with attacker(gateway) as (peer, _):  # the other way round: the table is emptied and filled again
        shrink, grow = number(0, 5, 0x20), number(4096, 5, 0x20)
        for stream in range(1, 101, 2):
            await peer.send(headers(stream, shrink + grow + good + literal(b"x-a", b"a" * 4000, 0x40)))
            await peer.send(data(stream, ECHO, end=True))
            assert_echo(await peer.answer(stream))
