"""What the answer to a call says: its messages and its one status, or what is wrong with it.

Rule: read here by hand, not by the gateway's own decoders.
"""

import base64
import binascii
import struct
from dataclasses import dataclass
from urllib.parse import unquote

from soak.wire import Exchange

TRAILER_FRAME = 0x80
FRAME_HEAD = 5


@dataclass(frozen=True, slots=True)
class Said:
    """`code` is -1, and `problem` not empty, where the answer is none."""

    messages: list[bytes]
    code: int = -1
    text: str = ""
    problem: str = ""


def framed(message: bytes) -> bytes:
    """As a data frame of gRPC-Web, which is a length-prefixed message of gRPC, too."""
    return struct.pack(">BI", 0, len(message)) + message


def read(exchange: Exchange) -> Said:
    """Of an exchange that has ended."""
    if exchange.status != 200:
        return Said([], problem=f"HTTP {exchange.status}")
    kind = exchange.headers.get("content-type", "")
    if not kind.startswith("application/grpc"):
        return Said([], problem=f"content type {kind}")
    body = bytes(exchange.body)
    if "-text" in kind:
        try:
            body = b"".join(base64.b64decode(body[at : at + 4], validate=True) for at in range(0, len(body), 4))
        except binascii.Error:
            return Said([], problem="not base64")
    try:
        frames = _frames(body)
    except ValueError as error:
        return Said([], problem=str(error))
    return _web(frames) if "grpc-web" in kind else _native(frames, exchange)


def _frames(body: bytes) -> list[tuple[int, bytes]]:
    frames, at = [], 0
    while at < len(body):
        if len(body) - at < FRAME_HEAD:
            raise ValueError("half a frame")
        flags, size = struct.unpack_from(">BI", body, at)
        payload = body[at + FRAME_HEAD : at + FRAME_HEAD + size]
        if len(payload) != size:
            raise ValueError("half a frame")
        frames.append((flags, payload))
        at += FRAME_HEAD + size
    return frames


def _web(frames: list[tuple[int, bytes]]) -> Said:
    if [flags for flags, _ in frames if flags & TRAILER_FRAME] != [TRAILER_FRAME]:
        return Said([], problem="not exactly one status")
    if not frames[-1][0] & TRAILER_FRAME:
        return Said([], problem="a message after the status")
    lines = frames[-1][1].decode("latin-1").split("\r\n")
    fields = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    return _with_status([payload for _, payload in frames[:-1]], fields)


def _native(frames: list[tuple[int, bytes]], exchange: Exchange) -> Said:
    return _with_status([payload for _, payload in frames], [*exchange.headers.items(), *exchange.trailers.items()])


def _with_status(messages: list[bytes], fields: list[tuple[str, str]]) -> Said:
    codes = [value for name, value in fields if name == "grpc-status"]
    if len(codes) != 1 or not codes[0].isdigit():
        return Said(messages, problem="not exactly one status")
    text = next((value for name, value in fields if name == "grpc-message"), "")
    return Said(messages, int(codes[0]), unquote(text))
