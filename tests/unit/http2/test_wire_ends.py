"""The end of a connection, whoever brings it: goodbyes, and what is done with who does not leave."""

import asyncio

import h2.errors
import h2.events
import pytest
from structlog.testing import capture_logs

from gateway.http2 import CANCEL, NO_ERROR
from gateway.http2.errors import ENHANCE_YOUR_CALM
from gateway.http2.wire import CLOSE_TIMEOUT, LINGER
from tests.support.http2 import DATA, GoAway, frame
from tests.support.memory import Peer
from tests.unit.http2.recording import REQUEST, Recording, asked, calling, serving


async def test_a_server_that_goes_says_so_twice() -> None:
    """RFC 9113, section 6.8: first a notice, so that what is on its way is still served."""
    link, peer = await serving()
    link.shutdown_notice()
    await peer.talk()
    assert peer.goaways == [GoAway(2**31 - 1, NO_ERROR, b"")]
    stream, _ = await asked(link, peer)
    link.goaway()
    await peer.talk()
    assert peer.goaways[1:] == [GoAway(stream, NO_ERROR, b"")]
    peer.request(REQUEST)
    await peer.talk()
    assert [each for each, _, _ in link.requests] == [stream]
    assert not peer.transport.closed
    link.send(stream, b"last", end=True)
    await peer.talk()
    assert peer.body(stream) == b"last"
    assert peer.ended(stream)


async def test_a_goodbye() -> None:
    link, peer = await serving()
    stream, recorder = await asked(link, peer)
    link.send(stream, b"sent")
    await peer.talk()
    link.close()
    assert peer.transport.closed
    assert not peer.transport.aborted
    link.close()
    link.goaway()
    link.ping()
    link.shutdown_notice()
    link.send(stream, b"never")
    await peer.talk()
    assert peer.goaways == [GoAway(stream, NO_ERROR, b"")]
    assert recorder.heard == [("lost", False)]


async def test_a_goodbye_with_a_reason() -> None:
    link, peer = await serving()
    link.close(h2.errors.ErrorCodes.INADEQUATE_SECURITY)
    await peer.talk()
    assert peer.goaways == [GoAway(0, h2.errors.ErrorCodes.INADEQUATE_SECURITY, b"")]


async def test_a_goodbye_that_the_transport_cannot_take() -> None:
    link, peer = await serving()
    peer.transport.fill()
    link.close()
    assert peer.transport.aborted


async def test_who_does_not_take_the_goodbye_is_cut_off() -> None:
    link, peer = await serving()
    peer.transport.full = True  # the goodbye is what fills it
    peer.transport.buffered = 300_000
    link.close()
    assert peer.transport.closed
    link.tick(link.now)
    link.tick(link.now + CLOSE_TIMEOUT * 0.9)
    assert not peer.transport.aborted
    peer.transport.buffered -= 1  # bytes leave
    link.tick(link.now + CLOSE_TIMEOUT)
    assert not peer.transport.aborted
    link.tick(link.now + 2 * CLOSE_TIMEOUT)
    assert peer.transport.aborted


async def test_who_has_the_goodbye_and_does_not_leave_is_cut_off() -> None:
    link, peer = await serving()
    peer.transport.full = True  # it closes when the peer does
    link.close()
    link.tick(link.now + LINGER * 0.9)
    assert not peer.transport.aborted
    link.tick(link.now + LINGER)
    assert peer.transport.aborted


async def test_a_link_that_is_closed_says_so_at_once() -> None:
    for link, peer in (await serving(), await calling()):
        link.close()
        assert link.told[-1] == "leaving"
        await peer.talk()
        assert link.told.count("leaving") == 1


async def test_the_peer_that_closes_one_half_is_gone() -> None:
    link, _ = await serving()
    assert not link.eof_received()


@pytest.mark.parametrize(
    ("rubbish", "code"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "ConnectionProtocolError"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(DATA, 0, 0, b"x"), "PROTOCOL_ERROR"),
    ],
)
async def test_what_is_no_http2_ends_the_connection(rubbish: bytes, code: str) -> None:
    link = Recording(server=True)
    peer = Peer(link, peername=("192.0.2.1", 1))
    with capture_logs() as events:
        link.data_received(rubbish)
        await asyncio.sleep(0)
    assert peer.transport.closed
    peer.hear()
    assert len(peer.goaways) == 1
    assert peer.goaways[0].code != NO_ERROR
    assert events == [{"event": "connection_error", "peer": "192.0.2.1", "code": code, "log_level": "info"}]


async def test_the_engine_ends_in_the_middle_and_the_goodbye_is_written_by_hand() -> None:
    """A header list over the limit: libnghttp2 cannot go on, so that no more is decoded than the limit."""
    link, peer = await serving()
    served, recorder = await asked(link, peer)
    with capture_logs() as events:
        peer.request([*REQUEST, *((b"x-%d" % number, b"v" * 1000) for number in range(70))])
    assert peer.transport.closed
    peer.hear()
    assert peer.goaways == [GoAway(served, ENHANCE_YOUR_CALM, b"")]
    assert [(event["event"], event["code"]) for event in events] == [("connection_error", "DenialOfServiceError")]
    assert len(link.requests) == 1
    # Whoever still speaks on it comes to no harm.
    link.send(served, b"x")
    link.end(served)
    link.reset(served, CANCEL)
    link.hold(served)
    link.release(served)
    link.ping()
    link.close()
    link.tick(link.now)
    await asyncio.sleep(0)
    assert recorder.heard == [("lost", False)]
    assert peer.transport.writes == []
