"""Who asks for too much loses the connection, and who asks for much does not."""

import asyncio
from collections.abc import Iterator

import h2.errors
import h2.events
import pytest
from h2.settings import SettingCodes
from structlog.testing import capture_logs

from gateway.http2 import NO_ERROR, SEND_BUFFER
from gateway.http2.errors import ENHANCE_YOUR_CALM
from tests.support.http2 import (
    DATA,
    FRAME_HEAD,
    PING,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
)
from tests.unit.http2.recording import REQUEST, WIDE, asked, serving


async def test_too_many_headers() -> None:
    link, peer = await serving()
    await asked(link, peer)
    peer.request([*REQUEST, *((b"x-%d" % number, b"") for number in range(252))])
    assert len(link.requests) == 2
    peer.request([*REQUEST, *((b"x-%d" % number, b"") for number in range(253))])
    assert len(link.requests) == 2
    assert peer.transport.closed


async def test_streams_beyond_the_limit_end_the_connection() -> None:
    link, peer = await serving()
    peer.h2.remote_settings[SettingCodes.MAX_CONCURRENT_STREAMS] = 1000
    peer.h2.remote_settings.acknowledge()
    for _ in range(128):
        last = peer.request(REQUEST, end=False)
    await peer.talk()
    assert len(link.requests) == 128
    assert not peer.transport.closed
    peer.request(REQUEST)
    await peer.talk()
    assert len(link.requests) == 128
    assert (peer.goaways[0].last_stream, peer.goaways[0].code) == (last, h2.errors.ErrorCodes.PROTOCOL_ERROR)
    assert peer.transport.closed


async def test_resets_beyond_the_rate_end_the_connection() -> None:
    link, peer = await serving()
    for _ in range(1200):
        stream = peer.h2.get_next_available_stream_id()
        peer.h2.send_headers(stream, REQUEST)
        peer.h2.reset_stream(stream)
        peer.say()
        if peer.transport.closed:
            break
        await asyncio.sleep(0)
    peer.hear()
    assert peer.transport.closed
    assert 900 < len(link.requests) < 1100
    assert peer.goaways[-1].code != NO_ERROR


async def test_pings_that_nobody_reads_the_answers_to_end_the_connection() -> None:
    link, peer = await serving()
    peer.transport.fill()
    for number in range(1100):
        if peer.transport.closed:
            break
        link.data_received(frame(PING, 0, 0, b"%08d" % number))
    assert peer.transport.closed
    assert 900 < number < 1100


@pytest.mark.parametrize("kind", ["ping", "settings", "window"])
async def test_frames_that_ask_for_nothing_are_counted(kind: str) -> None:
    link, peer = await serving()
    await asked(link, peer)
    asking = {
        "ping": frame(PING, 0, 0, b"12345678"),
        "settings": frame(SETTINGS, 0, 0),
        "window": frame(WINDOW_UPDATE, 0, 0, (1).to_bytes(4, "big")),
    }[kind]
    for _ in range(9):
        link.data_received(asking * 100)
        await asyncio.sleep(0)
    peer.clock.now += 1.0
    link.tick(peer.clock.now)
    for _ in range(4):  # as time goes by, there may be more
        link.data_received(asking * 40)
        await asyncio.sleep(0)
    assert not peer.transport.closed
    with capture_logs() as events:
        for _ in range(3):
            if not peer.transport.closed:
                link.data_received(asking * 100)
                await asyncio.sleep(0)
    assert peer.transport.closed
    peer.hear()
    assert peer.goaways[-1].code == ENHANCE_YOUR_CALM
    assert [event["event"] for event in events] == ["connection_error"]


@pytest.mark.parametrize("piece", [100, 16_000, SEND_BUFFER, 1024 * 1024])
async def test_who_acknowledges_what_it_reads_asks_for_nothing(piece: int) -> None:
    """As Go's client does: each DATA frame, for the stream and for the connection."""
    link, peer = await serving(WIDE)
    stream, _ = await asked(link, peer)
    for _ in range(1000 if piece < SEND_BUFFER else 60):
        link.send(stream, bytes(piece))
        await asyncio.sleep(0)
        while written := b"".join(peer.transport.writes):
            peer.transport.writes.clear()
            link.data_received(b"".join(acknowledgements(written)))
            await asyncio.sleep(0)
        assert not peer.transport.closed


def acknowledgements(written: bytes) -> Iterator[bytes]:
    """Of each DATA frame."""
    at = 0
    while at < len(written):
        size = written[at : at + 3]
        if written[at + 3] == DATA:
            for stream in (0, written[at + 8]):
                yield frame(WINDOW_UPDATE, 0, stream, b"\0" + size)
        at += FRAME_HEAD + int.from_bytes(size, "big")


async def test_a_stream_error_is_no_error_of_the_connection() -> None:
    """RFC 9113, section 8.2.2: `connection` makes a request malformed."""
    link, peer = await serving()
    bad = peer.request([*REQUEST, (b"connection", b"close")])
    await peer.talk()
    assert peer.reset(bad) == h2.errors.ErrorCodes.PROTOCOL_ERROR
    assert link.requests == []
    good, _ = await asked(link, peer)
    link.end(good)
    await peer.talk()
    assert peer.ended(good)
