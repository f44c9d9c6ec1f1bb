"""JSON Web Tokens: what one says of itself, and whether it is true (RFC 7515, RFC 7519, RFC 8725, RFC 9068).

Rule: strict before believed. What two readers could read in two ways is refused before a key is looked for: anything
but three segments of canonical unpadded base64url and strict JSON, every extension (`crit`, `b64`, `zip`), what is
encrypted or nested. It is read once, here: PyJWT checks the signature and no more, for it reads leniently (padding,
duplicate members, numbers in strings, `exp` without its fraction) and would read everything again. Keys inside a token
(`jwk`, `jku`, `x5u`, `x5c`) are never looked at.
"""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import jwt

from gateway.permit import Subject
from gateway.policy.claims import TokenError, check_times, is_meant_for, roles, subject_id
from gateway.policy.jwks import MAX_KID, PublicKey
from gateway.policy.strict_json import parse_object
from gateway.settings import Issuer

_COMPACT = re.compile(rb"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]*)")
_EXTENSIONS = frozenset(("crit", "b64", "zip", "enc", "cty"))


@dataclass(frozen=True, slots=True)
class Unverified:
    """What a token says of itself. It chooses the issuer and the key, and is to be believed for nothing else."""

    issuer: str
    algorithm: str
    type: str  # `typ` in its normal form
    kid: str | None
    claims: Mapping[str, object]
    signed: bytes  # what the signature is over: header, dot, payload
    signature: bytes


def read(token: bytes) -> Unverified:
    """Read a compact JWS without believing it. Raises TokenError."""
    segments = _COMPACT.fullmatch(token)
    if segments is None:
        raise TokenError("token_malformed")
    try:
        header, claims = parse_object(_decode(segments[1])), parse_object(_decode(segments[2]))
        signature = _decode(segments[3])
    except ValueError:
        raise TokenError("token_malformed") from None
    algorithm, kid, kind, issuer = header.get("alg"), header.get("kid"), header.get("typ", ""), claims.get("iss")
    if not _EXTENSIONS.isdisjoint(header):
        raise TokenError("token_malformed")
    if not isinstance(algorithm, str):
        raise TokenError("token_algorithm")
    # RFC 7515, section 4.1.4: a string; null is not the same as none.
    if "kid" in header and (not isinstance(kid, str) or len(kid) > MAX_KID):
        raise TokenError("token_malformed")
    if not isinstance(kind, str):
        raise TokenError("token_type")
    if not isinstance(issuer, str):
        raise TokenError("token_issuer")
    return Unverified(
        issuer=issuer,
        algorithm=algorithm,
        type=normal_type(kind),
        kid=kid if isinstance(kid, str) else None,
        claims=MappingProxyType(claims),
        signed=token[: segments.end(2)],
        signature=signature,
    )


def verify(token: Unverified, key: PublicKey, issuer: Issuer, now: float) -> Subject:
    """The subject of a token that is signed with `key`, comes from `issuer`, is meant for its audiences and valid at
    `now`, seconds since the epoch. Raises TokenError."""
    if not _is_signed(token, key):
        raise TokenError("token_signature")
    if token.issuer != issuer.issuer:
        raise TokenError("token_issuer")
    if not is_meant_for(token.claims.get("aud"), issuer.audiences):
        raise TokenError("token_audience")
    return Subject(
        id=subject_id(token.claims),
        issuer=issuer.issuer,
        roles=roles(token.claims, issuer.roles_from),
        claims=token.claims,
        expires_at=check_times(token.claims, now, issuer.leeway, issuer.max_lifetime),
    )


def normal_type(value: str) -> str:
    """A `typ` for comparison: a media type without its `application/`, in lower case (RFC 7515, section 4.1.9)."""
    return value.lower().removeprefix("application/")


def _decode(segment: bytes) -> bytes:
    raw = base64.urlsafe_b64decode(segment + b"=" * (-len(segment) % 4))
    # Unused bits in the last character would give one token many spellings.
    if base64.urlsafe_b64encode(raw).rstrip(b"=") != segment:
        raise ValueError("base64url is not canonical")
    return raw


def _is_signed(token: Unverified, key: PublicKey) -> bool:
    try:
        algorithm = jwt.get_algorithm_by_name(token.algorithm)
        return algorithm.verify(token.signed, algorithm.prepare_key(key), token.signature)
    except Exception:  # a TypeError from inside the library refuses as well as its own errors do
        return False
