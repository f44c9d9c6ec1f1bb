"""HTTP/2 frames and header blocks as they stand, allowed or not (RFC 9113, RFC 7541)."""

import struct

from gateway.protocol.metadata import Headers
from tests.support.http2 import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PING,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
)

PRIORITY, PUSH_PROMISE = 2, 5
PADDED = 0x8
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE = 3, 4


# --- frames


def settings(*pairs: tuple[int, int]) -> bytes:
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", *pair) for pair in pairs))


SETTINGS_ACK = frame(SETTINGS, ACK, 0)
GREETING = PREFACE + settings() + SETTINGS_ACK


def ping(payload: bytes = b"12345678", flags: int = 0) -> bytes:
    return frame(PING, flags, 0, payload)


def goaway(code: int = 0, last: int = 0, text: bytes = b"") -> bytes:
    return frame(GOAWAY, 0, 0, struct.pack(">II", last, code) + text)


def window_update(increment: int, stream: int = 0) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", increment))


def reset(stream: int, code: int = 8) -> bytes:
    return frame(RST_STREAM, 0, stream, struct.pack(">I", code))


def data(stream: int, payload: bytes = b"", *, end: bool = False, padding: int | None = None) -> bytes:
    if padding is None:
        return frame(DATA, END_STREAM * end, stream, payload)
    return frame(DATA, END_STREAM * end | PADDED, stream, bytes((padding,)) + payload + bytes(padding))


def headers(stream: int, block: bytes, *, end: bool = False, more: bool = False) -> bytes:
    """`more`: CONTINUATION follows."""
    return frame(HEADERS, END_STREAM * end | END_HEADERS * (not more), stream, block)


def continuation(stream: int, block: bytes, *, more: bool = False) -> bytes:
    return frame(CONTINUATION, END_HEADERS * (not more), stream, block)


def in_pieces(stream: int, block: bytes, *, end: bool = False, size: int = 16_384) -> bytes:
    """A block of any size: HEADERS and as many CONTINUATION frames as it takes."""
    first, *rest = [block[start : start + size] for start in range(0, len(block), size)]
    frames = [headers(stream, first, end=end, more=bool(rest))]
    frames += [continuation(stream, piece, more=piece is not rest[-1]) for piece in rest]
    return b"".join(frames)


# --- header blocks (RFC 7541)


def number(value: int, bits: int, first: int = 0) -> bytes:
    """An integer with a prefix of so many bits, over the other bits of `first` (section 5.1)."""
    most = (1 << bits) - 1
    if value < most:
        return bytes((first | value,))
    value -= most
    rest = bytearray((first | most,))
    while value >= 128:
        rest.append(value & 127 | 128)
        value >>= 7
    rest.append(value)
    return bytes(rest)


def literal(name: bytes, value: bytes, first: int = 0x00) -> bytes:
    """A field as it is, whatever that is. `first`: 0x00 not indexed, 0x10 never indexed, 0x40 indexed (section 6.2)."""
    return bytes((first,)) + number(len(name), 7) + name + number(len(value), 7) + value


def indexed(index: int) -> bytes:
    """A reference: 1 to 61 are of the static table, 62 is the newest field that was indexed (section 6.1)."""
    return number(index, 7, 0x80)


def block(fields: Headers) -> bytes:
    return b"".join([literal(name, value) for name, value in fields])
