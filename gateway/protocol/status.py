"""How a call ended: status codes, and the status message as the wire spells it.

Rule: a failed call is a value (`Status`). This room raises one exception, `WireError`, and it carries such a value.
Sources: gRPC statuscodes.md, http-grpc-status-mapping.md, PROTOCOL-HTTP2.md ("Status-Message").
"""

import re
from dataclasses import dataclass
from enum import IntEnum, unique

MAX_MESSAGE = 8 * 1024  # bytes of an encoded grpc-message: larger trailers are dropped by clients and proxies


@unique
class Code(IntEnum):
    """The status codes of gRPC."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


@dataclass(frozen=True, slots=True)
class Status:
    """The end of a call. `code` is an int, for a backend may send one that `Code` does not know."""

    code: int
    message: str = ""
    details: bytes | None = None  # a serialised google.rpc.Status (grpc-status-details-bin), not base64


OK = Status(0)


class WireError(Exception):
    """The peer broke the wire format, or a limit. `status` is the answer; its message is safe to show the client."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.status = Status(code, message)


_FROM_HTTP = {
    400: Code.INTERNAL,
    401: Code.UNAUTHENTICATED,
    403: Code.PERMISSION_DENIED,
    404: Code.UNIMPLEMENTED,
    429: Code.UNAVAILABLE,
    502: Code.UNAVAILABLE,
    503: Code.UNAVAILABLE,
    504: Code.UNAVAILABLE,
}


def from_http(http_status: int) -> Code:
    """The code for a reply that has an HTTP status but no grpc-status (http-grpc-status-mapping.md)."""
    return _FROM_HTTP.get(http_status, Code.UNKNOWN)


# By the error codes of RFC 9113, section 7 (PROTOCOL-HTTP2.md, "Errors").
_FROM_RESET = {
    0x7: Code.UNAVAILABLE,  # REFUSED_STREAM
    0x8: Code.CANCELLED,  # CANCEL
    0xB: Code.RESOURCE_EXHAUSTED,  # ENHANCE_YOUR_CALM
    0xC: Code.PERMISSION_DENIED,  # INADEQUATE_SECURITY
}


def from_reset(error: int) -> Code:
    """The code for a stream that was reset before it had a grpc-status, by HTTP/2's error code."""
    return _FROM_RESET.get(error, Code.INTERNAL)


_PLAIN = re.compile(r"(?:[!-$&-~](?:[ -$&-~]*[!-$&-~])?)?")
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
_BYTES = [bytes((byte,)) if 0x20 <= byte <= 0x7E and byte != 0x25 else b"%%%02X" % byte for byte in range(256)]


def encode_message(text: str) -> bytes:
    """`text` as grpc-message: UTF-8, bytes outside 0x20-0x7E and `%` as %XX; at most 8 KiB, cut between characters.

    A space at either end is %20, too: HTTP takes it for no part of the value (RFC 9110, section 5.5). A lone surrogate
    has no UTF-8 form and becomes `?`.
    """
    text = text[:MAX_MESSAGE]
    if _PLAIN.fullmatch(text):
        return text.encode("ascii")
    encoded: list[bytes] = []
    size = 0
    last = len(text) - 1
    for index, character in enumerate(text):
        if character == " " and index in (0, last):
            piece = b"%20"
        else:
            piece = b"".join([_BYTES[byte] for byte in character.encode("utf-8", "replace")])
        size += len(piece)
        if size > MAX_MESSAGE:
            break
        encoded.append(piece)
    return b"".join(encoded).rstrip(b" ")


def decode_message(raw: bytes) -> str:
    """grpc-message as text. Never fails: a `%` without two hex digits stands for itself, bad UTF-8 becomes U+FFFD."""
    if b"%" in raw:
        raw = _ESCAPE.sub(lambda escape: bytes((int(escape[1], 16),)), raw)
    return raw.decode("utf-8", "replace")
