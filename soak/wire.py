"""One call in the air: what has come of its answer so far, and what its sender may do. Made by http1.py and http2.py.

Rule: nobody here knows what a right answer is; what breaks the protocol of the connection ends the exchange with a word
about it in `broken`.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping


class Exchange(ABC):
    """`status` is 0 before the head of the answer is here."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: Mapping[str, str] = {}
        self.trailers: Mapping[str, str] = {}  # of HTTP
        self.body: bytes | bytearray = b""
        self.ended = False
        self.broken = ""  # how it ended without an end
        self._news = asyncio.Event()

    @property
    def over(self) -> bool:
        return self.ended or bool(self.broken)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return once it holds, or the exchange is over."""
        while not self.over and not condition():
            self._news.clear()
            await self._news.wait()

    def tell(self) -> None:
        """Something has changed."""
        self._news.set()

    def end(self) -> None:
        self.ended = True
        self.tell()

    def fail(self, reason: str) -> None:
        if not self.over:
            self.broken = reason
            self.tell()

    @abstractmethod
    async def send(self, data: bytes, *, end: bool = False) -> None:
        """Part of the request."""

    @abstractmethod
    def cancel(self) -> None:
        """Give the call up, as a browser does that a script or a person stops."""

    @abstractmethod
    def drop(self) -> None:
        """Leave without a word: the connection is reset (TCP RST)."""


class Line(ABC):
    """A connection."""

    calls = 0  # so far

    @abstractmethod
    def request(self, path: str, headers: Mapping[str, str], size: int | None) -> Exchange:
        """Send a head. `size`: of the body; None: it is not known."""

    @property
    @abstractmethod
    def free(self) -> bool:
        """It takes one more call."""

    @property
    @abstractmethod
    def idle(self) -> bool:
        """It has no call."""

    @abstractmethod
    def close(self) -> None: ...
