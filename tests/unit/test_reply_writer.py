"""A reply in each form that a browser reads."""

import pytest

from gateway.protocol import text
from gateway.protocol.content_type import CallType
from gateway.protocol.status import Code, Status
from gateway.reply_writer import NOT_GRPC, TOO_LARGE, ReplyWriter
from tests.support.ends import ListDownstream
from tests.support.frames import message

WEB = CallType(request_text=False, reply_text=False, codec=b"")
WEB_TEXT = CallType(request_text=True, reply_text=True, codec=b"")
NATIVE = CallType(request_text=False, reply_text=False, codec=b"", native=True)
MESSAGE = message(b"reply")
LAST = b"grpc-status:0\r\nx-cost:3\r\n"
END = b"\x80\0\0\0" + bytes([len(LAST)]) + LAST
COMPRESSED = b"\1\0\0\0\1x"


def writer(form: CallType, max_message: int = 100) -> tuple[ReplyWriter, ListDownstream]:
    down = ListDownstream()
    return ReplyWriter(down, form, max_message), down


@pytest.mark.parametrize(
    ("form", "body", "trailers"),
    [
        (WEB, [MESSAGE, END], None),
        (WEB_TEXT, [text.encode(MESSAGE), text.encode(END)], None),
        (NATIVE, [MESSAGE], [(b"grpc-status", b"0"), (b"x-cost", b"3")]),
    ],
)
def test_a_reply_in_each_form(form: CallType, body: list[bytes], trailers: object) -> None:
    reply, down = writer(form)
    reply.head([(b"x-a", b"1")])
    assert reply.frames(MESSAGE) is None
    reply.end(Status(Code.OK), [(b"x-cost", b"3")], head=[(b"x-late", b"1")])
    assert down.heads == [[(b"x-a", b"1")]]
    assert down.chunks == body
    assert down.ends == [trailers]
    assert (reply.size, reply.messages) == (sum(map(len, body)), 1)


def test_a_head_is_sent_once_and_before_everything_else() -> None:
    reply, down = writer(WEB)
    reply.frames(MESSAGE)
    reply.head([(b"x-late", b"1")])
    assert down.heads == [[]]


@pytest.mark.parametrize("form", [WEB, NATIVE])
def test_a_refusal_names_more_in_its_head(form: CallType) -> None:
    reply, down = writer(form)
    reply.end(Status(Code.UNAUTHENTICATED, "who"), (), head=((b"www-authenticate", b"Bearer"),))
    assert down.heads[0][0] == (b"www-authenticate", b"Bearer")
    assert ((b"grpc-status", b"16") in down.heads[0]) == form.native


def test_a_reply_that_breaks_off_inside_a_message_is_cut_off() -> None:
    reply, down = writer(WEB)
    reply.frames(MESSAGE[:-1])
    assert reply.within_message
    reply.end(Status(Code.UNAVAILABLE), ())
    assert (down.chunks, down.ends, down.aborts) == ([MESSAGE[:-1]], [], 1)


@pytest.mark.parametrize(
    ("data", "wrong"),
    [
        (message(bytes(101)), TOO_LARGE),
        (b"\x7f\0\0\0\0", NOT_GRPC),
        (COMPRESSED, NOT_GRPC),  # by nothing that was named
    ],
)
def test_what_cannot_be_passed_on(data: bytes, wrong: Status) -> None:
    reply, down = writer(WEB)
    assert reply.frames(data) == wrong
    assert down.chunks == []


@pytest.mark.parametrize(("encoding", "wrong"), [(b"gzip", None), (b"identity", NOT_GRPC)])
def test_compressed_messages_cross_when_their_encoding_is_named(encoding: bytes, wrong: Status | None) -> None:
    reply, _ = writer(WEB)
    reply.head([(b"grpc-encoding", encoding)])
    assert reply.frames(COMPRESSED) == wrong
