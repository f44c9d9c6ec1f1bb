"""Claims of a token and what they mean here (RFC 7519, section 4.1; RFC 9068; RFC 7662, section 2.2).

Rule: a claim has its type or the token is refused; nothing is converted. `leeway` allows for an issuer's clock that is
ahead of ours, and so belongs to `nbf` and `iat` alone. `exp` has none, though RFC 7519 would permit it: a token ends at
`exp`, for a new call and for a stream under way alike, and `exp == now` is expired.
"""

from collections.abc import Collection, Iterable, Mapping

Claims = Mapping[str, object]

LAST_DATE = 253_402_300_799  # the end of the year 9999: what clocks and timers can still count to


class TokenError(Exception):
    """A token that is not believed. `reason` is a code for log and metric; nothing of the token is in it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def date(claims: Claims, name: str) -> float | None:
    """A NumericDate, seconds since the epoch; None: the claim is not there. Anything else: `token_malformed`."""
    if name not in claims:
        return None
    value = claims[name]
    # bool is an int to Python; the range also refuses infinity.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LAST_DATE:
        raise TokenError("token_malformed")
    return float(value)


def check_times(claims: Claims, now: float, leeway: float, max_lifetime: float | None) -> float:
    """`exp` of a token that is valid at `now`.

    `max_lifetime` is counted from `iat`; where there is none, from now, so that what remains is limited all the same.
    """
    expires_at, issued_at, not_before = date(claims, "exp"), date(claims, "iat"), date(claims, "nbf")
    if expires_at is None:
        raise TokenError("token_lifetime")
    if expires_at <= now:
        raise TokenError("token_expired")
    if max(issued_at or 0.0, not_before or 0.0) > now + leeway:
        raise TokenError("token_not_yet_valid")
    if max_lifetime is not None and expires_at - (now if issued_at is None else issued_at) > max_lifetime:
        raise TokenError("token_lifetime")
    return expires_at


def subject_id(claims: Claims) -> str:
    """`sub`: a string, not empty, for an empty one is nobody."""
    value = claims.get("sub")
    if not isinstance(value, str) or not value:
        raise TokenError("token_subject")
    return value


def is_meant_for(audience: object, audiences: Collection[str]) -> bool:
    """Whether the claim `aud`, a string or a list of strings, names one of `audiences` exactly."""
    names = [audience] if isinstance(audience, str) else audience
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return False
    return any(name in audiences for name in names)


def roles(claims: Claims, paths: Iterable[str]) -> frozenset[str]:
    """The roles that the claims at `paths` name: a string split on spaces, or the strings of a list."""
    return frozenset(role for path in paths for role in _names(_at(claims, path)))


def _at(claims: Claims, path: str) -> object:
    # The whole path first: names of claims may be URLs, and those have dots.
    if path in claims:
        return claims[path]
    value: object = claims
    for name in path.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return value


def _names(value: object) -> list[str]:
    if isinstance(value, str):
        value = value.split(" ")
    return [name for name in value if isinstance(name, str) and name] if isinstance(value, list) else []
