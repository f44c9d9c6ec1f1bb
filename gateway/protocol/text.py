"""Text mode: the body as base64 (PROTOCOL-WEB.md, "application/grpc-web-text").

Rule: a body is a row of padded segments, each decodable on its own, so padding may stand in mid-stream, and chunks may
be cut anywhere. Everything else is refused, bits left over before the padding included (RFC 4648, section 3.5).
"""

import re
from binascii import Error, a2b_base64, b2a_base64

from gateway.protocol.status import Code, WireError

_segments = re.compile(rb"[^=]*==?|[^=]+").findall

# The last two characters of a segment with padding: the unused bits of the last digit are zero.
_TAILS = frozenset([b"==", *(bytes((digit,)) + b"=" for digit in b"AEIMQUYcgkosw048")])
_DIGITS_BEFORE_TWO = frozenset(b"AQgw")


class TextDecoder:
    """base64 chunks to bytes. After a `WireError` it must not be fed again."""

    __slots__ = ("_carry",)

    def __init__(self) -> None:
        self._carry = b""  # up to three characters of a quantum that a chunk cut

    @property
    def within_quantum(self) -> bool:
        return bool(self._carry)

    def feed(self, data: bytes) -> bytes:
        """The bytes of every quantum that `data` completes. Raises WireError INVALID_ARGUMENT."""
        if self._carry:
            data = self._carry + data
        cut = len(data) & 3
        if cut:
            self._carry = data[-cut:]
            data = data[:-cut]
        else:
            self._carry = b""
        padding = data.find(b"=")
        if padding < 0 or padding >= len(data) - 2:
            return _decode(data)
        return b"".join(map(_decode, _segments(data)))

    def end(self) -> None:
        """The body is over. Raises WireError INVALID_ARGUMENT inside a quantum."""
        if self._carry:
            raise _malformed()


def encode(data: bytes) -> bytes:
    """`data` as one padded segment, without a newline."""
    return b2a_base64(data, newline=False)


def _decode(segment: bytes) -> bytes:
    """One segment: digits, then at most two `=`, which are as many as there must be if the length is of whole quanta.

    (`a2b_base64` does not count them in every supported release of Python, strict or not.)
    """
    if len(segment) & 3:
        raise _malformed()
    if segment.endswith(b"="):
        tail = segment[-2:]
        if tail not in _TAILS or (tail == b"==" and segment[-3] not in _DIGITS_BEFORE_TWO):
            raise _malformed()
    try:
        return a2b_base64(segment, strict_mode=True)
    except Error:
        raise _malformed() from None


def _malformed() -> WireError:
    return WireError(Code.INVALID_ARGUMENT, "the body is not valid base64 (application/grpc-web-text)")
