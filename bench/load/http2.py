"""Calls over HTTP/2 (RFC 9113): a connection with several calls at a time.

Rule: as little as the calls need, so that it costs little beside what is measured. Requests are made of fields that a
connection has named once and refers to from then on (RFC 7541), as browsers do; of answers only the body is read, which
says how a gRPC-Web call ended.
"""

import struct
from pathlib import Path

from bench.load.link import Link
from bench.load.traffic import HTTP_OK, Traffic
from bench.process import BenchError

PROTOCOL = "h2"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, END_HEADERS, ACK, PADDED = 0x1, 0x4, 0x1, 0x8
ENABLE_PUSH, INITIAL_WINDOW_SIZE = 2, 4
DEFAULT_WINDOW = 65_535
MAXIMUM_WINDOW = 2**31 - 1
STATIC_ENTRIES = 61  # of the field table
FRAME_HEAD = 9


class Http2:
    """A connection with up to `capacity` calls at a time."""

    over = False  # a connection that ends does so under its calls, and that is an error

    def __init__(self, url: str, traffic: Traffic, ca: Path, capacity: int) -> None:
        """Raises BenchError, OSError."""
        self.capacity = capacity
        self.link = Link(url, ca, PROTOCOL)
        self.size = 0  # bytes of the body of the last answer
        self._traffic = traffic
        fields = {
            ":method": "POST",
            ":scheme": "https",
            ":authority": self.link.authority,
            ":path": traffic.path,
            **traffic.headers,
            "content-length": str(len(traffic.body)),
        }
        self._named = b"".join(named(name, value) for name, value in fields.items())
        self._referred = bytes(0x80 | STATIC_ENTRIES + len(fields) - index for index in range(len(fields)))
        self._stream = 1
        self._window = DEFAULT_WINDOW  # what may be sent
        self._calls: dict[int, tuple[float, bytearray]] = {}  # by stream: when it was due, and the body so far
        self._rest = b""
        # All that may ever come is allowed at once.
        settings = struct.pack(">HLHL", ENABLE_PUSH, 0, INITIAL_WINDOW_SIZE, MAXIMUM_WINDOW)
        window = struct.pack(">L", MAXIMUM_WINDOW - DEFAULT_WINDOW)
        self.link.send(PREFACE + http2_frame(SETTINGS, 0, 0, settings) + http2_frame(WINDOW_UPDATE, 0, 0, window))

    def reopen(self) -> None:
        raise AssertionError("never over")

    def begin(self, due: float, authorization: str | None) -> None:
        """Sends a call that was due then. Raises BenchError when the subject leaves no room for it."""
        body = self._traffic.body
        self._window -= len(body)
        if self._window < 0:
            raise BenchError("the window of an HTTP/2 connection is used up")
        stream, self._stream = self._stream, self._stream + 2
        block = self._named if stream == 1 else self._referred
        if authorization is not None:
            block += named("authorization", authorization, keep=False)
        self._calls[stream] = due, bytearray()
        self.link.send(http2_frame(HEADERS, END_HEADERS, stream, block) + http2_frame(DATA, END_STREAM, stream, body))

    def receive(self) -> list[float]:
        """When the calls were due that have ended since. Raises BenchError when one did not end as it should."""
        data = self._rest + self.link.receive()
        at, ended = 0, []
        while len(data) - at >= FRAME_HEAD:
            length = int.from_bytes(data[at : at + 3], "big")
            end = at + FRAME_HEAD + length
            if end > len(data):
                break
            kind, flags = data[at + 3], data[at + 4]
            stream = int.from_bytes(data[at + 5 : at + FRAME_HEAD], "big")
            payload = data[at + FRAME_HEAD : end]
            at = end
            if kind == DATA:
                self._calls[stream][1].extend(payload[1 : length - payload[0]] if flags & PADDED else payload)
            elif kind != HEADERS:
                self._control(kind, flags, stream, payload)
                continue
            if flags & END_STREAM:
                ended.append(self._end(stream))
        self._rest = data[at:]
        if self.link.ended:
            raise BenchError("a connection was closed under its calls")
        return ended

    def bodies(self) -> list[bytearray]:
        """What has come so far for each call that has not ended."""
        return [body for _, body in self._calls.values()]

    def _end(self, stream: int) -> float:
        due, body = self._calls.pop(stream)
        # Its HTTP status is in the fields, which are not read; an answer of another kind has another body.
        if mistake := self._traffic.mistake(HTTP_OK, None, body):
            raise BenchError(f"a call failed with {mistake}")
        self.size = len(body)
        return due

    def _control(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == SETTINGS and not flags & ACK:
            self.link.send(http2_frame(SETTINGS, ACK, 0, b""))
        elif kind == PING and not flags & ACK:
            self.link.send(http2_frame(PING, ACK, 0, payload))
        elif kind == WINDOW_UPDATE and not stream:
            self._window += int.from_bytes(payload, "big")
        elif kind == RST_STREAM:
            raise BenchError(f"a call was reset, HTTP/2 error {int.from_bytes(payload, 'big')}")
        elif kind == GOAWAY:
            raise BenchError("a connection was closed under its calls (GOAWAY)")


def http2_frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def named(name: str, value: str, *, keep: bool = True) -> bytes:
    """A field in letters (RFC 7541, section 6.2). `keep`: it goes into the table, and may be referred to."""
    return (b"\x40" if keep else b"\0") + b"".join(_length(len(text)) + text.encode() for text in (name, value))


def _length(number: int) -> bytes:
    """With a prefix of seven bits (RFC 7541, section 5.1)."""
    if number < 127:
        return bytes([number])
    coded, number = bytearray([127]), number - 127
    while number >= 128:
        coded.append(number & 127 | 128)
        number >>= 7
    return bytes([*coded, number])
