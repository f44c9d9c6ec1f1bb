"""The road of one call, with lists for ends: each cell of the state table."""

import gzip
import struct

import pytest

from gateway.call import HOLD_LIMIT
from gateway.ends import CallLimits
from gateway.permit import Permit, Refusal, Subject
from gateway.protocol import text
from gateway.protocol.metadata import Headers
from gateway.protocol.status import Code, Status
from tests.support.ends import NOW, ListUpstream, ManualGate, Road
from tests.support.frames import message

DENIED = Refusal(
    Status(Code.PERMISSION_DENIED, "not permitted"), "permission_denied", ((b"www-authenticate", b"Bearer"),)
)
FRAME = message(b"abc")


def test_a_call_goes_through_and_back() -> None:
    road = Road(headers=[(b"x-trace", b"1"), (b"cookie", b"secret=1")]).start()
    road.call.request_bytes(FRAME)
    road.call.request_end()
    permit, request = road.up.opened[0]
    assert permit.path == b"/test.v1.Test/Do"
    assert (b"x-trace", b"1") in request.metadata
    assert all(name != b"cookie" for name, _ in request.metadata)
    assert request.content_type == b"application/grpc+proto"
    assert request.deadline is None
    assert road.up.chunks == [FRAME]
    assert road.up.events == ["end"]

    road.call.reply_head([(b"x-backend", b"b")])
    road.call.reply_bytes(message(b"reply"))
    road.call.reply_end(Status(Code.OK), [(b"x-cost", b"3")])
    assert road.down.heads == [[(b"x-backend", b"b")]]
    assert road.reply() == ([b"reply"], Status(Code.OK), [(b"x-cost", b"3")])
    assert road.up.events == ["end"]  # a stream that ended by itself is not cancelled
    assert road.over == [road.call]
    assert (road.call.request_messages, road.call.reply_messages) == (1, 1)
    assert road.gate.left == 0  # the front still has the reply to deliver
    road.call.delivered()
    road.call.delivered()
    assert road.gate.left == 1


def test_a_reply_without_head_or_message_is_one_whole_answer() -> None:
    road = Road().start()
    road.call.reply_end(Status(Code.NOT_FOUND, "gone", b"details"), [])
    assert road.down.heads == [[]]
    assert road.reply() == ([], Status(Code.NOT_FOUND, "gone", b"details"), [])


NATIVE = b"application/grpc+proto"


def test_a_native_call_ends_with_trailers_of_http() -> None:
    road = Road(kind=NATIVE).start()
    road.call.request_bytes(FRAME)
    road.call.request_end()
    road.call.reply_head([(b"x-backend", b"b")])
    road.call.reply_bytes(message(b"reply"))
    road.call.reply_end(Status(Code.NOT_FOUND, "grün", b"\0"), [(b"x-cost", b"3"), (b"grpc-status", b"0")])
    assert road.up.chunks == [FRAME]
    assert road.up.opened[0][1].content_type == NATIVE
    assert road.down.heads == [[(b"x-backend", b"b")]]
    assert road.down.chunks == [message(b"reply")]
    assert road.down.ends == [
        [
            (b"grpc-status", b"5"),
            (b"grpc-message", b"gr%C3%BCn"),
            (b"grpc-status-details-bin", b"AA"),
            (b"x-cost", b"3"),
        ]
    ]
    assert road.call.reply_bytes_seen == len(message(b"reply"))


def test_a_native_call_that_the_gateway_ends() -> None:
    road = Road(kind=NATIVE, gate=ManualGate(DENIED)).start()
    told = [(b"www-authenticate", b"Bearer"), (b"grpc-status", b"7"), (b"grpc-message", b"not permitted")]
    assert road.down.heads == [told]  # Trailers-Only
    assert road.down.ends == [told]
    assert road.down.chunks == []
    assert road.up.opened == []


def test_a_native_call_whose_client_left_gets_no_trailers() -> None:
    road = Road(kind=NATIVE).start()
    road.call.cancel()
    assert road.down.ends == []
    assert road.up.events == ["cancel"]


def test_the_head_leaves_before_the_first_message() -> None:
    road = Road().start()
    road.call.reply_head([(b"x-a", b"1")])
    assert road.down.heads == [[(b"x-a", b"1")]]
    assert road.down.chunks == []


# -- the gate


def test_a_refusal_answers_and_dials_nothing() -> None:
    road = Road(gate=ManualGate(DENIED)).start()
    road.call.request_bytes(FRAME)
    road.call.request_end()
    assert road.up.opened == []
    assert road.down.heads == [[(b"www-authenticate", b"Bearer")]]
    assert road.reply()[1] == Status(Code.PERMISSION_DENIED, "not permitted")
    assert road.call.reason == "permission_denied"
    road.call.delivered()
    assert road.gate.left == 1


def test_what_arrives_while_the_gate_thinks_is_kept_in_order() -> None:
    gate = ManualGate(at_once=False)
    road = Road(gate=gate).start()
    road.call.request_bytes(FRAME[:3])
    road.call.request_bytes(FRAME[3:])
    road.call.request_end()
    assert road.up.opened == []
    assert gate.answer is not None
    gate.answer(Permit(b"/test.v1.Test/Do"))
    assert b"".join(road.up.chunks) == FRAME
    assert road.up.events == ["end"]


def test_a_body_that_waits_for_the_gate_is_bounded() -> None:
    gate = ManualGate(at_once=False)
    road = Road(gate=gate).start()
    road.call.request_bytes(bytes(HOLD_LIMIT - 1))
    assert road.down.reading
    road.call.request_bytes(b"\0")
    assert not road.down.reading
    assert gate.answer is not None
    gate.answer(Permit(b"/test.v1.Test/Do"))
    assert road.down.reading


def test_what_is_released_may_pause_the_reader_again() -> None:
    gate = ManualGate(at_once=False)
    road = Road(gate=gate).start()
    road.call.request_bytes(bytes(HOLD_LIMIT))
    road.up.on_send = road.call.pause_request
    assert gate.answer is not None
    gate.answer(Permit(b"/test.v1.Test/Do"))
    assert road.up.chunks
    assert not road.down.reading


def test_a_decision_that_comes_too_late_opens_nothing() -> None:
    gate = ManualGate(at_once=False)
    road = Road(gate=gate).start()
    road.call.cancel()
    assert gate.answer is not None
    gate.answer(Permit(b"/test.v1.Test/Do"))
    assert road.up.opened == []
    assert road.down.heads == []
    road.call.delivered()
    assert gate.left == 1


def test_an_upstream_that_will_not_open_is_a_status() -> None:
    road = Road(upstream=ListUpstream(refuse=Status(Code.UNIMPLEMENTED, "no such method"))).start()
    assert road.reply()[1].code == Code.UNIMPLEMENTED


def test_forward_claims_are_added_and_only_by_the_gateway() -> None:
    permit = Permit(b"/test.v1.Test/Do", Subject("ann"), ((b"x-user-id", b"ann"),))
    road = Road(
        gate=ManualGate(permit),
        headers=[(b"x-user-id", b"root"), (b"authorization", b"Bearer t")],
        stripped=frozenset([b"x-user-id"]),
        forward_authorization=False,
    ).start()
    metadata = road.up.opened[0][1].metadata
    assert [value for name, value in metadata if name == b"x-user-id"] == [b"ann"]
    assert all(name != b"authorization" for name, _ in metadata)
    assert (b"x-forwarded-for", b"192.0.2.1") in metadata
    assert (b"x-forwarded-proto", b"https") in metadata


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ([(b"x-bad", b"a\x00b")], Code.INVALID_ARGUMENT),
        ([(b"x_under", b"1")], Code.INVALID_ARGUMENT),
        ([(b"x-big", b"a" * 9000)], Code.RESOURCE_EXHAUSTED),
    ],
)
def test_metadata_that_cannot_cross_is_a_status_and_dials_nothing(
    headers: list[tuple[bytes, bytes]], code: Code
) -> None:
    road = Road(headers=headers).start()
    assert road.reply()[1].code == code
    assert road.up.opened == []


def test_an_authorization_that_nobody_verified_stays_here() -> None:
    permit = Permit(b"/test.v1.Test/Do", forward_authorization=False)
    road = Road(gate=ManualGate(permit), headers=[(b"authorization", b"Bearer forged")]).start()
    assert all(name != b"authorization" for name, _ in road.up.opened[0][1].metadata)


# -- the request


def test_text_mode_is_decoded_whatever_way_it_is_cut() -> None:
    body = text.encode(FRAME) + text.encode(message(b"second"))
    road = Road(kind=b"application/grpc-web-text").start()
    for byte in body:
        road.call.request_bytes(bytes([byte]))
    road.call.request_end()
    assert b"".join(road.up.chunks) == FRAME + message(b"second")
    assert road.up.events == ["end"]
    road.call.reply_bytes(message(b"reply"))
    road.call.reply_end(Status(Code.OK), [])
    assert all(len(chunk) % 4 == 0 for chunk in road.down.chunks)
    assert road.reply()[0] == [b"reply"]


def test_text_and_binary_may_differ_by_direction() -> None:
    road = Road(kind=b"application/grpc-web-text", accept=b"application/grpc-web+proto").start()
    road.call.request_bytes(text.encode(FRAME))
    assert road.up.chunks == [FRAME]
    road.call.reply_end(Status(Code.OK), [])
    assert road.down.chunks[0][0] == 0x80


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"\x80\0\0\0\0", Code.INVALID_ARGUMENT),  # a trailer frame from a client
        (b"\x02\0\0\0\0", Code.INVALID_ARGUMENT),  # a flag that does not exist
        (struct.pack(">BI", 0, 0xFFFFFFFF) + b"abcde", Code.RESOURCE_EXHAUSTED),  # 4 GiB, decided on the prefix
        (FRAME[:-1], Code.INVALID_ARGUMENT),  # truncated
        (FRAME[:4], Code.INVALID_ARGUMENT),
    ],
)
def test_a_broken_frame_ends_the_call_and_cancels_the_backend(body: bytes, code: Code) -> None:
    road = Road().start()
    road.call.request_bytes(body)
    road.call.request_end()
    assert road.reply()[1].code == code
    assert road.up.events == ["cancel"]


def test_a_text_body_that_ends_in_the_middle_of_a_quantum_is_refused() -> None:
    road = Road(kind=b"application/grpc-web-text").start()
    road.call.request_bytes(text.encode(FRAME)[:-1])
    road.call.request_end()
    assert road.reply()[1].code == Code.INVALID_ARGUMENT


def test_compressed_messages_pass_the_road_untouched() -> None:
    packed = message(gzip.compress(b"abc"), flags=1)
    road = Road(headers=[(b"grpc-encoding", b"gzip")], encoding=b"gzip").start()
    road.call.request_bytes(packed)
    assert road.up.chunks == [packed]
    assert road.up.opened[0][1].encoding == b"gzip"


@pytest.mark.parametrize("size", [1, 5, 100])
def test_a_compressed_message_needs_an_encoding(size: int) -> None:
    """PROTOCOL-HTTP2.md, "Message-Encoding": the flag without one is the sender's defect."""
    road = Road().start()
    packed = message(b"x", flags=1)
    for start in range(0, len(packed), size):
        road.call.request_bytes(packed[start : start + size])
    road.call.request_end()
    assert road.reply()[1] == Status(Code.INTERNAL, "a compressed message without grpc-encoding")
    assert road.up.events == ["cancel"]
    assert b"".join(road.up.chunks) in packed[:4]  # nothing of it after the flag was understood


def test_what_came_before_a_compressed_message_without_encoding_has_gone() -> None:
    road = Road().start()
    road.call.request_bytes(FRAME)
    road.call.request_bytes(message(b"x", flags=1))
    assert road.up.chunks == [FRAME]
    assert road.reply()[1].code == Code.INTERNAL


# -- does more of the request have to come?


@pytest.mark.parametrize(
    ("body", "within"),
    [(b"", False), (FRAME[:1], True), (FRAME[:5], True), (FRAME[:-1], True), (FRAME, False), (FRAME + b"\0", True)],
)
@pytest.mark.parametrize("size", [1, 100])
def test_within_a_message(body: bytes, within: bool, size: int) -> None:
    road = Road().start()
    for start in range(0, len(body), size):
        road.call.request_bytes(body[start : start + size])
    assert road.call.within_message is within


def test_within_a_message_of_text() -> None:
    sent = text.encode(FRAME)
    assert len(FRAME) % 3 == 2  # the last quantum ends the message
    road = Road(kind=b"application/grpc-web-text").start()
    assert not road.call.within_message
    road.call.request_bytes(sent[:-1])
    assert road.call.within_message
    road.call.request_bytes(sent[-1:])
    assert not road.call.within_message
    road.call.request_bytes(b"A")
    assert road.call.within_message


def test_a_message_that_the_gate_holds_back_is_not_looked_into() -> None:
    road = Road(gate=ManualGate(at_once=False)).start()
    road.call.request_bytes(FRAME[:-1])
    assert not road.call.within_message


def test_bytes_after_the_end_are_dropped() -> None:
    road = Road().start()
    road.call.reply_end(Status(Code.OK), [])
    road.call.request_bytes(FRAME)
    road.call.request_end()
    road.call.reply_bytes(message(b"late"))
    road.call.reply_end(Status(Code.INTERNAL), [])
    road.call.cancel()
    assert road.up.chunks == []
    assert road.reply() == ([], Status(Code.OK), [])
    assert road.over == [road.call]


# -- the reply


@pytest.mark.parametrize(
    ("head", "code"),
    [
        (None, Code.INTERNAL),
        ([], Code.INTERNAL),
        ([(b"grpc-encoding", b"identity")], Code.INTERNAL),
        ([(b"grpc-encoding", b"gzip")], Code.OK),
    ],
)
def test_a_compressed_reply_needs_an_encoding_too(head: Headers | None, code: Code) -> None:
    packed = message(gzip.compress(b"abc"), flags=1)
    road = Road().start()
    if head is not None:
        road.call.reply_head(head)
    road.call.reply_bytes(packed)
    road.call.reply_end(Status(Code.OK), [])
    messages, status, _ = road.reply()
    assert status.code == code
    assert messages == ([packed[5:]] if code == Code.OK else [])


def test_a_reply_message_over_the_limit_is_resource_exhausted() -> None:
    road = Road(limits=CallLimits(max_response_message=4)).start()
    road.call.reply_bytes(message(b"four"))
    road.call.reply_bytes(message(b"five!"))
    messages, status, _ = road.reply()
    assert messages == [b"four"]
    assert status.code == Code.RESOURCE_EXHAUSTED
    assert road.up.events == ["cancel"]


LATE = Status(Code.UNAVAILABLE, "gone")


@pytest.mark.parametrize("cut", [1, 4, 6])
@pytest.mark.parametrize(("told", "status"), [(Status(Code.OK), Code.INTERNAL), (LATE, Code.UNAVAILABLE)])
def test_a_reply_that_breaks_off_inside_a_message_is_cut_off(cut: int, told: Status, status: Code) -> None:
    """A trailer frame would be read as the rest of the message."""
    road = Road().start()
    road.call.reply_bytes(FRAME + FRAME[:cut])
    road.call.reply_end(told, [(b"x-late", b"1")])
    assert road.call.status is not None
    assert road.call.status.code == status
    assert (road.down.chunks, road.down.ends, road.down.aborts) == ([FRAME + FRAME[:cut]], [], 1)
    assert road.up.events == []


def test_a_native_reply_that_breaks_off_inside_a_message_has_a_status() -> None:
    for told, code in ((Status(Code.OK), b"13"), (LATE, b"14")):
        road = Road(kind=NATIVE).start()
        road.call.reply_bytes(FRAME[:-1])
        road.call.reply_end(told, [])
        (trailers,) = road.down.ends
        assert dict(trailers or [])[b"grpc-status"] == code
        assert road.down.aborts == 0


def test_a_failure_in_the_middle_of_a_reply_message_cuts_it_off() -> None:
    road = Road(timeout=b"1S").start()
    road.call.reply_bytes(FRAME[:-1])
    road.advance(1)
    assert (road.down.ends, road.down.aborts, road.call.reason) == ([], 1, "deadline")
    assert road.up.events == ["cancel"]


def test_the_backpressure_of_each_end_reaches_the_other() -> None:
    road = Road().start()
    road.call.pause_reply()
    road.call.resume_reply()
    assert road.up.events == ["pause", "resume"]
    road.call.pause_request()
    assert not road.down.reading
    road.call.resume_request()
    assert road.down.reading


def test_the_browser_leaving_cancels_the_backend_and_answers_nobody() -> None:
    road = Road().start()
    road.call.reply_head([])
    road.call.cancel()
    assert road.up.events == ["cancel"]
    assert road.down.chunks == []
    assert road.call.status is not None
    assert road.call.status.code == Code.CANCELLED
    assert road.call.reason == "disconnect"


# -- time


def test_a_deadline_is_kept_and_handed_on() -> None:
    road = Road(timeout=b"1500m").start()
    assert road.up.opened[0][1].deadline == pytest.approx(1.5)
    road.call.reply_bytes(message(b"first"))
    road.clock.advance(1.5)
    messages, status, _ = road.reply()
    assert messages == [b"first"]
    assert status.code == Code.DEADLINE_EXCEEDED
    assert road.up.events == ["cancel"]


def test_time_spent_at_the_gate_counts() -> None:
    gate = ManualGate(at_once=False)
    road = Road(timeout=b"1S", gate=gate).start()
    road.clock.advance(1.0)
    assert road.reply()[1].code == Code.DEADLINE_EXCEEDED
    assert road.up.opened == []


@pytest.mark.parametrize(
    ("timeout", "limits", "seconds"),
    [
        (None, CallLimits(), None),
        (None, CallLimits(default_deadline=5.0), 5.0),
        (b"9S", CallLimits(default_deadline=5.0), 9.0),
        (None, CallLimits(max_deadline=7.0), 7.0),
        (b"9S", CallLimits(max_deadline=7.0), 7.0),
        (b"2S", CallLimits(max_deadline=7.0, default_deadline=1.0), 2.0),
    ],
)
def test_which_deadline_holds(timeout: bytes | None, limits: CallLimits, seconds: float | None) -> None:
    assert Road(timeout=timeout, limits=limits).start().up.opened[0][1].deadline == seconds


@pytest.mark.parametrize("timeout", [b"", b"5", b"5s", b"-1S", b"1.5S", b"S", b" 1S", b"1S, 2S"])
def test_a_malformed_timeout_is_refused_before_the_gate(timeout: bytes) -> None:
    road = Road(timeout=timeout).start()
    assert road.reply()[1].code == Code.INVALID_ARGUMENT
    road.call.delivered()
    assert road.gate.entered == road.gate.left == 0


def test_a_stream_ends_when_its_token_does() -> None:
    road = Road(gate=ManualGate(Permit(b"/test.v1.Test/Do", Subject("ann"), (), NOW + 60))).start()
    road.advance(59)
    assert not road.call.closed
    road.advance(2)
    assert road.reply()[1].code == Code.UNAUTHENTICATED
    assert road.up.events == ["cancel"]


@pytest.mark.parametrize(("timeout", "code"), [(b"10S", Code.DEADLINE_EXCEEDED), (b"100S", Code.UNAUTHENTICATED)])
def test_deadline_or_expiry_whichever_comes_first(timeout: bytes, code: Code) -> None:
    road = Road(timeout=timeout, gate=ManualGate(Permit(b"/test.v1.Test/Do", Subject("ann"), (), NOW + 60))).start()
    road.advance(200)
    assert road.reply()[1].code == code


def test_an_idle_stream_ends_and_a_moving_one_does_not() -> None:
    road = Road(limits=CallLimits(stream_idle=10.0)).start()
    for _ in range(5):
        road.advance(6)
        road.call.reply_bytes(message(b"tick"))
    assert not road.call.closed
    road.advance(6)
    road.call.request_bytes(FRAME)
    road.advance(6)
    assert not road.call.closed
    road.advance(6)
    assert road.reply()[1].code == Code.UNAVAILABLE


def test_nothing_ticks_after_the_end() -> None:
    road = Road(timeout=b"10S").start()
    road.call.reply_end(Status(Code.OK), [])
    assert road.clock.pending == 0
