"""The road of one call, the reply's way: its form for web and native clients, its limits, and where it breaks off."""

import gzip

import pytest

from gateway.ends import CallLimits
from gateway.protocol.metadata import Headers
from gateway.protocol.status import Code, Status
from tests.support.ends import Road
from tests.support.frames import message

FRAME = message(b"abc")
NATIVE = b"application/grpc+proto"


def test_a_reply_without_head_or_message_is_one_whole_answer() -> None:
    road = Road().start()
    road.call.reply_end(Status(Code.NOT_FOUND, "gone", b"details"), [])
    assert road.down.heads == [[]]
    assert road.reply() == ([], Status(Code.NOT_FOUND, "gone", b"details"), [])


def test_the_head_leaves_before_the_first_message() -> None:
    road = Road().start()
    road.call.reply_head([(b"x-a", b"1")])
    assert road.down.heads == [[(b"x-a", b"1")]]
    assert road.down.chunks == []


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


# -- native clients


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


def test_a_native_call_whose_client_left_gets_no_trailers() -> None:
    road = Road(kind=NATIVE).start()
    road.call.cancel()
    assert road.down.ends == []
    assert road.up.events == ["cancel"]


# -- replies that break off


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
