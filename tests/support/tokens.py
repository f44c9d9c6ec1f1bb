"""Keys and tokens. These are put together by hand, byte by byte, for a library would refuse to write most of them."""

import base64
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache

import jwt
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from gateway.protocol.metadata import Header

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
Members = Mapping[str, object]

_HASHES: dict[str, hashes.HashAlgorithm] = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}


@cache
def rsa_key(name: str, bits: int = 2048) -> rsa.RSAPrivateKey:
    """A key of this process, the same for the same name; RSA keys take long to make."""
    return rsa.generate_private_key(65537, bits)


@cache
def ec_key(name: str) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP384R1() if "384" in name else ec.SECP256R1())


@cache
def ed_key(name: str) -> ed25519.Ed25519PrivateKey:
    return ed25519.Ed25519PrivateKey.generate()


def jwk(key: PrivateKey, kid: str | None, **members: object) -> dict[str, object]:
    """The public half as a JWK (RFC 7517). A member that is None is left out."""
    entry: dict[str, object]
    if isinstance(key, rsa.RSAPrivateKey):
        entry = dict(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True))
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        entry = dict(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True))
    else:
        entry = dict(jwt.algorithms.OKPAlgorithm.to_jwk(key.public_key(), as_dict=True))
    entry |= {"kid": kid, "use": "sig"} | members
    return {name: value for name, value in entry.items() if value is not None}


def jwks(*keys: Members) -> bytes:
    return json.dumps({"keys": keys}).encode()


def b64(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


def compact(header: bytes, payload: bytes, sign: Callable[[bytes], bytes]) -> bytes:
    """A compact JWS (RFC 7515, section 7.1) of any header and payload."""
    signed = b64(header) + b"." + b64(payload)
    return signed + b"." + b64(sign(signed))


def signer(key: PrivateKey, algorithm: str) -> Callable[[bytes], bytes]:
    """`algorithm` with `key` (RFC 7518, section 3; RFC 8037)."""

    def sign(data: bytes) -> bytes:
        if isinstance(key, ed25519.Ed25519PrivateKey):
            return key.sign(data)
        digest = _HASHES[algorithm[2:]]
        if isinstance(key, ec.EllipticCurvePrivateKey):
            size = (key.curve.key_size + 7) // 8
            r, s = decode_dss_signature(key.sign(data, ec.ECDSA(digest)))
            return r.to_bytes(size, "big") + s.to_bytes(size, "big")
        if algorithm.startswith("PS"):
            pss = padding.PSS(padding.MGF1(digest), digest.digest_size)
            return key.sign(data, pss, digest)
        return key.sign(data, padding.PKCS1v15(), digest)

    return sign


@dataclass
class KeyWorld:
    """Two issuers that the gateway trusts, their keys, and one caller.

    The gateway under test trusts `issuer` with `jwks()` and `other_issuer` with `other_jwks()`, both for `audience`,
    with the default algorithms (RS256, ES256), token types, leeway (30 s), max_lifetime (24 h) and roles_from.
    """

    issuer: str = "https://login.test/tenant/"
    other_issuer: str = "https://other.test/"
    audience: str = "grpc-api"
    now: Callable[[], float] = time.time
    rsa_private: rsa.RSAPrivateKey = field(default_factory=lambda: rsa_key("a"))
    ec_private: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec_key("a"))

    def jwks(self) -> bytes:
        """The document of `issuer`. Half of it is of no use, and a gateway must not use it."""
        return jwks(
            jwk(self.rsa_private, "rsa"),
            jwk(rsa_key("next"), "next"),
            jwk(self.ec_private, "ec"),
            jwk(ec_key("p384"), "p384"),
            jwk(rsa_key("weak", 1024), "weak"),
            jwk(rsa_key("enc"), "enc", use="enc"),
            jwk(rsa_key("ops"), "ops", use=None, key_ops=["sign"]),
            {"kty": "oct", "kid": "oct", "k": b64(b"k" * 32).decode()},
        )

    def other_jwks(self) -> bytes:
        return jwks(jwk(rsa_key("b"), "rsa"))

    def at(self, seconds: float) -> int:
        """The time `seconds` from now, in whole seconds since the epoch."""
        return int(self.now() + seconds)

    def claims(self, **changes: object) -> dict[str, object]:
        """Claims of a good token, with `changes`; a claim that is `...` is left out."""
        claims: dict[str, object] = {
            "iss": self.issuer,
            "aud": self.audience,
            "sub": "alice",
            "iat": self.at(-1),
            "exp": self.at(300),
            "scope": "orders.read admin.readonly",
        }
        claims |= changes
        return {name: value for name, value in claims.items() if value is not ...}

    def token(
        self,
        claims: Members | bytes | None = None,
        *,
        header: Members | bytes | None = None,
        key: PrivateKey | None = None,
        sign: Callable[[bytes], bytes] | None = None,
    ) -> bytes:
        """A token by `rsa_private` and RS256, unless told otherwise. `header` adds members, `...` takes one away; bytes
        are taken as they are. `sign` replaces the signature."""
        members: dict[str, object] = {"alg": "RS256", "typ": "at+jwt", "kid": "rsa"}
        if isinstance(header, bytes):
            raw_header = header
        else:
            members |= header or {}
            raw_header = json.dumps({name: value for name, value in members.items() if value is not ...}).encode()
        payload = claims if isinstance(claims, bytes) else json.dumps(claims or self.claims()).encode()
        algorithm = members["alg"] if isinstance(members["alg"], str) and members["alg"][2:] in _HASHES else "RS256"
        return compact(raw_header, payload, sign or signer(key or self.rsa_private, algorithm))

    def es256(self, *, sign: Callable[[bytes], bytes] | None = None) -> bytes:
        return self.token(header={"alg": "ES256", "kid": "ec"}, key=self.ec_private, sign=sign)


def authorization(token: bytes) -> list[Header]:
    return [(b"authorization", b"Bearer " + token)]
