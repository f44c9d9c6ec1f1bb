import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from gateway.policy.jwks import MAX_KEYS, parse_keys
from tests.support.tokens import ec_key, ed_key, jwk, jwks, rsa_key

RSA = ("PS256", "PS384", "PS512", "RS256", "RS384", "RS512")
MADE = {"n", "d", "p", "q", "dp", "dq", "qi", "x", "y"}  # of a key, and new in every run: no name for a test


def algorithms(*entries: dict[str, object]) -> dict[str | None, tuple[str, ...]]:
    """The algorithms of each kid; a good key stands beside the entries, so that the set is one."""
    keys = parse_keys(jwks(jwk(ed_key("beside"), "beside"), *entries))
    kids = {kid for kid, _ in keys} - {"beside", None}
    return {kid: tuple(sorted(alg for other, alg in keys if other == kid)) for kid in kids}


def test_a_key_serves_the_algorithms_of_its_type() -> None:
    assert algorithms(jwk(rsa_key("a"), "k")) == {"k": RSA}
    assert algorithms(jwk(ec_key("a"), "k")) == {"k": ("ES256",)}
    assert algorithms(jwk(ec_key("p384"), "k")) == {"k": ("ES384",)}
    assert algorithms(jwk(ec.generate_private_key(ec.SECP521R1()), "k")) == {"k": ("ES512",)}
    assert algorithms(jwk(ed_key("a"), "k")) == {"k": ("EdDSA",)}


def test_a_key_serves_the_one_algorithm_it_names() -> None:
    assert algorithms(jwk(rsa_key("a"), "k", alg="PS256")) == {"k": ("PS256",)}
    assert algorithms(jwk(rsa_key("a"), "k", use=None, key_ops=["verify"])) == {"k": RSA}


@pytest.mark.parametrize(
    "entry",
    [
        jwk(rsa_key("a"), "k", use="enc"),
        jwk(rsa_key("a"), "k", use=["sig"]),
        jwk(rsa_key("a"), "k", key_ops=["sign"]),
        jwk(rsa_key("a"), "k", key_ops=[]),
        jwk(rsa_key("a"), "k", key_ops="verify"),
        jwk(rsa_key("a"), "k", alg="RSA-OAEP"),
        jwk(rsa_key("a"), "k", alg="HS256"),
        jwk(rsa_key("a"), "k", alg="none"),
        jwk(rsa_key("a"), "k", alg="ES256"),
        jwk(rsa_key("a"), "k", alg=["RS256"]),
        {"kid": "k"} | RSAAlgorithm.to_jwk(rsa_key("a"), as_dict=True) | {"key_ops": ["verify"]},
        {"kid": "k"} | ECAlgorithm.to_jwk(ec_key("a"), as_dict=True),
        {"kid": "k"} | OKPAlgorithm.to_jwk(ed_key("a"), as_dict=True),
        jwk(rsa_key("a"), "k", n=None),
        jwk(rsa_key("a"), "k", n=7),
        jwk(rsa_key("a"), "k", e="AA"),
        jwk(rsa_key("a"), "k", kty=["RSA"]),
        jwk(rsa_key("a"), "k", kty="rsa"),
        jwk(rsa_key("a"), "k", crv=["P-256"]),
        jwk(rsa_key("weak", 1024), "k"),
        jwk(ec_key("a"), "k", crv="P-384"),
        jwk(ec_key("a"), "k", crv="secp256k1"),
        jwk(ec_key("a"), "k", y="AQAB"),
        jwk(ec_key("a"), "k", x="A" * 43),
        jwk(ed_key("a"), "k", x="!"),
        jwk(rsa_key("a"), "k" * 257),
        jwk(rsa_key("a"), None) | {"kid": 7},
        {"kty": "oct", "kid": "k", "k": "a2V5", "alg": "HS256"},
        {"kid": "k"},
    ],
    ids=lambda entry: " ".join(name if name in MADE else f"{name}={str(value)[:4]}" for name, value in entry.items()),
)
def test_a_key_of_no_use_is_dropped_alone(entry: dict[str, object]) -> None:
    assert algorithms(entry) == {}


def test_without_kid_there_must_be_one_key_for_the_algorithm() -> None:
    alone = parse_keys(jwks(jwk(rsa_key("a"), None), jwk(ec_key("a"), "ec")))
    assert alone[None, "RS256"] == rsa_key("a").public_key()
    assert alone[None, "ES256"] == ec_key("a").public_key()
    two = parse_keys(jwks(jwk(rsa_key("a"), None), jwk(rsa_key("b"), "b")))
    assert (None, "RS256") not in two


def test_the_first_of_two_keys_with_one_name_counts() -> None:
    assert parse_keys(jwks(jwk(rsa_key("a"), "k"), jwk(rsa_key("b"), "k")))["k", "RS256"] == rsa_key("a").public_key()


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b"{}",
        b'{"keys":{}}',
        b'{"keys":[]}',
        b'{"keys":[1,null,"x",[]]}',
        b"<html>",
        jwks(*[jwk(ed_key("a"), f"k{i}") for i in range(MAX_KEYS + 1)]),
        json.dumps({"keys": [jwk(ed_key("a"), "k")]}).encode("utf-16"),
    ],
    ids=lambda document: repr(document[:12]),
)
def test_what_is_no_key_set(document: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - its subclasses are the library's
        parse_keys(document)


def test_as_many_keys_as_allowed() -> None:
    assert len(parse_keys(jwks(*[jwk(ed_key("a"), f"k{i}") for i in range(MAX_KEYS)]))) == MAX_KEYS
