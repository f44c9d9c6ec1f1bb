"""The road of one call, the request's way: frames and text in whatever pieces, and whether more of it has to come."""

import gzip
import struct

import pytest

from gateway.protocol import text
from gateway.protocol.status import Code, Status
from tests.support.ends import ManualGate, Road
from tests.support.frames import message

FRAME = message(b"abc")


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
