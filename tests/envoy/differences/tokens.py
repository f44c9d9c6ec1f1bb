"""Tokens that Envoy lets through and the gateway does not."""

from tests.envoy.differences.row import At, Fields, Right, Row

GATEWAY, BOTH = Right.GATEWAY, Right.BOTH

TOKEN: Fields = {
    "backend calls": ("0", "1"),
    "grpc-status": ("16", "0"),
    "grpc-message": ("there", "-"),
    "messages": ("-", "hello"),
    "www-authenticate": ('Bearer error="invalid_token"', "-"),
    "the page may read": ("www-authenticate", "-"),
}


def tokens(*names: str) -> tuple[At, ...]:
    return (At(tuple(f"tokens/{name}" for name in names), TOKEN),)


ROWS = (
    Row(
        what="Keys of the set that are not for signatures, or too weak: `use: enc`, `key_ops` without `verify`, RSA "
        "below 2048 bits, P-384 for ES256",
        gateway="drops them when it reads the set: 16",
        envoy="uses them",
        why="They say themselves what they are for.",
        right=GATEWAY,
        source="RFC 7517, sections 4.2 and 4.3; RFC 7518, sections 3.3 and 3.4",
        at=tokens("key for encryption", "key without verify", "RSA with 1024 bits", "ES256 with a P-384 key"),
    ),
    Row(
        what="A token that does not name its key (`kid`), where there are several",
        gateway="16",
        envoy="tries them all",
        why="RFC 7515 leaves the choice of the key open; the gateway does not try keys out.",
        right=BOTH,
        source="RFC 7515, section 6",
        at=tokens("kid missing, several keys", "kid empty"),
    ),
    Row(
        what="A token with `crit`",
        gateway="16",
        envoy="ignores it",
        why="What the issuer calls critical has to be understood, and the list may not be empty.",
        right=GATEWAY,
        source="RFC 7515, section 4.1.11",
        at=tokens("crit", "crit empty", "crit null", "crit b64"),
    ),
    Row(
        what="A token whose header says `b64`, `zip`, `enc`, or `cty: JWT`",
        gateway="16",
        envoy="ignores it",
        why="What is not critical may be ignored. To the gateway a token is a signed JWT and nothing else.",
        right=BOTH,
        source="RFC 7515, section 4",
        at=tokens("b64 true", "b64 false", "zip", "enc", "cty JWT"),
    ),
    Row(
        what="Base64url with padding, or with other spellings of the same bytes",
        gateway="16",
        envoy="accepts it",
        why="Padding must be left out; the last unused bits may be judged. One token has one spelling in the gateway.",
        right=GATEWAY,
        source="RFC 7515, section 2; RFC 4648, section 3.5",
        at=tokens("padding in the payload", "padding at the end", "base64 not canonical"),
    ),
    Row(
        what="A token that expired less than `leeway` ago",
        gateway="16",
        envoy="works on, for as long as `leeway` says",
        why="Some leeway for `exp` is allowed. The gateway's is for `nbf` and `iat` alone, Envoy has one for all.",
        right=BOTH,
        source="RFC 7519, section 4.1.4",
        at=tokens("expired", "expired, within leeway", "exp is now"),
    ),
    Row(
        what="`iat` in the future",
        gateway="16",
        envoy="ignores it",
        why="`iat` says when, not from when on. To the gateway it is a sign of a clock, or a forger, gone wrong.",
        right=BOTH,
        source="RFC 7519, section 4.1.6",
        at=tokens("iat in the future"),
    ),
    Row(
        what="A token over 8 KiB, or with JSON nested very deeply",
        gateway="16, before it is parsed",
        envoy="accepts it",
        why="A limit, which each may set.",
        right=BOTH,
        source="no specification",
        at=tokens("over 8 KiB", "payload nested too deep"),
    ),
    Row(
        what="A second Authorization header that is empty",
        gateway="16",
        envoy="takes the first",
        why="The field may stand once.",
        right=GATEWAY,
        source="RFC 9110, section 5.3",
        at=tokens("an empty second Authorization"),
    ),
)
