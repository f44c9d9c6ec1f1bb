import pytest

from gateway.protocol.frames import PREFIX_SIZE, TRAILERS, FrameSplitter, frame
from gateway.protocol.metadata import Headers
from gateway.protocol.status import OK, Code, Status
from gateway.protocol.trailers import decode, encode, fields, read_status


def block(data: bytes) -> bytes:
    [(flags, message)] = FrameSplitter(1 << 20, trailers_allowed=True).feed(data)
    assert flags == TRAILERS
    return message


def test_success_to_the_byte() -> None:
    assert encode(OK, []) == b"\x80\0\0\0\x0fgrpc-status:0\r\n"


def test_status_first_then_metadata_in_order() -> None:
    data = encode(Status(5, "Ä 100%", b"\0\1"), [(b"x-b", b"2"), (b"x-a", b"1"), (b"x-b", b"3"), (b"x-bin", b"AAE")])
    assert block(data) == (
        b"grpc-status:5\r\ngrpc-message:%C3%84 100%25\r\ngrpc-status-details-bin:AAE\r\n"
        b"x-b:2\r\nx-a:1\r\nx-b:3\r\nx-bin:AAE\r\n"
    )


def test_empty_message_is_left_out_and_empty_details_are_not() -> None:
    assert block(encode(Status(0, "", b""), [])) == b"grpc-status:0\r\ngrpc-status-details-bin:\r\n"


@pytest.mark.parametrize(
    "header",
    [
        (b"grpc-status", b"0"),
        (b"Grpc-Status", b"0"),
        (b"grpc-message", b"fine"),
        (b"grpc-status-details-bin", b"AAAA"),
        (b"x", b"a\r\ngrpc-status:0"),
        (b"x", b"a\ngrpc-status:0"),
        (b"x", b"a\rb"),
        (b"x", b"a\0b"),
        (b"x", b"a\x01b"),
        (b"x", b"a\x7f"),
        (b"x\r\ngrpc-status", b"0"),
        (b"x:grpc-status", b"0"),
        (b":status", b"200"),
        (b"x y", b"1"),
        (b"", b"1"),
    ],
)
def test_nothing_splits_the_block_or_says_the_status_again(header: tuple[bytes, bytes]) -> None:
    assert block(encode(Status(7), [header, (b"kept", b"1")])) == b"grpc-status:7\r\nkept:1\r\n"
    assert fields(Status(7), [header, (b"kept", b"1")]) == [(b"grpc-status", b"7"), (b"kept", b"1")]


def test_trailers_of_http() -> None:
    metadata = [(b"x-b", b"2"), (b"X-A", b"1"), (b"x-b", b"a\tb"), (b"x-bin", b"AAE")]
    assert fields(Status(5, "Ä 100%\n", b"\0\1"), metadata) == [
        (b"grpc-status", b"5"),
        (b"grpc-message", b"%C3%84 100%25%0A"),
        (b"grpc-status-details-bin", b"AAE"),
        (b"x-b", b"2"),
        (b"x-a", b"1"),
        (b"x-b", b"a\tb"),
        (b"x-bin", b"AAE"),
    ]
    assert fields(OK, []) == [(b"grpc-status", b"0")]
    assert fields(Status(0, "", b""), ()) == [(b"grpc-status", b"0"), (b"grpc-status-details-bin", b"")]


def test_the_frame_and_the_trailers_say_the_same() -> None:
    status, metadata = Status(9, "no: 100 %", b"why"), [(b"x-a", b"1"), (b"x-a", b"2"), (b"x y", b"3")]
    lines = b"".join(b"%b:%b\r\n" % field for field in fields(status, metadata))
    assert block(encode(status, metadata)) == lines


def test_names_are_lower_case() -> None:
    assert block(encode(OK, [(b"X-Request-Id", b"Value")])) == b"grpc-status:0\r\nx-request-id:Value\r\n"


def test_message_cannot_split_the_block() -> None:
    assert block(encode(Status(2, "a\r\nx:1"), [])) == b"grpc-status:2\r\ngrpc-message:a%0D%0Ax:1\r\n"


@pytest.mark.parametrize(
    ("data", "status", "metadata"),
    [
        (b"grpc-status:0\r\n", OK, []),
        (b"grpc-status: 5 \r\ngrpc-message: a%20b \r\nX-A: 1", Status(5, "a b"), [(b"x-a", b"1")]),
        (b"grpc-status:5\nx-a:1:2\n\nx-a:\n", Status(5), [(b"x-a", b"1:2"), (b"x-a", b"")]),
        (b"nonsense\r\n:1\r\ngrpc-status:3", Status(3), []),
        (b"grpc-status:99\r\n", Status(99), []),
        (b"grpc-status:5\r\ngrpc-status:0\r\n", Status(5), []),
        (b"grpc-status:0\r\ngrpc-status-details-bin:AAE=\r\n", Status(0, "", b"\0\1"), []),
        (b"grpc-status:9\r\ngrpc-status-details-bin:AAE\r\n", Status(9, "", b"\0\1"), []),
        (b"grpc-status:9\r\ngrpc-status-details-bin:!\r\n", Status(9), []),
        (b"grpc-status:-1\r\n", Status(Code.UNKNOWN), []),
        (b"grpc-status:five\r\n", Status(Code.UNKNOWN), []),
        (b"grpc-status:" + b"9" * 5000, Status(Code.UNKNOWN), []),
        (b"x-a:1\r\n", Status(Code.UNKNOWN, "the reply has no grpc-status"), [(b"x-a", b"1")]),
        (b"", Status(Code.UNKNOWN, "the reply has no grpc-status"), []),
    ],
)
def test_decoding_is_lenient(data: bytes, status: Status, metadata: Headers) -> None:
    assert decode(data) == (status, metadata)


def test_round_trip() -> None:
    status = Status(13, "broken: 100% Ä\n", bytes(range(256)))
    metadata = [(b"x-a", b"1"), (b"x-a", b"2"), (b"y-bin", b"AAE")]
    assert decode(encode(status, metadata)[PREFIX_SIZE:]) == (status, metadata)


def test_size_is_in_the_prefix() -> None:
    data = encode(Status(2), [(b"x", b"y" * 70_000)])
    assert data == frame(data[PREFIX_SIZE:], TRAILERS)


def test_status_of_a_header_block() -> None:
    assert read_status([]) is None
    assert read_status([(b"grpc-message", b"x")]) is None
    assert read_status([(b"content-type", b"application/grpc"), (b"grpc-status", b"0")]) == OK
    assert read_status([(b"grpc-status", b"0"), (b"grpc-message", b"x")]) == Status(0, "x")
