"""The streams of a connection, at either end of it."""

import asyncio

import h2.errors
import h2.events
import pytest

from gateway.http2 import CANCEL, NO_ERROR, PROTOCOL_ERROR, REFUSED_STREAM, SEND_BUFFER
from gateway.protocol.metadata import Header
from tests.support.http2 import (
    GOAWAY,
    HEADERS,
    RST_STREAM,
    frame,
)
from tests.unit.http2.recording import REQUEST, RESPONSE, WIDE, Recorder, asked, calling, serving


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


@pytest.mark.parametrize(
    "extra",
    [(b"host", b"other.test"), (b"X-Upper", b"1"), (b"connection", b"close"), (b"content-length", b"x"), (b"te", b"x")],
)
async def test_a_malformed_request_is_told_and_no_other_suffers(extra: Header) -> None:
    link, peer = await serving()
    wrong, right = [*REQUEST, (b"host", b"api.test"), extra], REQUEST
    malformed, good = (peer.h2.get_next_available_stream_id() + 2 * number for number in range(2))
    peer.h2.send_headers(malformed, wrong, end_stream=True)
    peer.h2.send_headers(good, right, end_stream=True)
    await peer.talk()
    assert peer.reset(malformed) == PROTOCOL_ERROR
    assert [stream for stream, _, _ in link.requests] == [good]
    assert link.told == ["settings", "malformed"]


async def test_a_request_that_its_client_takes_back_is_not_malformed() -> None:
    link, peer = await serving()
    stream, recorder = await asked(link, peer, end=False)
    peer.h2.reset_stream(stream, h2.errors.ErrorCodes.PROTOCOL_ERROR)
    peer.say()
    assert recorder.heard == [("closed", PROTOCOL_ERROR, "by peer")]
    assert link.told == ["settings", "gone"]


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
