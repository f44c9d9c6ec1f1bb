"""Which heads are none of gRPC's, and what becomes of the text behind them."""

import pytest

from gateway.protocol.status import Status
from gateway.upstream.http_reply import MAX_TEXT, HttpReply, http_reply

OK = (b":status", b"200")


@pytest.mark.parametrize("kind", [b"application/grpc", b"application/grpc+proto", b"application/grpc;charset=utf-8"])
def test_grpc(kind: bytes) -> None:
    assert http_reply((OK, (b"date", b"today"), (b"content-type", kind))) is None


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ((OK,), Status(2, "the backend's answer is not gRPC")),
        ((OK, (b"content-type", b"text/html")), Status(2, "the backend's answer is not gRPC")),
        (((b":status", b"503"),), Status(14, "the backend answered with HTTP status 503")),
        (
            ((b":status", b"404"), (b"content-type", b"application/grpc")),
            Status(12, "the backend answered with HTTP status 404"),
        ),
    ],
)
def test_anything_else(headers: tuple[tuple[bytes, bytes], ...], status: Status) -> None:
    found = http_reply(headers)
    assert found is not None
    assert found.status == status
    assert not found.add(b" \n")
    assert found.status == status
    assert not found.add(b"try again ")
    assert found.status == Status(status.code, f"{status.message}: try again")


def test_no_more_text_is_read_than_a_message_has_room_for() -> None:
    reply = HttpReply(Status(2, "no"))
    assert not reply.add(b"x" * (MAX_TEXT - 1))
    assert reply.add(b"\xe2\x82\xac" * MAX_TEXT)
    assert reply.status.message == "no: " + "x" * (MAX_TEXT - 1) + "\N{REPLACEMENT CHARACTER}"
