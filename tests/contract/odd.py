"""Replies that no gRPC server sends, frame by frame, and the status that each one is.

Sources of the statuses: http-grpc-status-mapping.md and "HTTP2 Transport Mapping" of PROTOCOL-HTTP2.md.
"""

import gzip
import struct
from dataclasses import dataclass

from tests.contract.observation import BROKEN_OFF, Observation
from tests.support.backends import GRPC_HEAD, HEADERS, HEADERS_END, RST_STREAM, block
from tests.support.frames import message

Frame = tuple[tuple[int, int], bytes]  # type and flags, payload

DATA, DATA_END, DATA_PADDED = (0, 0), (0, 1), (0, 8)
HEADERS_CUT, CONTINUATION_END, PRIORITY = (1, 0), (9, 4), (2, 0)
ONE = message(b"m")
FIRST = (DATA, ONE)
OK = block((b"grpc-status", b"0"))
PACKED = message(gzip.compress(b"m", mtime=0), flags=1)
PAGE = b"<h1>not gRPC</h1>"


@dataclass(frozen=True, slots=True)
class Odd:
    """What comes from the backend, and what the client is told of it."""

    name: str
    frames: tuple[Frame, ...]
    code: int
    replies: bytes = b""  # message frames that reach the client
    message: bytes | None = None  # raw grpc-message, where it is the backend's
    cut: bool = False  # inside a message: after half of one nobody can read a trailer frame

    @property
    def rule(self) -> Observation:
        """As far as the rule goes."""
        if self.cut:
            return BROKEN_OFF
        rule = {"http": 200, "grpc-status": self.code, "body": self.replies, "grpc-message": self.message}
        return {field: value for field, value in rule.items() if value is not None}


def _page(http: int, code: int) -> Odd:
    head = block((b":status", b"%d" % http), (b"content-type", b"text/html"))
    return Odd(f"Http{http}", ((HEADERS, head), (DATA_END, PAGE)), code)


def _reset(error: int, code: int) -> tuple[Odd, Odd]:
    frame = (RST_STREAM, struct.pack(">I", error))
    return (
        Odd(f"Reset{error}", (frame,), code),
        Odd(f"ResetLate{error}", ((HEADERS, GRPC_HEAD), (DATA, ONE), frame), code, ONE),
    )


def _end(name: str, code: int, *trailers: tuple[bytes, bytes], message: bytes | None = None) -> Odd:
    """A message, then these trailers."""
    return Odd(name, ((HEADERS, GRPC_HEAD), (DATA, ONE), (HEADERS_END, block(*trailers))), code, ONE, message)


def _body(name: str, code: int, body: bytes, replies: bytes = b"", head: bytes = b"") -> Odd:
    """This body, then a status of 0."""
    return Odd(name, ((HEADERS, GRPC_HEAD + head), (DATA, body), (HEADERS_END, OK)), code, replies)


def _first(name: str, *frames: Frame) -> Odd:
    """These frames, which carry a message, then a status of 0."""
    return Odd(name, (*frames, (HEADERS_END, OK)), 0, ONE)


ODDITIES: tuple[Odd, ...] = (
    # An HTTP answer in place of a gRPC one.
    *(
        _page(http, code)
        for http, code in (
            (200, 2), (400, 13), (401, 16), (403, 7), (404, 12), (418, 2), (429, 14), (500, 2), (502, 14), (503, 14),
            (504, 14),
        )
    ),
    Odd("Http503Bare", ((HEADERS_END, block((b":status", b"503"))),), 14),
    # The stream is reset: before anything, and after a message.
    *(
        odd
        for error, code in (
            (0, 13), (1, 13), (2, 13), (3, 13), (4, 13), (6, 13), (7, 14), (8, 1), (9, 13), (10, 13), (11, 8), (12, 7),
        )
        for odd in _reset(error, code)
    ),
    # The end is missing, or odd.
    Odd("NoTrailers", ((HEADERS, GRPC_HEAD), (DATA_END, ONE)), 2, ONE),
    Odd("HeadAlone", ((HEADERS_END, GRPC_HEAD),), 2),
    _end("NoStatus", 2, (b"x-late", b"1")),
    _end("StatusNoNumber", 2, (b"grpc-status", b"x")),
    _end("StatusNegative", 2, (b"grpc-status", b"-1")),
    _end("StatusEmpty", 2, (b"grpc-status", b"")),
    _end("MessageNoEscape", 9, (b"grpc-status", b"9"), (b"grpc-message", b"100% %zz %4"), message=b"100%25 %25zz %254"),
    _end("MessageNoUtf8", 9, (b"grpc-status", b"9"), (b"grpc-message", b"%E4%41"), message=b"%EF%BF%BDA"),
    _end("MessageRawUtf8", 9, (b"grpc-status", b"9"), (b"grpc-message", "ü".encode()), message=b"%C3%BC"),
    _end("DetailsNoBase64", 9, (b"grpc-status", b"9"), (b"grpc-status-details-bin", b"*")),
    Odd(
        "TrailersAlone",
        ((HEADERS_END, GRPC_HEAD + block((b"grpc-status", b"5"), (b"grpc-message", b"no"), (b"x-why", b"gone"))),),
        5,
        message=b"no",
    ),
    # Frames of gRPC that are none.
    _body("FlagUnknown", 13, message(b"m", flags=2)),
    _body("FlagTrailers", 13, message(b"grpc-status:0\r\n", flags=0x80)),
    _body("FlagCompressedOnly", 13, message(b"m", flags=1)),
    Odd("Truncated", ((HEADERS, GRPC_HEAD), (DATA, ONE[:-1]), (HEADERS_END, OK)), 13, cut=True),
    Odd("ResetAmidst", ((HEADERS, GRPC_HEAD), (DATA, ONE[:-1]), (RST_STREAM, struct.pack(">I", 2))), 13, cut=True),
    _body("TooLong", 8, struct.pack(">BI", 0, 2**31)),
    # HTTP/2 as it may be, though few write it so.
    _first("HeadCut", (HEADERS_CUT, GRPC_HEAD[:9]), (CONTINUATION_END, GRPC_HEAD[9:]), FIRST),
    _first("Padded", (HEADERS, GRPC_HEAD), (DATA_PADDED, b"\x03" + ONE + bytes(3))),
    _first("Crumbs", (HEADERS, GRPC_HEAD), *((DATA, bytes((each,))) for each in ONE), (DATA, b"")),
    _first("EarlyHints", (HEADERS, block((b":status", b"103"))), (HEADERS, GRPC_HEAD), FIRST),
    _first("Priority", (HEADERS, GRPC_HEAD), (PRIORITY, bytes(5)), FIRST),
    # Metadata that cannot pass.
    _body("HeadNoBase64", 0, ONE, ONE, block((b"x-raw-bin", b"*"), (b"x-even", b"1"))),
    _body("HeadControl", 0, ONE, ONE, block((b"x-odd", b"a\x01b"), (b"x-even", b"1"))),
    _body("HeadTab", 0, ONE, ONE, block((b"x-odd", b"a\tb"), (b"x-even", b"1"))),
    _body("HeadLatin", 0, ONE, ONE, block((b"x-odd", "grün".encode()), (b"x-even", b"1"))),
    _body("HeadCookie", 0, ONE, ONE, block((b"set-cookie", b"a=1"), (b"alt-svc", b"h3"), (b"x-even", b"1"))),
    _body("HeadConnection", 13, ONE, b"", block((b"keep-alive", b"timeout=5"))),  # malformed: RFC 9113, section 8.2.2
    _body("HeadCompressed", 0, PACKED, ONE, block((b"grpc-encoding", b"gzip"))),
)  # fmt: skip
