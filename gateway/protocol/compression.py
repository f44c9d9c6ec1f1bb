"""Compressed messages, opened as far as a limit (PROTOCOL-HTTP2.md, "Message-Encoding").

Rule: the limit stops the work, not the check of its result: a gzip bomb costs as much as a message of the limit.
"""

import zlib
from collections.abc import Iterator

from gateway.protocol.frames import COMPRESSED, FrameSplitter, frame
from gateway.protocol.status import Code, WireError

_WBITS = {b"gzip": 16 + zlib.MAX_WBITS, b"deflate": zlib.MAX_WBITS}  # grpc's deflate is the zlib format (RFC 1950)
_MAX_MEMBERS = 64  # security limit: every gzip member copies what is left of the message


OPENED = frozenset(_WBITS)  # encodings that can be looked into


class MessageOpener:
    """Opens the compressed messages of a body that passes by, chunk by chunk.

    Holds one message, as it came. `encoding` is one of OPENED; `max_message` in bytes of a message, opened or not.
    """

    __slots__ = ("_encoding", "_max_message", "_splitter")

    def __init__(self, encoding: bytes, max_message: int) -> None:
        self._encoding = encoding
        self._max_message = max_message
        self._splitter = FrameSplitter(max_message)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The messages that `data` completes, as frames, none of them compressed; each is opened when it is asked for.

        Raises WireError as `decompress` and `FrameSplitter.feed` do.
        """
        for flags, message in self._splitter.feed(data):
            yield frame(self._open(flags, message))

    @property
    def pending(self) -> int:
        """Bytes held of a message that is not complete."""
        return self._splitter.pending

    def _open(self, flags: int, message: bytes) -> bytes:
        return decompress(self._encoding, message, self._max_message) if flags & COMPRESSED else message


def decompress(encoding: bytes, message: bytes, limit: int) -> bytes:
    """`message` opened; `encoding` as grpc-encoding says it, `limit` in bytes of the result.

    Raises WireError: RESOURCE_EXHAUSTED (over the limit), INTERNAL (corrupt, cut short, or followed by other bytes),
    UNIMPLEMENTED (an encoding other than gzip, deflate and identity).
    """
    if encoding == b"identity":
        if len(message) > limit:
            raise _too_long(limit)
        return message
    if encoding not in _WBITS:
        raise WireError(Code.UNIMPLEMENTED, "the message's grpc-encoding is not gzip, deflate or identity")
    opened: list[bytes] = []
    left = limit
    for _ in range(_MAX_MEMBERS):
        piece, message = _open(_WBITS[encoding], message, left + 1)
        left -= len(piece)
        if left < 0:
            raise _too_long(limit)
        opened.append(piece)
        if not message:
            return b"".join(opened)
        if encoding == b"deflate":
            raise _corrupt()
    raise WireError(Code.RESOURCE_EXHAUSTED, f"a gzip message has more than {_MAX_MEMBERS} members")


def _open(wbits: int, data: bytes, at_most: int) -> tuple[bytes, bytes]:
    """One member, or its first `at_most` (> 0) bytes, and what follows it."""
    member = zlib.decompressobj(wbits)
    try:
        piece = member.decompress(data, at_most)
    except zlib.error:
        raise _corrupt() from None
    if not member.eof and len(piece) < at_most:
        raise _corrupt()
    return piece, member.unused_data


def _too_long(limit: int) -> WireError:
    return WireError(Code.RESOURCE_EXHAUSTED, f"a message is longer than the limit of {limit} bytes")


def _corrupt() -> WireError:
    return WireError(Code.INTERNAL, "a compressed message is corrupt")
