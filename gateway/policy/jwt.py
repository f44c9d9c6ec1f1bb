"""JSON Web Tokens: what one says of itself, and whether it is true (RFC 7515, RFC 7519, RFC 8725, RFC 9068).

Rule: strict before believed. What two readers could read in two ways is refused before a key is looked for: anything
but three segments of canonical unpadded base64url and strict JSON, every extension (`crit`, `b64`, `zip`), what is
encrypted or nested. Then PyJWT checks signature, issuer and audience, with this issuer's key, algorithms and audiences.
Times are checked here, for PyJWT turns strings into numbers and cuts fractions off. Keys inside a token (`jwk`, `jku`,
`x5u`, `x5c`) are never read.
"""

import base64
import re
from dataclasses import dataclass
from types import MappingProxyType

import jwt
from jwt.exceptions import InvalidSubjectError

from gateway.permit import Subject
from gateway.policy.claims import TokenError, check_times, roles, subject_id
from gateway.policy.jwks import MAX_KID, PublicKey
from gateway.policy.strict_json import parse_object
from gateway.settings import Issuer

_COMPACT = re.compile(rb"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]*)")
_EXTENSIONS = frozenset(("crit", "b64", "zip", "enc", "cty"))


@dataclass(frozen=True, slots=True)
class Unverified:
    """What a token says of itself: enough to choose the issuer and the key, and to believe nothing else."""

    issuer: str
    algorithm: str
    type: str  # normal form of `typ`
    kid: str | None


def read(token: bytes) -> Unverified:
    """Read a compact JWS without believing it. Raises TokenError."""
    segments = _COMPACT.fullmatch(token)
    if segments is None:
        raise TokenError("token_malformed")
    try:
        header, claims, _signature = (_decode(segment) for segment in segments.groups())
        return _unverified(parse_object(header), parse_object(claims))
    except ValueError:
        raise TokenError("token_malformed") from None


def verify(token: bytes, key: PublicKey, issuer: Issuer, now: float) -> Subject:
    """The subject of a token that `read` could read, signed with `key` and valid for `issuer` at `now`, seconds since
    the epoch. Raises TokenError."""
    try:
        claims = _PYJWT.decode(
            token, key, algorithms=issuer.algorithms, audience=issuer.audiences, issuer=issuer.issuer
        )
    except Exception as error:  # a TypeError from inside the library refuses as well as its own errors do
        raise TokenError(_REASONS.get(type(error), "token_malformed")) from None
    return Subject(
        id=subject_id(claims),
        issuer=issuer.issuer,
        expires_at=check_times(claims, now, issuer.leeway, issuer.max_lifetime),
        roles=roles(claims, issuer.roles_from),
        claims=MappingProxyType(claims),
    )


def normal_type(value: str) -> str:
    """A `typ` for comparison: a media type without its `application/`, in lower case (RFC 7515, section 4.1.9)."""
    return value.lower().removeprefix("application/")


_PYJWT = jwt.PyJWT(
    {"enforce_minimum_key_length": True, "verify_exp": False, "verify_nbf": False, "verify_iat": False},
)

_REASONS: dict[type[Exception], str] = {
    jwt.InvalidSignatureError: "token_signature",
    jwt.InvalidKeyError: "token_signature",
    jwt.InvalidAlgorithmError: "token_algorithm",
    jwt.InvalidIssuerError: "token_issuer",
    jwt.InvalidAudienceError: "token_audience",
    jwt.MissingRequiredClaimError: "token_audience",  # the one claim that PyJWT is left to require
    InvalidSubjectError: "token_subject",
}


def _decode(segment: bytes) -> bytes:
    raw = base64.urlsafe_b64decode(segment + b"=" * (-len(segment) % 4))
    # Unused bits in the last character would give one token many spellings.
    if base64.urlsafe_b64encode(raw).rstrip(b"=") != segment:
        raise ValueError("base64url is not canonical")
    return raw


def _unverified(header: dict[str, object], claims: dict[str, object]) -> Unverified:
    if not _EXTENSIONS.isdisjoint(header):
        raise TokenError("token_malformed")
    algorithm, kid, kind, issuer = header.get("alg"), header.get("kid"), header.get("typ", ""), claims.get("iss")
    if not isinstance(algorithm, str):
        raise TokenError("token_algorithm")
    if "kid" in header and (not isinstance(kid, str) or len(kid) > MAX_KID):
        raise TokenError("token_malformed")
    if not isinstance(kind, str):
        raise TokenError("token_type")
    if not isinstance(issuer, str):
        raise TokenError("token_issuer")
    return Unverified(issuer, algorithm, normal_type(kind), kid if isinstance(kid, str) else None)
