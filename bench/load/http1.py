"""Calls over HTTP/1.1 (RFC 9112): the request, the answer as its bytes come, and a connection with one call at a time.

Rule: where an answer ends is told by its framing, never guessed from its content.
"""

from collections.abc import Mapping
from pathlib import Path

from bench.load.link import Link
from bench.load.traffic import Traffic
from bench.process import BenchError

PROTOCOL = "http/1.1"


def request(path: str, body: bytes, headers: Mapping[str, str], authority: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", f"host: {authority}", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


class Answer:
    """One answer."""

    __slots__ = ("_chunked", "_last_chunk", "_left", "_rest", "body", "complete", "head")

    def __init__(self) -> None:
        self.head = b""
        self.body = bytearray()
        self.complete = False
        self._chunked = False
        self._left = 0  # bytes to come of the body, or of the chunk
        self._last_chunk = False
        self._rest = b""

    @property
    def status(self) -> int:
        return int(self.head[9:12])

    def header(self, name: str) -> str | None:
        """The first of that name."""
        for line in self.head.split(b"\r\n")[1:]:
            key, _, value = line.partition(b":")
            if key.strip().lower() == name.encode():
                return value.strip().decode("latin-1")
        return None

    def feed(self, data: bytes) -> bool:
        """True once the answer is complete. Raises BenchError when it is none."""
        self._rest += data
        if not self.head:
            head, found, rest = self._rest.partition(b"\r\n\r\n")
            if not found:
                return False
            self._begin(head)
            self._rest = rest
        try:
            self._rest = self._rest[self._chunks() if self._chunked else self._plain() :]
        except ValueError:
            raise BenchError(f"not an answer in chunks: {self._rest[:60]!r}") from None
        if self.complete and self._rest:
            raise BenchError(f"bytes after an answer: {self._rest[:60]!r}")
        return self.complete

    def _begin(self, head: bytes) -> None:
        self.head = head
        if not (head.startswith(b"HTTP/1.1 ") and head[9:12].isdigit()):
            raise BenchError(f"not an answer: {head[:60]!r}")
        self._chunked = "chunked" in (self.header("transfer-encoding") or "")
        length = self.header("content-length")
        if length is None and not self._chunked:
            raise BenchError("an answer without a length")
        self._left = int(length or 0)

    def _plain(self) -> int:
        """Takes what is there of a body whose length is known. The bytes that are dealt with."""
        taken = self._take(0)
        self.complete = not self._left
        return taken

    def _chunks(self) -> int:
        """Takes what is there of a chunked body (RFC 9112, section 7.1). The bytes that are dealt with."""
        at = 0
        while not self.complete:
            if self._left:
                at += self._take(at)
            end = self._rest.find(b"\r\n", at)
            if self._left or end < 0:
                break
            line, at = self._rest[at:end], end + 2
            if self._last_chunk:
                self.complete = not line  # else a trailer field
            elif line:  # an empty one ends a chunk
                self._left = int(line.partition(b";")[0], 16)
                self._last_chunk = not self._left
        return at

    def _take(self, at: int) -> int:
        piece = self._rest[at : at + self._left]
        self._left -= len(piece)
        self.body += piece
        return len(piece)


class Http1:
    """A connection with one call at a time."""

    capacity = 1  # calls at a time

    def __init__(self, url: str, traffic: Traffic, ca: Path) -> None:
        """Raises BenchError, OSError."""
        self.link = Link(url, ca, PROTOCOL)
        self.size = 0  # bytes of the body of the last answer
        self.over = False  # the last answer was the last on this connection
        self._place = (url, ca)
        self._traffic = traffic
        self._due = 0.0
        self._answer = Answer()
        self._request = request(traffic.path, traffic.body, traffic.headers, self.link.authority)
        head, blank, body = self._request.partition(b"\r\n\r\n")
        self._with_token = (head + b"\r\nauthorization: ", blank + body)

    def reopen(self) -> None:
        """A new connection in place of one that is over. Raises BenchError, OSError."""
        self.link.close()
        self.link = Link(*self._place, PROTOCOL)
        self.over = False

    def begin(self, due: float, authorization: str | None) -> None:
        """Sends a call that was due then."""
        self._due = due
        self._answer = Answer()
        before, after = self._with_token
        self.link.send(self._request if authorization is None else before + authorization.encode() + after)

    def receive(self) -> list[float]:
        """When the calls were due that have ended since. Raises BenchError when one did not end as it should."""
        data, answer = self.link.receive(), self._answer
        if not data or not answer.feed(data):
            if self.link.ended:
                raise BenchError("a connection was closed under a call")
            return []
        # A refusal may carry its status in a header; looking for it costs more than all else.
        header = answer.header("grpc-status") if self._traffic.status else None
        if mistake := self._traffic.mistake(answer.status, header, answer.body):
            raise BenchError(f"a call failed with {mistake}")
        self.size = len(answer.body)
        self.over = b"\r\nconnection: close" in answer.head.lower()
        return [self._due]

    def bodies(self) -> list[bytearray]:
        """What has come so far."""
        return [] if self._answer.complete else [self._answer.body]
