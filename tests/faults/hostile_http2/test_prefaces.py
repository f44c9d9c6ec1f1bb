"""A hostile client over HTTP/2: connections that begin with something else than they should. Nobody else notices."""

import asyncio

import pytest

from tests.support.frames_http2 import GREETING, PREFACE, headers, ping, settings
from tests.support.gateway import RunningGateway
from tests.support.hostile import CANARY, FRAME_SIZE_ERROR, GOOD, PROTOCOL_ERROR, assert_gives_nothing_away, call
from tests.support.raw_http2 import hostile_client
from tests.support.wire import connect, request

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_preface_in_pieces(gateway: RunningGateway) -> None:
    async with hostile_client(gateway.port, greeting=b"") as peer:
        for byte in GREETING:
            await peer.send(bytes((byte,)))
            await asyncio.sleep(0)
        await call(gateway, peer, 1)


@pytest.mark.parametrize("place", range(0, len(PREFACE), 3))
async def test_what_only_begins_like_a_preface_is_bad_http1(gateway: RunningGateway, place: int) -> None:
    bad = PREFACE[:place] + b"~" + PREFACE[place + 1 :]
    async with connect(gateway.port) as line:
        await line.send(bad + CANARY * 20 + b"\r\n\r\n")
        answer = await line.rest()
    assert answer.startswith(b"HTTP/1.1 400 "), answer
    assert answer.endswith(b"\r\n\r\nbad request\n")
    assert CANARY not in answer


@pytest.mark.parametrize(
    "first", [CANARY * 20, b"GET /zqxjk HTTP/1.1\r\n\r\n", ping(), headers(1, GOOD), settings()[:-1] + b"\1"]
)
@pytest.mark.parametrize("tls", [False, True])
async def test_a_preface_without_settings(gateway: RunningGateway, first: bytes, tls: bool) -> None:
    port, context = gateway.door(tls, "h2")
    async with hostile_client(port, greeting=PREFACE + first, context=context) as peer:
        await peer.until_closed()
        assert peer.goaway in (PROTOCOL_ERROR, FRAME_SIZE_ERROR)
        assert_gives_nothing_away(peer)


@pytest.mark.parametrize("first", [request("/zqxjk"), CANARY * 100, PREFACE[:-1] + b"~" + settings(), b"\0" * 100])
async def test_another_protocol_than_was_agreed_on(gateway: RunningGateway, first: bytes) -> None:
    port, context = gateway.door(True, "h2")
    async with hostile_client(port, greeting=first, context=context) as peer:  # ALPN said h2
        await peer.until_closed()
        assert peer.goaway is not None
        assert not peer.streams
        assert_gives_nothing_away(peer)
    assert context is not None
    context.set_alpn_protocols(["http/1.1"])
    async with connect(port, context=context) as line:
        await line.send(GREETING)
        answer = await line.rest()
    assert answer.startswith(b"HTTP/1.1 400 "), answer
