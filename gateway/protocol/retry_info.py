"""When to call again: google.rpc.RetryInfo in the details of a status.

Rule: a hint is never too early: times are rounded up to whole milliseconds.
Sources: google/rpc/status.proto (Status: code 1, message 2, details 3), google/rpc/error_details.proto (RetryInfo:
retry_delay 1), google/protobuf/any.proto (type_url 1, value 2), google/protobuf/duration.proto (seconds 1, nanos 2).
The four messages are written by hand: googleapis-common-protos would bring a hundred modules for them.
"""

from math import ceil

from gateway.protocol.metadata import Header
from gateway.protocol.status import Status

TYPE_URL = b"type.googleapis.com/google.rpc.RetryInfo"
PUSHBACK = b"grpc-retry-pushback-ms"


def with_retry_info(status: Status, seconds: float) -> Status:
    """The same status, with `seconds` as its RetryInfo."""
    whole, milliseconds = divmod(_milliseconds(seconds), 1000)
    duration = _number(1, whole) + _number(2, milliseconds * 1_000_000)
    any_of_it = _bytes(1, TYPE_URL) + _bytes(2, _bytes(1, duration))
    details = _number(1, status.code) + _bytes(2, status.message.encode()) + _bytes(3, any_of_it)
    return Status(status.code, status.message, details)


def pushback(seconds: float) -> Header:
    """The same hint for the retries of native clients (gRFC A6, "Pushback"). Browsers' clients do not look at it."""
    return PUSHBACK, b"%d" % _milliseconds(seconds)


def _milliseconds(seconds: float) -> int:
    return max(1, ceil(seconds * 1000))


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value) if value else b""


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value if value else b""


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
