"""The streams of a connection that are over at one end, or at both, and are not closed yet."""

from h2.settings import SettingCodes

from gateway.http2 import NO_ERROR
from gateway.http2.link import GRACE
from tests.unit.http2.recording import RESPONSE, asked, calling, serving

# --- an answer before the request has ended (RFC 9113, section 8.1)


async def test_a_request_that_nobody_waits_for_is_reset_after_a_grace() -> None:
    link, peer = await serving()
    stream, recorder = await asked(link, peer, end=False)
    link.end(stream, [(b"grpc-status", b"0")])
    link.wants_no_more(stream, had_body=True)
    await peer.talk()
    left_at = link.now
    assert peer.ended(stream)
    assert recorder.heard == [("delivered",)]
    link.tick(left_at + GRACE * 0.9)
    await peer.talk()
    assert peer.reset(stream) is None
    link.tick(left_at + GRACE * 1.1)
    link.tick(left_at + GRACE * 1.1)
    await peer.talk()
    assert peer.reset(stream) == NO_ERROR
    assert recorder.heard == [("delivered",), ("closed", NO_ERROR)]


async def test_a_request_that_ends_within_the_grace_is_not_reset() -> None:
    link, peer = await serving()
    stream, recorder = await asked(link, peer, end=False)
    link.end(stream)
    link.wants_no_more(stream, had_body=True)
    await peer.talk()
    peer.send(stream, b"", end=True)
    await peer.talk()
    link.tick(link.now + 2 * GRACE)
    await peer.talk()
    assert recorder.heard == [("delivered",), ("end",), ("closed", NO_ERROR)]
    assert peer.reset(stream) is None


async def test_an_answer_has_left_when_the_peers_windows_have_let_it() -> None:
    link, peer = await serving({SettingCodes.INITIAL_WINDOW_SIZE: 2})
    stream, recorder = await asked(link, peer, end=False)
    link.send(stream, b"abc", end=True)
    link.wants_no_more(stream, had_body=True)
    await peer.talk()
    assert recorder.heard == []
    link.tick(link.now + 10 * GRACE)
    await peer.talk()
    assert peer.reset(stream) is None
    peer.open_window(1, stream)
    await peer.talk()
    assert recorder.heard == [("delivered",)]
    assert peer.body(stream) == b"abc"
    link.tick(link.now + 0.5 * GRACE)
    await peer.talk()
    assert peer.reset(stream) is None


# --- a stream that closes by itself


async def test_an_end_that_does_not_leave_is_reset_after_a_grace() -> None:
    link, peer = await calling({SettingCodes.INITIAL_WINDOW_SIZE: 0})
    stream, recorder = link.open()
    link.end(stream)
    await peer.talk()
    peer.h2.send_headers(stream, [*RESPONSE, (b"grpc-status", b"0")], end_stream=True)
    peer.say()
    link.expect_end(stream)
    link.tick(link.now + GRACE * 0.9)
    await peer.talk()
    assert peer.reset(stream) is None
    link.tick(link.now + GRACE * 1.1)
    await peer.talk()
    assert peer.reset(stream) == NO_ERROR
    assert recorder.heard[-1] == ("closed", NO_ERROR)
    assert not link._unfinished


async def test_no_end_is_expected_of_a_stream_that_has_closed() -> None:
    link, peer = await calling()
    stream, recorder = link.open()
    link.end(stream)
    await peer.talk()
    peer.h2.send_headers(stream, [*RESPONSE, (b"grpc-status", b"0")], end_stream=True)
    peer.say()
    assert recorder.heard[-1] == ("closed", NO_ERROR)
    link.expect_end(stream)
    assert not link._unfinished  # it would be looked at for as long as the connection lasts
    link.tick(link.now + 2 * GRACE)
    await peer.talk()
    assert peer.reset(stream) is None
