"""The trailer frame: the last frame of every reply, which carries the status (PROTOCOL-WEB.md).

Rule: exactly one grpc-status, first, and nothing may split a line. `name:value\\r\\n` without a space, names in lower
case, for browsers' clients take the block apart by hand.
"""

import re
from binascii import Error
from collections.abc import Iterable

from gateway.protocol.frames import TRAILERS, frame
from gateway.protocol.metadata import (
    STATUS_NAMES,
    Header,
    Headers,
    decode_binary,
    encode_binary,
    is_carried,
    is_name,
)
from gateway.protocol.status import OK, Code, Status, decode_message, encode_message

_NUMBER = re.compile(rb"0|[1-9][0-9]{0,8}")  # without leading zeros (PROTOCOL-HTTP2.md, "Responses")


def encode(status: Status, metadata: Iterable[Header]) -> bytes:
    """`status` and the trailing metadata as one frame, prefix included. What is left out, `fields` tells."""
    return frame(b"".join([b"%b:%b\r\n" % header for header in fields(status, metadata)]), TRAILERS)


def fields(status: Status, metadata: Iterable[Header]) -> Headers:
    """`status` and the trailing metadata as trailers of HTTP (PROTOCOL-HTTP2.md, "Trailers").

    Left out of `metadata`: what only `status` may say, names that are none, and values that no header can carry.
    """
    block: Headers = [(b"grpc-status", b"%d" % status.code)]
    if status.message:
        block.append((b"grpc-message", encode_message(status.message)))
    if status.details is not None:
        block.append((b"grpc-status-details-bin", encode_binary(status.details)))
    for name, value in metadata:
        lower = name.lower()
        if lower not in STATUS_NAMES and is_name(lower) and is_carried(value):
            block.append((lower, value))
    return block


def decode(block: bytes) -> tuple[Status, Headers]:
    """Status and metadata of a trailer block (without the prefix of its frame). Never fails.

    A line without a colon is passed over, white space around names and values is dropped.
    """
    headers: Headers = []
    for line in block.replace(b"\r\n", b"\n").split(b"\n"):
        name, colon, value = line.partition(b":")
        if colon and name:
            headers.append((name.strip().lower(), value.strip()))
    status = read_status(headers) or Status(Code.UNKNOWN, "the reply has no grpc-status")
    return status, [header for header in headers if header[0] not in STATUS_NAMES]


def read_status(headers: Iterable[Header]) -> Status | None:
    """The status that a block of headers or trailers carries, or None. Never fails; the first of repeats counts.

    A grpc-status that is no number is UNKNOWN; details that are no base64 are left out.
    """
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in STATUS_NAMES:
            found.setdefault(name, value)
    code = found.get(b"grpc-status")
    if code is None:
        return None
    if code == b"0" and len(found) == 1:
        return OK
    details = found.get(b"grpc-status-details-bin")
    return Status(
        int(code) if _NUMBER.fullmatch(code) else Code.UNKNOWN,
        decode_message(found.get(b"grpc-message", b"")),
        None if details is None else _lenient_binary(details),
    )


def _lenient_binary(value: bytes) -> bytes | None:
    try:
        return decode_binary(value)
    except Error:
        return None
