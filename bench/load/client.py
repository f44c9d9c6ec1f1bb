"""What a connection to a subject is to whoever sends calls on it: Http1 or Http2."""

from collections.abc import Iterable
from typing import Protocol

from bench.load.link import Link


class Client(Protocol):
    """All methods raise BenchError when something is not as it should be."""

    link: Link
    capacity: int  # calls at a time
    size: int  # bytes of the body of the last answer
    over: bool  # the last answer was the last on this connection

    def begin(self, due: float, authorization: str | None) -> None:
        """Sends a call that was due then."""

    def receive(self) -> list[float]:
        """When the calls were due that have ended since."""

    def bodies(self) -> Iterable[bytes | bytearray]:
        """What has come so far for each call that has not ended."""

    def reopen(self) -> None:
        """A new connection in place of one that is over."""
