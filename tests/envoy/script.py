"""What a backend does with a call: steps as plain data, and the scripts that the corpus calls by the method's name.

A script answers once the request is there whole, unless it says `AT_ONCE`. What no gRPC server would send may stand
here: that is what it is for.
"""

import struct
from dataclasses import dataclass

from gateway.protocol.metadata import Header


@dataclass(frozen=True, slots=True)
class Headers:
    """A header block: the first is the head, one with `last` the trailers."""

    fields: tuple[Header, ...]
    last: bool = False


@dataclass(frozen=True, slots=True)
class Data:
    """Bytes of the body, as they are."""

    data: bytes
    last: bool = False


@dataclass(frozen=True, slots=True)
class Reset:
    """RST_STREAM with this error code (RFC 9113, section 7)."""

    code: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Seconds in which nothing is sent, or for ever."""

    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Echo:
    """The body of the request, as it came."""


@dataclass(frozen=True, slots=True)
class Lose:
    """The connection is gone, with everything on it."""


@dataclass(frozen=True, slots=True)
class AtOnce:
    """Begin before the request is whole."""


@dataclass(frozen=True, slots=True)
class GoAway:
    """GOAWAY: this stream and all later ones were not looked at."""


Step = Headers | Data | Reset | Wait | Echo | Lose | AtOnce | GoAway
Script = tuple[Step, ...]

AT_ONCE, ECHO, LOSE, GOAWAY = AtOnce(), Echo(), Lose(), GoAway()
SOON, LATER, FOR_EVER = Wait(0.05), Wait(0.15), Wait()


def message(body: bytes, flags: int = 0) -> bytes:
    return struct.pack(">BI", flags, len(body)) + body


def head(*fields: tuple[str, str], status: str = "200", kind: str | None = "application/grpc") -> Headers:
    """Response headers; `kind` is the content type."""
    first = [(":status", status), *([("content-type", kind)] if kind is not None else [])]
    return Headers(_pairs((*first, *fields)))


def trailers(status: int | str | None = 0, *fields: tuple[str, str]) -> Headers:
    return Headers(_pairs(([("grpc-status", str(status))] if status is not None else []) + list(fields)), last=True)


def alone(*fields: tuple[str, str], status: str = "200", kind: str | None = "application/grpc") -> Headers:
    """Trailers-Only (PROTOCOL-HTTP2): the head is the end."""
    return Headers(head(*fields, status=status, kind=kind).fields, last=True)


def page(status: str, body: bytes, *fields: tuple[str, str], kind: str | None = "text/html") -> Script:
    """An answer that is not gRPC."""
    return (head(*fields, status=status, kind=kind), Data(body, last=True))


def _pairs(fields: tuple[tuple[str, str], ...] | list[tuple[str, str]]) -> tuple[Header, ...]:
    return tuple((name.encode(), value.encode("latin-1")) for name, value in fields)
