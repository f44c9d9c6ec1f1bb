"""The streams of a connection, at either end of it."""

import asyncio

import h2.errors
import h2.events
from h2.settings import SettingCodes

from gateway.http2 import CANCEL, NO_ERROR, REFUSED_STREAM, SEND_BUFFER, STREAM_WINDOW
from gateway.http2.link import GRACE
from tests.support.http2 import (
    GOAWAY,
    HEADERS,
    RST_STREAM,
    frame,
)
from tests.unit.http2.recording import REQUEST, RESPONSE, WIDE, Recorder, asked, calling, serving


def names(recorder: Recorder) -> list[str]:
    return [each[0] for each in recorder.heard]


# --- streams


async def test_a_request_and_its_answer_as_a_server_sees_them() -> None:
    link, peer = await serving(WIDE)
    stream = peer.request(REQUEST, b"question", end=False)
    peer.send(stream, b"!", end=True)
    assert link.requests == [(stream, REQUEST, False)]
    recorder = link.recorders[stream]
    assert (recorder.data, recorder.heard) == (b"question!", [("end",)])
    link.respond(stream, RESPONSE)
    link.send(stream, b"answer")
    link.end(stream, [(b"grpc-status", b"0"), (b"x-a", b"1"), (b"x-a", b"2")])
    await peer.talk()
    assert peer.headers(stream) == RESPONSE
    assert peer.body(stream) == b"answer"
    assert peer.trailers(stream) == [(b"grpc-status", b"0"), (b"x-a", b"1"), (b"x-a", b"2")]
    assert peer.ended(stream)
    assert recorder.heard == [("end",), ("closed", NO_ERROR)]
    assert link.streams == {}
    assert link.told[-1] == "gone"


async def test_a_request_without_a_body_and_an_answer_without_one() -> None:
    link, peer = await serving()
    stream = peer.request(REQUEST)
    assert link.requests == [(stream, REQUEST, True)]
    link.respond(stream, [(b":status", b"204")], end=True)
    await peer.talk()
    assert peer.headers(stream) == [(b":status", b"204")]
    assert peer.ended(stream)
    assert link.recorders[stream].heard == [("closed", NO_ERROR)]


async def test_a_request_with_trailers() -> None:
    link, peer = await serving()
    stream = peer.request(REQUEST, b"x", end=False)
    peer.h2.send_headers(stream, [(b"x-late", b"1")], end_stream=True)
    peer.say()
    assert link.recorders[stream].heard == [("trailers", [(b"x-late", b"1")])]


async def test_a_request_and_its_answer_as_a_client_sees_them() -> None:
    link, peer = await calling()
    stream, recorder = link.open()
    link.send(stream, b"question")
    link.end(stream)
    await peer.talk()
    (request,) = peer.heard(h2.events.RequestReceived)
    assert [(bytes(name), bytes(value)) for name, value in request.headers] == REQUEST
    assert peer.body(stream) == b"question"
    assert peer.ended(stream)
    peer.h2.send_headers(stream, RESPONSE)
    peer.h2.send_data(stream, b"answer")
    peer.h2.send_headers(stream, [(b"grpc-status", b"0")], end_stream=True)
    peer.say()
    assert recorder.data == b"answer"
    assert recorder.heard == [
        ("headers", RESPONSE, False),
        ("trailers", [(b"grpc-status", b"0")]),
        ("closed", NO_ERROR),
    ]
    assert link.streams == {}


async def test_an_answer_of_trailers_alone() -> None:
    link, peer = await calling()
    stream, recorder = link.open()
    await peer.talk()
    peer.h2.send_headers(stream, [*RESPONSE, (b"grpc-status", b"5")], end_stream=True)
    peer.say()
    assert recorder.heard == [("headers", [*RESPONSE, (b"grpc-status", b"5")], True)]
    link.end(stream)
    await peer.talk()
    assert recorder.heard[-1] == ("closed", NO_ERROR)


async def test_informational_answers_are_passed_over() -> None:
    link, peer = await calling()
    stream, recorder = link.open()
    await peer.talk()
    peer.h2.send_headers(stream, [(b":status", b"103"), (b"link", b"</a.js>")])
    peer.say()
    assert recorder.heard == []


async def test_a_reset_from_here() -> None:
    link, peer = await serving()
    stream, recorder = await asked(link, peer, end=False)
    link.reset(stream, CANCEL)
    await peer.talk()
    assert peer.reset(stream) == CANCEL
    assert recorder.heard == [("closed", CANCEL)]


async def test_a_reset_from_there() -> None:
    link, peer = await serving()
    stream, recorder = await asked(link, peer, end=False)
    peer.h2.reset_stream(stream, h2.errors.ErrorCodes.INTERNAL_ERROR)
    peer.say()
    assert recorder.heard == [("closed", h2.errors.ErrorCodes.INTERNAL_ERROR, "by peer")]
    assert not link._reset_by_peer
    assert link.streams == {}
    assert link.told[-1] == "gone"


async def test_who_speaks_on_after_a_reset_is_not_heard_and_comes_to_no_harm() -> None:
    link, peer = await serving()
    stream, _ = await asked(link, peer, end=False)
    peer.h2.reset_stream(stream)
    peer.say()
    link.respond(stream, RESPONSE)
    link.send(stream, b"x" * 2 * SEND_BUFFER)
    link.end(stream)
    link.end(stream, [(b"grpc-status", b"0")])
    link.reset(stream, CANCEL)
    await peer.talk()
    other, _ = await asked(link, peer)
    link.end(other)
    await peer.talk()
    assert peer.ended(other)
    assert link.waiting(stream) == 0


# --- what waits for the peer


async def test_a_stream_is_told_when_too_much_waits_and_again_when_there_is_room() -> None:
    link, peer = await serving()
    stream, recorder = await asked(link, peer)
    link.send(stream, bytes(65535))  # as much as the peer's window takes
    await peer.talk()
    link.send(stream, bytes(SEND_BUFFER))
    assert link.waiting(stream) == SEND_BUFFER
    assert recorder.heard == []
    link.send(stream, b"x")
    assert recorder.heard == [("full",)]
    link.send(stream, b"x")
    assert recorder.heard == [("full",)]  # told once
    for _ in range(2):  # more than half of it waits still
        peer.open_window(65536)
        peer.open_window(65536, stream)
        await peer.talk()
        assert (recorder.heard == [("full",)]) == (link.waiting(stream) > SEND_BUFFER // 2)
    assert link.waiting(stream) == SEND_BUFFER // 2 + 2
    for window in (None, stream):
        peer.open_window(2, window)
    await peer.talk()
    assert recorder.heard == [("full",), ("writable",)]
    link.send(stream, bytes(SEND_BUFFER))
    assert recorder.heard == [("full",), ("writable",), ("full",)]


async def test_a_stream_that_waits_does_not_hold_another_back() -> None:
    link, peer = await serving({SettingCodes.INITIAL_WINDOW_SIZE: 1000})
    slow, slow_recorder = await asked(link, peer)
    quick, quick_recorder = await asked(link, peer)
    link.send(slow, bytes(SEND_BUFFER * 2))
    link.send(quick, b"here")
    await peer.talk()
    assert names(slow_recorder) == ["full"]
    assert quick_recorder.heard == []
    assert peer.body(quick) == b"here"
    assert link.waiting(quick) == 0
    assert link.waiting(slow) == SEND_BUFFER * 2 - 1000


async def test_a_window_of_one_byte() -> None:
    link, peer = await serving({SettingCodes.INITIAL_WINDOW_SIZE: 1})
    stream, _ = await asked(link, peer)
    link.send(stream, b"abc", end=True)
    for expected in (b"a", b"ab", b"abc"):
        await peer.talk()
        assert peer.body(stream) == expected
        if expected != b"abc":
            peer.open_window(1, stream)
    assert peer.ended(stream)


async def test_a_stream_that_is_gone_is_not_told_of_room() -> None:
    link, peer = await serving()
    stream, recorder = await asked(link, peer)
    link.send(stream, bytes(SEND_BUFFER * 2))
    peer.h2.reset_stream(stream)
    await peer.talk()
    assert names(recorder) == ["full", "closed"]
    peer.open_window(SEND_BUFFER)
    await peer.talk()
    assert names(recorder) == ["full", "closed"]
    assert link.waiting(stream) == 0


# --- what the peer may send ahead


async def test_a_window_stays_shut_while_the_stream_is_held() -> None:
    link, peer = await serving()
    stream, recorder = await asked(link, peer, end=False)
    link.hold(stream)
    assert peer.h2.local_flow_control_window(stream) == STREAM_WINDOW
    peer.send(stream, bytes(STREAM_WINDOW))
    await peer.talk()
    assert len(recorder.data) == STREAM_WINDOW
    assert peer.h2.local_flow_control_window(stream) == 0
    assert link.unacknowledged == STREAM_WINDOW
    assert link.missing_window == 0  # it is not lost
    link.release(stream)
    await peer.talk()
    assert peer.h2.local_flow_control_window(stream) == STREAM_WINDOW
    peer.send(stream, bytes(STREAM_WINDOW))
    await peer.talk()
    assert peer.h2.local_flow_control_window(stream) == STREAM_WINDOW  # and from then on it opens by itself
    assert link.unacknowledged == 0


async def test_the_connections_window_is_given_back_for_a_stream_that_is_gone() -> None:
    link, peer = await serving(window=STREAM_WINDOW)
    stream, _ = await asked(link, peer, end=False)
    link.hold(stream)
    peer.send(stream, bytes(STREAM_WINDOW))
    peer.h2.reset_stream(stream)
    await peer.talk()
    assert (link.unacknowledged, link.missing_window) == (0, 0)
    assert peer.h2.outbound_flow_control_window == STREAM_WINDOW


async def test_data_for_a_stream_that_this_end_has_reset_takes_no_window() -> None:
    link, peer = await serving(window=STREAM_WINDOW)
    for _ in range(4):
        stream, _ = await asked(link, peer, end=False)
        link.reset(stream, CANCEL)
        await asyncio.sleep(0)
        peer.send(stream, bytes(STREAM_WINDOW // 2))  # on its way when the reset was
        await peer.talk()
    assert peer.h2.outbound_flow_control_window >= STREAM_WINDOW // 2


async def test_data_for_nobody_takes_no_window() -> None:
    link, peer = await serving(window=STREAM_WINDOW)
    stream, _ = await asked(link, peer, end=False)
    del link.streams[stream]
    peer.send(stream, bytes(STREAM_WINDOW))
    await peer.talk()
    assert peer.h2.local_flow_control_window(stream) == STREAM_WINDOW


async def test_small_messages_that_come_together_are_handed_on_together() -> None:
    link, peer = await serving()
    one, two = [(await asked(link, peer, end=False))[0] for _ in range(2)]
    expected = {one: b"", two: b""}
    for number in range(200):
        for stream in (one, two):
            peer.h2.send_data(stream, b"%d," % number)
            expected[stream] += b"%d," % number
    peer.h2.send_data(two, b"last", end_stream=True)
    peer.h2.send_data(one, b"almost")
    peer.h2.send_headers(one, [(b"x-late", b"1")], end_stream=True)
    peer.say()
    recorders = link.recorders
    assert (recorders[one].data, recorders[two].data) == (expected[one] + b"almost", expected[two] + b"last")
    assert recorders[one].heard == [("trailers", [(b"x-late", b"1")])]
    assert recorders[two].heard == [("end",)]
    assert recorders[one].pieces + recorders[two].pieces <= 4
    assert link.missing_window < 3000  # given back in large pieces


async def test_small_messages_before_a_reset_are_handed_on_before_it() -> None:
    link, peer = await serving()
    stream, recorder = await asked(link, peer, end=False)
    for _ in range(100):
        peer.h2.send_data(stream, b"x")
    peer.h2.reset_stream(stream, CANCEL)
    peer.say()
    assert recorder.data == b"x" * 100
    assert recorder.heard == [("closed", CANCEL, "by peer")]


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


async def test_a_lost_connection_tells_its_streams_whether_they_may_have_been_seen() -> None:
    link, peer = await calling()
    _, seen = link.open()
    await asyncio.sleep(0)
    _, unseen = link.open()
    link.connection_lost(None)
    assert seen.heard == [("lost", True)]
    assert unseen.heard == [("lost", False)]
    assert link.streams == {}
    assert link.closing
    await asyncio.sleep(0)
    peer.hear()
    assert len(peer.heard(h2.events.RequestReceived)) == 1


async def test_what_waited_for_the_transport_was_not_seen() -> None:
    link, peer = await calling()
    peer.transport.fill()
    _, unseen = link.open()
    await asyncio.sleep(0)
    link.connection_lost(ConnectionResetError())
    assert unseen.heard == [("lost", False)]


async def test_the_peer_takes_no_more() -> None:
    link, peer = await calling()
    kept, kept_recorder = link.open()
    _, refused = link.open()
    await peer.talk()
    peer.h2.send_headers(kept, RESPONSE)
    link.data_received(peer.h2.data_to_send() + frame(GOAWAY, 0, 0, kept.to_bytes(4, "big") + bytes(4)))
    assert link.told[-2:] == ["goaway", "gone"] or link.told[-2:] == ["gone", "goaway"]
    assert refused.heard == [("closed", REFUSED_STREAM)]
    assert kept_recorder.heard == [("headers", RESPONSE, False)]
    assert link.request(REQUEST, Recorder()) == 0
    assert not peer.transport.closed
    peer.h2.send_data(kept, b"", end_stream=True)
    peer.say()
    link.end(kept)
    await peer.talk()
    assert kept_recorder.heard[-1] == ("closed", NO_ERROR)
    assert peer.transport.closed  # nothing is left to do on it


async def test_frames_for_streams_that_are_gone() -> None:
    link, peer = await serving()
    stream, _ = await asked(link, peer)
    link.end(stream)
    await peer.talk()
    link.data_received(frame(RST_STREAM, 0, stream, CANCEL.to_bytes(4, "big")))
    await asyncio.sleep(0)
    assert not peer.transport.closed
    assert not link._reset_by_peer  # nothing is kept of it
    link.data_received(frame(HEADERS, 5, stream, b"\x88"))
    await asyncio.sleep(0)
    peer.hear()
    assert len(link.requests) == 1
