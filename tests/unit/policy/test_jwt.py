import base64
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.policy.claims import TokenError
from gateway.policy.jwt import normal_type, read, verify
from gateway.settings import Issuer
from tests.support.tokens import KeyWorld, b64, compact, rsa_key

WORLD = KeyWorld()


def test_reads_what_a_token_says_of_itself() -> None:
    claimed = read(WORLD.token())
    assert (claimed.issuer, claimed.algorithm, claimed.type, claimed.kid) == (WORLD.issuer, "RS256", "at+jwt", "rsa")


def test_a_missing_kid_is_not_an_empty_one() -> None:
    assert read(WORLD.token(header={"kid": ...})).kid is None
    assert read(WORLD.token(header={"kid": ""})).kid == ""


@pytest.mark.parametrize(
    ("value", "normal"),
    [("JWT", "jwt"), ("at+jwt", "at+jwt"), ("application/AT+JWT", "at+jwt"), ("Application/jwt", "jwt"), ("", "")],
)
def test_types_compare_as_media_types(value: str, normal: str) -> None:
    assert normal_type(value) == normal


@given(st.binary(max_size=200))
def test_whatever_is_sent_is_read_or_refused(token: bytes) -> None:
    with contextlib.suppress(TokenError):
        read(token)


@given(st.binary(max_size=60), st.binary(max_size=60), st.binary(max_size=20))
def test_whatever_the_segments_hold_is_read_or_refused(header: bytes, payload: bytes, signature: bytes) -> None:
    with contextlib.suppress(TokenError):
        read(compact(header, payload, lambda _: signature))


@given(st.integers(0, len(WORLD.es256()) - 1), st.sampled_from(b"ABCDEFabcdef0123-_=+/ "))
def test_a_token_has_one_spelling(position: int, byte: int) -> None:
    token = bytearray(WORLD.es256())
    token[position] = byte
    try:
        read(bytes(token))
    except TokenError:
        return
    segments = bytes(token).split(b".")
    assert segments == [b64(base64.urlsafe_b64decode(segment + b"===")) for segment in segments]


def test_a_good_signature_is_not_enough() -> None:
    claimed, key = read(WORLD.token()), rsa_key("a").public_key()
    issuer = Issuer(issuer=WORLD.issuer, audiences=(WORLD.audience,))
    assert verify(claimed, key, issuer, WORLD.now()).id == "alice"
    for other, reason in (
        (issuer.model_copy(update={"issuer": WORLD.other_issuer}), "token_issuer"),
        (issuer.model_copy(update={"audiences": ()}), "token_audience"),
    ):
        with pytest.raises(TokenError, match=reason):
            verify(claimed, key, other, WORLD.now())
