"""The token of a call: one in the header, or what is wrong there."""

import pytest

from gateway.permit import Refusal
from gateway.policy.tokens import bearer
from gateway.protocol.metadata import Header


@pytest.mark.parametrize(
    ("headers", "token"),
    [
        ([(b"authorization", b"Bearer abc")], b"abc"),
        ([(b"authorization", b"bEaReR abc")], b"abc"),
        ([(b"authorization", b"Bearer   abc")], b"abc"),
        ([(b"authorization", b"Bearer a-._~+/b==")], b"a-._~+/b=="),
        ([(b"x", b"y"), (b"authorization", b"Bearer abc"), (b"x-authorization", b"Bearer def")], b"abc"),
        ([], None),
        ([(b"x-authorization", b"Bearer def")], None),
    ],
)
def test_bearer(headers: list[Header], token: bytes | None) -> None:
    assert bearer(headers) == token


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", "token_malformed"),
        (b"Bearer", "token_malformed"),
        (b"Bearer ", "token_malformed"),
        (b"Bearer =", "token_malformed"),
        (b"Bearer a=b", "token_malformed"),
        (b"Bearer a b", "token_malformed"),
        (b"Bearer a,b", "token_malformed"),
        (b"Bearer a, Bearer b", "token_malformed"),
        (b"Bearer a\n", "token_malformed"),
        (b"Bearer \xe9", "token_malformed"),
        (b'Bearer "a"', "token_malformed"),
        (b"Basic YTpi", "token_scheme"),
        (b"a.b.c", "token_scheme"),
    ],
)
def test_what_is_not_one_bearer_token(value: bytes, reason: str) -> None:
    outcome = bearer([(b"authorization", value)])
    assert isinstance(outcome, Refusal)
    assert outcome.reason == reason
