import base64

import pytest

from gateway.protocol.status import Code, WireError
from gateway.protocol.text import TextDecoder, encode


def decode(chunks: list[bytes]) -> bytes:
    decoder = TextDecoder()
    decoded = b"".join([decoder.feed(chunk) for chunk in chunks])
    decoder.end()
    return decoded


def single(body: bytes) -> list[bytes]:
    return [bytes((byte,)) for byte in body]


BODIES = [
    (b"", b""),
    (b"QUJD", b"ABC"),
    (b"QQ==", b"A"),
    (b"QUI=", b"AB"),
    (b"QQ==QkM=", b"ABC"),  # b64decode() stops at the first padding and returns only A
    (b"QQ==QQ==QQ==", b"AAA"),
    (b"QUI=QUJDQQ==QUJD", b"ABABCAABC"),
    (b"+/+/", b"\xfb\xff\xbf"),
    (b"QUJD" * 1000 + b"QQ==" + b"QUJD" * 1000, b"ABC" * 1000 + b"A" + b"ABC" * 1000),
]

WRONG = [
    b"====",
    b"=",
    b"A===",
    b"=AAA",
    b"A=AA",
    b"A=A=",
    b"AA=A",
    b"AAA==",
    b"AAAA=",
    b"AAAA==",
    b"AAAA====",
    b"QQ==\n",
    b"QU JD",
    b"QUJD\r\nQUJD",
    b"Q\nUJ",
    b"-_-_",
    b"QUJ\x00",
    b"QUJ\xff",
    b"QQ==Q===",
    b"QR==",  # four unused bits, not all zero
    b"QUJ=",  # two unused bits, not all zero
    b"QR==QUJD",
    b"QUJDQUJ=QUJD",
]


@pytest.mark.parametrize(("body", "decoded"), BODIES)
def test_bodies_whole_and_byte_by_byte(body: bytes, decoded: bytes) -> None:
    assert decode([body]) == decoded
    assert decode(single(body)) == decoded


@pytest.mark.parametrize("cut", range(17))
def test_segment_cut_anywhere(cut: int) -> None:
    body = b"QQ==QUI=QUJDQQ=="
    assert decode([body[:cut], body[cut:]]) == b"AABABCA"


@pytest.mark.parametrize("body", WRONG)
@pytest.mark.parametrize("before", [b"", b"QUJD", b"QQ=="])
@pytest.mark.parametrize("after", [b"", b"QUJD", b"QQ=="])
def test_wrong_bodies_whole_and_byte_by_byte(body: bytes, before: bytes, after: bytes) -> None:
    for chunks in ([before + body + after], single(before + body + after), [before, body, after]):
        with pytest.raises(WireError) as error:
            decode(chunks)
        assert error.value.status.code == Code.INVALID_ARGUMENT


@pytest.mark.parametrize("body", [b"Q", b"QQ", b"QQ=", b"QUJ", b"QUJDQ", b"QQ==QQ", b"QQ==Q"])
def test_incomplete_final_quantum(body: bytes) -> None:
    for chunks in ([body], single(body)):
        with pytest.raises(WireError) as error:
            decode(chunks)
        assert error.value.status.code == Code.INVALID_ARGUMENT


def test_every_complete_quantum_is_given_out_at_once() -> None:
    decoder = TextDecoder()
    assert [decoder.feed(chunk) for chunk in (b"QUJDQ", b"", b"UI=Q", b"Q=", b"=")] == [b"ABC", b"", b"AB", b"", b"A"]
    decoder.end()


@pytest.mark.parametrize("size", range(8))
def test_encoding_is_padded_and_has_no_newline(size: int) -> None:
    data = bytes(range(250, 256))[:size]
    assert encode(data) == base64.b64encode(data)


def test_long_encoding_has_no_newline() -> None:
    assert b"\n" not in encode(b"x" * 10_000)
