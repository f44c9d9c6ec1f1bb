"""gRPC-Web bodies, put together and taken apart by hand."""

import struct
from typing import Any

from gateway.protocol import trailers
from gateway.protocol.metadata import Headers
from gateway.protocol.status import Status


def message(protobuf: Any, flags: int = 0) -> bytes:
    """A protobuf message as one frame."""
    body = protobuf if isinstance(protobuf, bytes) else protobuf.SerializeToString()
    return struct.pack(">BI", flags, len(body)) + body


def no_base64(good: bytes) -> list[bytes]:
    """`good`, spoilt in every way; it has a "/" in it, and no padding."""
    return [
        good[:-1],
        good[:-2],
        good[:-3],
        good + b"\n",
        b" " + good,
        good[:4] + b"\r\n" + good[4:],
        good.replace(b"/", b"_"),
        good[:-4] + b"!!!!",
        good + b"====",
        good + b"A===",
        b"=" + good,
        "ÄÄÄÄ".encode(),
    ]


def take_apart(body: bytes) -> tuple[list[bytes], Status, Headers]:
    """Messages and trailers of a whole binary reply; exactly one trailer frame, which is the last."""
    messages: list[bytes] = []
    offset = 0
    while True:
        flags, length = struct.unpack_from(">BI", body, offset)
        data = body[offset + 5 : offset + 5 + length]
        assert len(data) == length, "a truncated frame"
        offset += 5 + length
        if flags & 0x80:
            assert offset == len(body), "bytes after the trailer frame"
            status, metadata = trailers.decode(data)
            return messages, status, metadata
        messages.append(data)
