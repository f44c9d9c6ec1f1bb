import json
import re

import pytest

from gateway.policy.strict_json import MAX_DEPTH, parse_object


def nested(depth: int) -> bytes:
    return b'{"x":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"{}", {}),
        (b' {"a": [1, 2.5, null, true, "\xc3\xab"]}\n', {"a": [1, 2.5, None, True, "ë"]}),
        (b'{"a": {"a": 1}, "b": {"a": 1}}', {"a": {"a": 1}, "b": {"a": 1}}),
        (b'{"a": "\\ud83d\\ude00"}', {"a": "\U0001f600"}),
        (json.dumps({"clients": [{"roles": [str(i)]} for i in range(100)]}).encode(), None),
        (nested(MAX_DEPTH), None),
    ],
)
def test_reads(raw: bytes, value: object) -> None:
    assert parse_object(raw) == (json.loads(raw) if value is None else value)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"{}x",
        b"[]",
        b'"text"',
        b"null",
        b"\xef\xbb\xbf{}",
        '{"a":1}'.encode("utf-16"),
        '{"a":1}'.encode("utf-16-be"),
        '{"a":1}'.encode("utf-32"),
        b'{"a":"\xff"}',
        b'{"a":"\xed\xa0\x80"}',
        b'{"a":"\\ud800"}',
        b'{"\\udfff":1}',
        b'{"a":"\x00"}',
        b'{"a":NaN}',
        b'{"a":-Infinity}',
        b'{"a":1,"a":1}',
        b'{"a":[{"b":1,"b":2}]}',
        b'{"a":1,"\\u0061":2}',
        b'{"a":' + b"1" * 5000 + b"}",
        nested(MAX_DEPTH + 1),
        nested(100_000),
        b'{"x":' * 100_000,
    ],
    ids=lambda raw: repr(raw[:24]),
)
def test_refuses(raw: bytes) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - its subclasses are the library's
        parse_object(raw)
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b"<html>", "not JSON (line 1, column 1)"),
        (b'{"keys":\n [],}', "not JSON (line 2, column 5)"),
        (b'{"a":"\xff"}', "not JSON: no UTF-8"),
    ],
)
def test_what_is_no_json_is_told_with_its_place(raw: bytes, told: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(told)}$"):
        parse_object(raw)
