"""A hostile backend over HTTP/2: too much, or nothing at all. Callers get a proper status, and nothing grows."""

import asyncio

import pytest

from gateway.demo.pb import demo_pb2
from gateway.http2 import SEND_BUFFER, STREAM_WINDOW
from gateway.upstream import backend_link
from tests.support import http2
from tests.support.frames import message, take_apart
from tests.support.frames_http2 import (
    INITIAL_WINDOW_SIZE,
    MAX_CONCURRENT_STREAMS,
    SETTINGS_ACK,
    block,
    data,
    goaway,
    headers,
    in_pieces,
    reset,
    settings,
    window_update,
)
from tests.support.gateway import RunningGateway, eventually
from tests.support.hostile import ECHO, GROWTH, MIB, attacker, resident
from tests.support.hostile_backend import (
    DO,
    HEAD,
    OK,
    Behaviour,
    HostileBackend,
    ask,
    head,
    open_call,
    pool_of,
    status_of,
    well,
)
from tests.support.http2 import DATA, HEADERS, RST_STREAM
from tests.support.raw_http2 import Peer

pytestmark = pytest.mark.asyncio(loop_scope="module")


DEADLINE = "300m"


# --- too much


async def flood_of_errors(peer: Peer) -> None:
    """An HTTP error whose text never ends."""
    stream = await peer.request()
    await peer.send(headers(stream, block([(b":status", b"503"), (b"content-type", b"text/html")])))
    while peer.said(stream).reset is None:
        await peer.send(data(stream, b"<p>no " * 1000))
        await asyncio.sleep(0)
    await well(peer)


async def test_an_http_error_without_end(gateway: RunningGateway, backend: HostileBackend) -> None:
    await backend.turn(flood_of_errors)
    async with http2.connect(gateway.port) as client:
        status = await status_of(await open_call(client, gateway))
    assert status.code == 14
    assert "503" in status.message
    assert len(status.message) < 2000
    assert await ask(gateway) == ([ECHO[5:]], 0)  # on the same connection
    assert len(backend.peers) == 1


@pytest.mark.parametrize(("size", "expected"), [(40_000, 0), (60_000, 8)])
@pytest.mark.parametrize("where", ["head", "trailers"])
async def test_large_metadata_of_a_reply(
    gateway: RunningGateway, backend: HostileBackend, where: str, size: int, expected: int
) -> None:
    """It arrives, or an error does in its place; other calls of the connection go on."""

    async def large(peer: Peer) -> None:
        stream = await peer.request()
        much = [(b"x-a", b"a" * size)]
        first = in_pieces(stream, block(HEAD + much * (where == "head")))
        last = in_pieces(stream, block(OK + much * (where == "trailers")), end=True)
        await peer.send(first, data(stream, ECHO), last)
        await well(peer)

    await backend.turn(large)
    async with http2.connect(gateway.port) as client:
        stream = await (await open_call(client, gateway)).response()
        _, status, metadata = take_apart(stream.data)
        assert status.code == expected
        if not expected:
            assert len(dict([*stream.headers, *metadata])[b"x-a"]) == size
    assert await ask(gateway) == ([ECHO[5:]], 0)
    assert len(backend.peers) == 1


async def beyond(peer: Peer) -> None:
    """More than the window of a stream holds, without asking."""
    stream = await peer.request()
    await peer.send(head(stream))
    await peer.push(*[data(stream, message(bytes(16_000)))] * 200)
    await peer.until_closed()


async def test_data_beyond_the_window(gateway: RunningGateway, backend: HostileBackend) -> None:
    await backend.turn(beyond)
    before = resident()
    async with http2.connect(gateway.port, settings={http2.SettingCodes.INITIAL_WINDOW_SIZE: 0}) as client:
        stream = await open_call(client, gateway)
        await stream.head()
        await eventually(lambda: backend.peers[0].closed)
        assert resident() - before < GROWTH // 4
        await client.open_window(10 * MIB)
        await stream.open_window(10 * MIB)
        messages, status, _ = take_apart((await stream.response()).data)
        assert status.code == 14
        assert len(messages) * 16_000 <= STREAM_WINDOW


# --- nothing


async def nothing(peer: Peer) -> None:
    await peer.until_closed()


async def no_reply(peer: Peer) -> None:
    await peer.request()
    await peer.until_closed()


async def half_a_head(peer: Peer) -> None:
    await peer.send(headers(await peer.request(), block(HEAD))[:-1])
    await peer.until_closed()


async def no_end(peer: Peer) -> None:
    stream = await peer.request()
    await peer.send(head(stream), data(stream, ECHO))
    await peer.until_closed()


@pytest.mark.parametrize("behave", [no_reply, half_a_head, no_end])
async def test_a_backend_that_says_nothing_more(
    gateway: RunningGateway, backend: HostileBackend, behave: Behaviour
) -> None:
    """The deadline ends the call, at the backend too."""
    await backend.turn(behave)
    assert (await ask(gateway, grpc_timeout=DEADLINE))[1] == 4
    await eventually(lambda: len(backend.heard(RST_STREAM)) == 1)


@pytest.mark.parametrize("greeting", [b"", settings()[:-1], b"HTTP/1.1 400 Bad Request\r\n\r\n", settings((5, 1))])
async def test_a_backend_that_never_greets(
    gateway: RunningGateway, backend: HostileBackend, greeting: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend_link, "CONNECT_TIMEOUT", 0.3)
    await backend.turn(nothing, greeting)
    assert await ask(gateway) == ([], 14)
    assert not backend.heard(HEADERS)


async def at_once(peer: Peer) -> None:
    return


async def at_a_request(peer: Peer) -> None:
    await peer.request()


async def cut_at_a_request(peer: Peer) -> None:
    await peer.request()
    peer.wire.reset()


async def half_closed(peer: Peer) -> None:
    await peer.request()
    peer.wire.half_close()
    await peer.until_closed()


async def after_the_head(peer: Peer) -> None:
    await peer.send(head(await peer.request()))


async def with_a_goodbye(peer: Peer) -> None:
    await peer.send(goaway(0, await peer.request()))


@pytest.mark.parametrize(
    "behave", [at_once, at_a_request, cut_at_a_request, half_closed, after_the_head, with_a_goodbye]
)
async def test_a_backend_that_goes(gateway: RunningGateway, backend: HostileBackend, behave: Behaviour) -> None:
    await backend.turn(behave)
    assert await ask(gateway, grpc_timeout="3S") == ([], 14)


# --- no room


async def test_a_backend_that_takes_no_streams(gateway: RunningGateway, backend: HostileBackend) -> None:
    await backend.turn(well, settings((MAX_CONCURRENT_STREAMS, 0)) + SETTINGS_ACK)
    waiting = [asyncio.create_task(ask(gateway, grpc_timeout=DEADLINE)) for _ in range(20)]
    await eventually(lambda: len(pool_of(gateway).waiting) == 20)
    assert await asyncio.gather(*waiting) == [([], 4)] * 20
    assert not pool_of(gateway).waiting
    assert not backend.heard(HEADERS)


async def test_a_backend_that_takes_one_stream_at_a_time(gateway: RunningGateway, backend: HostileBackend) -> None:
    await backend.turn(well, settings((MAX_CONCURRENT_STREAMS, 1)) + SETTINGS_ACK)
    assert await asyncio.gather(*[ask(gateway) for _ in range(20)]) == [([ECHO[5:]], 0)] * 20


@pytest.mark.parametrize("size", [4, 1000, 16_384])
async def test_a_backend_that_takes_no_data(gateway: RunningGateway, backend: HostileBackend, size: int) -> None:
    """The browser's window shuts, whatever the size of its frames; what waits weighs not much more than it says."""
    await backend.turn(no_reply, settings((INITIAL_WINDOW_SIZE, 0)) + SETTINGS_ACK)
    async with attacker(gateway) as (peer, _):
        fields = [(name.encode(), value.encode()) for name, value in gateway.headers().items()]
        pseudo = [(b":method", b"POST"), (b":scheme", b"http"), (b":authority", b"a.test"), (b":path", DO.encode())]
        await peer.send(headers(1, block(pseudo + fields)))
        before, sent, opened = resident(), 0, STREAM_WINDOW
        frames = data(1, message(bytes(size - 5)) if size > 4 else bytes(size)) * (32_768 // size)
        while sent + 32_768 <= opened:
            await peer.send(frames)
            await peer.pong(b"%08d" % sent)
            sent += size * (32_768 // size)
            updates = [each.payload for each in peer.frames if each.kind == 8 and each.stream == 1]
            opened = STREAM_WINDOW + sum(int.from_bytes(each, "big") for each in updates)
        assert sent <= STREAM_WINDOW + SEND_BUFFER + MIB
        assert resident() - before < GROWTH // 2
        assert not backend.heard(DATA)
        assert not peer.said(1).over
        await peer.send(reset(1))


async def never_reads(peer: Peer) -> None:
    peer.wire.stop_reading()
    await asyncio.Event().wait()


async def test_a_backend_that_never_reads(gateway: RunningGateway, backend: HostileBackend) -> None:
    """Nor does its kernel, after a while: nothing leaves the gateway, and its callers wait no longer than they said."""
    await backend.turn(never_reads, settings((INITIAL_WINDOW_SIZE, 2**31 - 1)) + SETTINGS_ACK + window_update(2**30))
    before = resident()
    body = message(demo_pb2.EchoRequest(payload=bytes(4_000_000)))

    async def upload() -> int:
        async with http2.connect(gateway.port) as client:
            stream = await open_call(client, gateway, b"", end=False, grpc_timeout="1S")
            sending = asyncio.create_task(stream.send(body))
            await stream.response()
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            return take_apart(stream.data)[1].code

    assert await asyncio.gather(*[upload() for _ in range(8)]) == [4] * 8
    assert resident() - before < GROWTH
    await backend.turn(well)
    assert await ask(gateway) == ([ECHO[5:]], 0)
