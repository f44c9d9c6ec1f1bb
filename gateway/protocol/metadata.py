"""Header blocks: what crosses from the browser to the backend, and what crosses back.

Rule: a header crosses unless a line below says that it belongs to one connection, to the browser's own bookkeeping, or
to the gateway (RFC 9110, section 7.6.1; PROTOCOL-HTTP2.md, "Custom-Metadata"). What comes from a client and cannot be
metadata refuses the call; what comes from a backend and cannot be a header is left out, for the reply still counts.
"""

import re
from binascii import Error, a2b_base64, b2a_base64
from collections.abc import Callable, Iterable
from enum import Enum
from itertools import chain

from gateway.protocol.status import Code, WireError

Header = tuple[bytes, bytes]  # lower-case name, raw value
Headers = list[Header]  # repeats and order are kept

MAX_REPLY_METADATA = 48 * 1024  # bytes of names and values; what fronts can send and browsers take
ENTRY_OVERHEAD = 32  # what HTTP/2 adds to every header when it measures a list (RFC 9113, section 6.5.2)

_CONNECTION_LEVEL = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer transfer-encoding "
    b"upgrade http2-settings expect".split()
)
# forwarded, x-real-ip and x-forwarded-* say who the peer is, which only the gateway may say. An Envoy in front of a
# backend takes x-envoy-* from the gateway's address for orders: to retry, to wait longer.
_REQUEST_DROPPED = _CONNECTION_LEVEL | frozenset(
    b"host content-length content-type content-encoding accept origin referer priority x-grpc-web forwarded "
    b"x-real-ip".split()
)
_REQUEST_DROPPED_PREFIXES = (b"accept-", b"sec-", b"access-control-", b"x-forwarded-", b"x-envoy-", b"grpc-")
_REQUEST_GRPC = frozenset(b"grpc-accept-encoding grpc-encoding grpc-trace-bin grpc-tags-bin".split())
STATUS_NAMES = frozenset([b"grpc-status", b"grpc-message", b"grpc-status-details-bin"])
# content-encoding would make the browser unpack gRPC frames; alt-svc would send it to an address of the backend's; what
# the backend itself can unpack says nothing about the next one.
_REPLY_DROPPED = (
    _CONNECTION_LEVEL
    | STATUS_NAMES
    | frozenset(b"content-length content-type content-encoding server date alt-svc grpc-accept-encoding".split())
)

_REQUEST_NAME = re.compile(rb"[0-9a-z.-]+")  # without `_`: x_user_id would pass for x-user-id in many a backend
_REPLY_NAME = re.compile(rb"[0-9a-z_.-]+")
_PRINTABLE = bytes(range(0x20, 0x7F))
_CARRIED = bytes([0x09, *range(0x20, 0x7F), *range(0x80, 0x100)])
_MAX_NAMES = 1024


class _Fate(Enum):
    """What becomes of a header, by its name alone."""

    KEEP = 1
    DROP = 2
    BINARY = 3
    REFUSE = 4
    CONNECTION = 5
    USER_AGENT = 6
    AUTHORIZATION = 7
    COOKIE = 8


_BY_NAME = {
    b"connection": _Fate.CONNECTION,
    b"user-agent": _Fate.USER_AGENT,
    b"authorization": _Fate.AUTHORIZATION,
    b"cookie": _Fate.COOKIE,
}

_KEEP, _DROP, _BINARY = _Fate.KEEP, _Fate.DROP, _Fate.BINARY


def request_metadata(
    headers: Iterable[Header],
    *,
    stripped: frozenset[bytes],
    max_size: int,
    allow_cookie: bool = False,
    forward_authorization: bool = True,
) -> Headers:
    """What of the request's headers goes to the backend, repeats kept, in order.

    `stripped` are the lower-case names that only the gateway may set (`forward_claims`). `max_size` is in bytes and
    measured as HTTP/2 and grpc-core do, 32 added for each header, over what is kept. grpc-encoding and
    grpc-accept-encoding are kept as they came; the browser's user-agent becomes x-user-agent. grpc-timeout is not
    kept: an upstream says what is left of it.
    Raises WireError: INVALID_ARGUMENT (name, value, base64), RESOURCE_EXHAUSTED (size).
    """
    kept: Headers = []
    unwanted = stripped
    for header in headers:
        name, value = header
        fate = _request_fates[name]
        if fate is _KEEP:
            kept.append(header)
        elif fate is _DROP:
            continue
        elif fate is _BINARY:
            kept += _request_binary(name, value)
        elif fate is _Fate.USER_AGENT:
            kept.append((b"x-user-agent", value))
        elif fate is _Fate.CONNECTION:
            if value != b"keep-alive":
                unwanted = unwanted.union(map(bytes.strip, value.lower().split(b",")))
        elif fate is _Fate.REFUSE:
            raise WireError(
                Code.INVALID_ARGUMENT, "a request header's name has other characters than a-z, 0-9, - and ."
            )
        elif (fate is _Fate.AUTHORIZATION and forward_authorization) or (fate is _Fate.COOKIE and allow_cookie):
            kept.append(header)
    if unwanted:
        kept = [header for header in kept if header[0] not in unwanted]
    _check_request(kept, max_size)
    return kept


def reply_metadata(headers: Iterable[Header]) -> Headers:
    """What of the backend's headers (or trailers) goes to the browser, repeats kept, in order.

    Never grpc-status and its like, which are the end of the call, and nothing that no header can carry.
    Raises WireError RESOURCE_EXHAUSTED when names and values have more than MAX_REPLY_METADATA bytes.
    """
    kept: Headers = []
    for header in headers:
        fate = _reply_fates[header[0]]
        if fate is _KEEP:
            kept.append(header)
        elif fate is _BINARY:
            try:
                kept += _binary(*header)
            except Error:
                continue
    block = b"".join(chain.from_iterable(kept))
    if len(block) > MAX_REPLY_METADATA:
        raise WireError(Code.RESOURCE_EXHAUSTED, "the backend's metadata are larger than this gateway allows")
    if not is_carried(block):
        kept = [header for header in kept if is_carried(header[1])]
    return kept


def forwarded(peer: bytes, scheme: bytes, host: bytes) -> Headers:
    """The x-forwarded-* of the gateway's own, without an empty `peer` (a Unix socket's) or `host`.

    `host` is the client's word, and left out when it is not printable ASCII.
    """
    block = [(b"x-forwarded-for", peer)] if peer else []
    block.append((b"x-forwarded-proto", scheme))
    if host and not host.translate(None, _PRINTABLE):
        block.append((b"x-forwarded-host", host))
    return block


def is_name(name: bytes) -> bool:
    """Whether `name` can be the name of metadata: lower-case letters, digits, `_`, `-` and `.`."""
    return _REPLY_NAME.fullmatch(name) is not None


def is_carried(value: bytes) -> bool:
    """Whether a header can have this value: no control characters, with which one could become two (RFC 9110, 5.5)."""
    return not value.translate(None, _CARRIED)


def encode_binary(value: bytes) -> bytes:
    """The value of a -bin header: base64 without padding."""
    return b2a_base64(value, newline=False).rstrip(b"=")


def decode_binary(value: bytes) -> bytes:
    """The bytes of one -bin value, padded or not. Raises binascii.Error."""
    digits = value.rstrip(b"=")
    padding = -len(digits) & 3
    if len(value) - len(digits) not in (0, padding):
        raise Error("wrong padding")
    return a2b_base64(digits + b"=" * padding, strict_mode=True)


class _Fates(dict[bytes, _Fate]):
    """The fate of every name seen: names repeat from call to call, so each is judged once.

    Security limit: full, it starts anew, or a client that makes names up would fill the memory.
    """

    def __init__(self, judge: Callable[[bytes], _Fate]) -> None:
        super().__init__()
        self._judge = judge

    def __missing__(self, name: bytes) -> _Fate:
        if len(self) >= _MAX_NAMES:
            self.clear()
        fate = self[name] = self._judge(name)
        return fate


def _request_fate(name: bytes) -> _Fate:
    special = _BY_NAME.get(name)
    if special is not None:
        return special
    if name in _REQUEST_DROPPED or (name.startswith(_REQUEST_DROPPED_PREFIXES) and name not in _REQUEST_GRPC):
        return _Fate.DROP
    if _REQUEST_NAME.fullmatch(name) is None:
        return _Fate.REFUSE
    return _Fate.BINARY if name.endswith(b"-bin") else _Fate.KEEP


def _reply_fate(name: bytes) -> _Fate:
    if name in _REPLY_DROPPED or name.startswith(b"access-control-") or not is_name(name):
        return _Fate.DROP
    return _Fate.BINARY if name.endswith(b"-bin") else _Fate.KEEP


_request_fates = _Fates(_request_fate)
_reply_fates = _Fates(_reply_fate)


def _binary(name: bytes, value: bytes) -> Headers:
    """One header for each value of a comma-joined list, re-encoded so that the other side sees one form only."""
    return [(name, encode_binary(decode_binary(part.strip(b" \t")))) for part in value.split(b",")]


def _request_binary(name: bytes, value: bytes) -> Headers:
    try:
        return _binary(name, value)
    except Error:
        raise WireError(Code.INVALID_ARGUMENT, f"the value of {name.decode()} is not base64") from None


def _check_request(kept: Headers, max_size: int) -> None:
    """Size and values. The block is looked at as one string, names included: ordinary headers cost one pass."""
    block = b"".join(chain.from_iterable(kept))
    size = len(block) + ENTRY_OVERHEAD * len(kept)
    if size > max_size:
        raise WireError(Code.RESOURCE_EXHAUSTED, f"{size} bytes of request metadata are over the limit of {max_size}")
    if block.translate(None, _PRINTABLE):
        culprit = next(name for name, value in kept if value.translate(None, _PRINTABLE))
        raise WireError(Code.INVALID_ARGUMENT, f"the value of {culprit.decode()} is not printable ASCII")
