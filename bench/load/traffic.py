"""One kind of call, and what a right answer to it is.

Rule: a round in which one call did not end as it should is no figure.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat

HTTP_OK = 200
TRAILERS = 0x80  # flag of the trailer frame (PROTOCOL-WEB)
FRAME_HEAD = 5  # bytes: flag and length


@dataclass(frozen=True, slots=True)
class Traffic:
    """`tokens`: each goes with one call, as `authorization`."""

    path: str
    body: bytes
    headers: Mapping[str, str]
    reply: bytes = b""  # the data frames of every answer
    status: int = 0  # the grpc-status that every call must end with
    tokens: Sequence[str] = ()

    def mistake(self, http_status: int, header_status: str | None, body: bytes | bytearray) -> str:
        """What is wrong with an answer; empty: nothing. `header_status`: its header `grpc-status`.

        A refusal may be without a body, with the status in a header and any HTTP status: clients read that too.
        """
        if self.status and header_status == str(self.status) and not body:
            return ""
        size = len(self.reply)
        trailers = body[size + FRAME_HEAD :]
        if (
            http_status == HTTP_OK
            and body.startswith(self.reply)
            and body[size : size + 1] == bytes([TRAILERS])
            and (b"\r\n" + trailers).find(b"\r\ngrpc-status:%d\r\n" % self.status) >= 0
        ):
            return ""
        return f"HTTP {http_status}, {printable(body[-120:])}"

    def authorizations(self) -> Iterator[str | None]:
        """What each call adds to the headers."""
        return (f"Bearer {token}" for token in self.tokens) if self.tokens else repeat(None)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Calls that ended as they should, and the seconds that they took together."""

    calls: int
    seconds: float
    overdrawn: int = 0  # calls for which there was no token left, so that they used one again

    @property
    def rate(self) -> float:
        return self.calls / self.seconds


def printable(text: bytes | bytearray) -> str:
    return "".join(char if char.isprintable() else " " for char in text.decode("latin-1"))
