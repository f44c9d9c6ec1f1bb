"""A JWK set as public keys, ready to look up (RFC 7517, RFC 7518, RFC 8037).

Rule: a key serves the signature algorithms it is made for and no other. Keys that cannot check signatures in public are
dropped: secret (`oct`), private, for encryption, RSA below 2048 bits, of unknown type. PyJWT builds the key itself.
"""

from collections.abc import Iterator, Mapping

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from gateway.policy.strict_json import parse_object

PublicKey = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey | Ed448PublicKey
Keys = Mapping[tuple[str | None, str], PublicKey]  # by `kid` and `alg`; kid None: the only key there is for `alg`

MAX_KEYS = 32  # a security limit: each costs a parse
MAX_KID = 256  # characters
MIN_RSA_BITS = 2048  # RFC 7518, section 3.3

_ALGORITHMS: dict[tuple[object, object], tuple[str, ...]] = {  # by `kty` and `crv`
    ("RSA", None): ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-384"): ("ES384",),
    ("EC", "P-521"): ("ES512",),
    ("OKP", "Ed25519"): ("EdDSA",),
    ("OKP", "Ed448"): ("EdDSA",),
}


def parse_keys(document: bytes) -> Keys:
    """The keys of a JWK set. Raises ValueError for what is none, has too many keys, or none of use: an issuer without
    keys cannot sign, so such a set is a fault of its endpoint, no news."""
    entries = parse_object(document).get("keys")
    if not isinstance(entries, list) or len(entries) > MAX_KEYS:
        raise ValueError(f"not a JWK set of at most {MAX_KEYS} keys")
    usable = [key for entry in entries if isinstance(entry, dict) for key in _usable(entry)]
    if not usable:
        raise ValueError("no usable key")
    keys: dict[tuple[str | None, str], PublicKey] = {}
    for kid, algorithm, key in usable:
        if kid is not None:
            keys.setdefault((kid, algorithm), key)
        if sum(other == algorithm for _, other, _ in usable) == 1:
            keys[None, algorithm] = key
    return keys


def _usable(entry: dict[str, object]) -> Iterator[tuple[str | None, str, PublicKey]]:
    """`entry` once for each algorithm that it may check: the one it names, else all of its type."""
    kid, operations = entry.get("kid"), entry.get("key_ops", ["verify"])
    if not isinstance(kid, str | None) or len(kid or "") > MAX_KID:
        return
    if entry.get("use", "sig") != "sig" or not isinstance(operations, list) or "verify" not in operations:
        return
    kind, curve = entry.get("kty"), entry.get("crv")
    algorithms = _ALGORITHMS.get((kind, curve), ()) if isinstance(kind, str) and isinstance(curve, str | None) else ()
    algorithms = tuple(algorithm for algorithm in algorithms if entry.get("alg", algorithm) == algorithm)
    key = _public_key(entry, algorithms[0]) if algorithms else None
    if key is not None:
        yield from ((kid, algorithm, key) for algorithm in algorithms)


def _public_key(entry: dict[str, object], algorithm: str) -> PublicKey | None:
    try:
        key: object = jwt.PyJWK(entry, algorithm).key
    except Exception:  # one broken key must not cost the others, whatever the library makes of it
        return None
    if not isinstance(key, PublicKey) or (isinstance(key, RSAPublicKey) and key.key_size < MIN_RSA_BITS):
        return None
    return key
