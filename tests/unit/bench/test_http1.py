"""Where an answer of HTTP/1.1 ends."""

import pytest

from bench.load.http1 import Answer, request
from bench.process import BenchError
from tests.unit.bench.answers import chunked, plain

BODY = b"0\r\n\r\n" * 3  # looks like the end of a chunked body
ANSWERS = [plain(BODY), chunked(BODY), chunked(BODY[:4], BODY[4:]), plain(b""), chunked()]


@pytest.mark.parametrize("answer", ANSWERS)
def test_an_answer_ends_where_its_framing_says(answer: bytes) -> None:
    for size in (1, 2, 3, 7, len(answer)):
        read = Answer()
        pieces = [answer[at : at + size] for at in range(0, len(answer), size)]
        assert [read.feed(piece) for piece in pieces] == [False] * (len(pieces) - 1) + [True]
        assert read.status == 200
        assert read.body == (b"" if answer in ANSWERS[3:] else BODY)


def test_trailer_fields_after_the_last_chunk_are_passed_over() -> None:
    read = Answer()
    assert read.feed(chunked(b"ab")[:-2] + b"x: 1\r\n\r\n")
    assert read.body == b"ab"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", "without a length"),
        (b"SSH-2.0\r\n\r\n", "not an answer"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n", "not an answer in chunks"),
        (plain(b"a") + b"b", "bytes after an answer"),
    ],
)
def test_what_is_no_answer(answer: bytes, said: str) -> None:
    with pytest.raises(BenchError, match=said):
        Answer().feed(answer)


def test_a_header_is_found_by_its_name() -> None:
    read = Answer()
    read.feed(b"HTTP/1.1 200 OK\r\nGrpc-Status:  16 \r\nx-grpc-status: 0\r\ncontent-length: 0\r\n\r\n")
    assert read.header("grpc-status") == "16"
    assert read.header("status") is None


def test_a_request() -> None:
    assert request("/a.B/C", b"body", {"x": "1"}, "127.0.0.1:1") == (
        b"POST /a.B/C HTTP/1.1\r\nhost: 127.0.0.1:1\r\ncontent-length: 4\r\nx: 1\r\n\r\nbody"
    )
