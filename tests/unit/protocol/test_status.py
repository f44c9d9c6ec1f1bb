import pytest

from gateway.protocol.status import (
    MAX_MESSAGE,
    OK,
    Code,
    Status,
    WireError,
    decode_message,
    encode_message,
    from_http,
    from_reset,
)


def test_codes_are_those_of_grpc() -> None:
    assert [code.value for code in Code] == list(range(17))
    assert (Code.UNIMPLEMENTED, Code.INTERNAL, Code.UNAVAILABLE, Code.UNAUTHENTICATED) == (12, 13, 14, 16)
    assert Status(Code.OK, "", None) == OK


def test_wire_error_carries_the_answer() -> None:
    error = WireError(Code.INVALID_ARGUMENT, "no")
    assert error.status == Status(3, "no")
    assert str(error) == "no"


@pytest.mark.parametrize(
    ("http_status", "code"),
    [
        *[(400, 13), (401, 16), (403, 7), (404, 12), (429, 14), (502, 14), (503, 14), (504, 14)],
        *[(200, 2), (301, 2), (418, 2), (500, 2), (0, 2)],
    ],
)
def test_code_for_a_reply_without_grpc_status(http_status: int, code: int) -> None:
    assert from_http(http_status) == code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        *[(0x0, 13), (0x1, 13), (0x2, 13), (0x3, 13), (0x4, 13), (0x5, 13), (0x6, 13), (0x7, 14), (0x8, 1), (0x9, 13)],
        *[(0xA, 13), (0xB, 8), (0xC, 7), (0xD, 13), (0xE, 13), (0xFFFFFFFF, 13)],
    ],
)
def test_code_for_a_stream_that_was_reset(error: int, code: int) -> None:
    assert from_reset(error) == code


@pytest.mark.parametrize(
    ("text", "encoded"),
    [
        ("", b""),
        ("not found: order 7", b"not found: order 7"),
        ("~ ~", b"~ ~"),
        (" ~", b"%20~"),  # a field has no white space around it (RFC 9113, section 8.2.1)
        ("~  ", b"~ %20"),
        (" ", b"%20"),
        ("100%", b"100%25"),
        ("a\r\nb\0\t\x7f", b"a%0D%0Ab%00%09%7F"),
        ("Ä€😀", b"%C3%84%E2%82%AC%F0%9F%98%80"),
        ("\ud800", b"?"),  # a lone surrogate has no UTF-8 form
    ],
)
def test_message_encoding(text: str, encoded: bytes) -> None:
    assert encode_message(text) == encoded


@pytest.mark.parametrize("character", ["a", "%", "Ä", "€", "😀"])
def test_long_message_is_cut_between_characters(character: str) -> None:
    size = len(encode_message(character))
    encoded = encode_message(character * (MAX_MESSAGE + 1))
    assert encoded == encode_message(character) * (MAX_MESSAGE // size)
    assert len(encode_message("x" * MAX_MESSAGE)) == MAX_MESSAGE


def test_cut_message_has_no_gap() -> None:
    # What no longer fits ends the message, though a shorter character after it would fit.
    assert encode_message("x" * (MAX_MESSAGE - 4) + "Äy") == b"x" * (MAX_MESSAGE - 4)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"", ""),
        (b"plain", "plain"),
        (b"%C3%84%e2%82%ac", "Ä€"),
        (b"100%", "100%"),
        (b"%4", "%4"),
        (b"%zz%41", "%zzA"),
        (b"%2541", "%41"),  # decoded once
        (b"%FF\xfe", "\ufffd\ufffd"),
        ("Ä".encode(), "Ä"),
    ],
)
def test_message_decoding_is_lenient(raw: bytes, text: str) -> None:
    assert decode_message(raw) == text
