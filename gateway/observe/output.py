"""Lines on standard output, which is often a pipe that somebody else has to empty.

Rules
- Nobody waits for who reads: a thread writes, and lines for which there is no room are lost, counted and told.
- A line costs a system call: while an event loop runs, lines are written together, `DELAY` late at most. Without one
  each is out before its writer goes on; for a reader that stands still it waits once, `PATIENCE` long.
- A line is never cut. If the disk was full in the middle of one, the next begins a line of its own.
"""

import io
import math
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Protocol, TextIO

DELAY = 0.1  # seconds
PATIENCE = 1.0  # seconds
ROOM = 4 * 2**20  # bytes that wait to be written
PAUSE = 0.05  # seconds between two attempts, where somebody has made standard output non-blocking


class Sink(Protocol):
    """A file without a buffer: what a full disk did not take must not come back in the middle of a later line."""

    def write(self, data: memoryview, /) -> int | None:
        """How many bytes it has taken; None: it would block. Raises OSError, ValueError."""


class LineBuffer:
    """A text stream that gathers lines while an event loop can be asked to write them soon."""

    def __init__(self, sink: Sink, tell: Callable[[int], bytes] = lambda _lines: b"", room: int = ROOM) -> None:
        """`tell`: the line that says how many lines are missing where it stands. `room`: bytes."""
        self._thread = _WritingThread(sink, tell, room)
        self._later: Callable[[float, Callable[[], None]], object] | None = None
        self._lines: list[bytes] = []

    @property
    def lost(self) -> int:
        """Lines, until now."""
        return self._thread.lost

    def share(self) -> None:
        """Others write to the same place: their lines and ours must not mix."""
        self._thread.most = select.PIPE_BUF  # POSIX, `write` to a pipe

    def gather(self, later: Callable[[float, Callable[[], None]], object] | None) -> None:
        """`later`: an event loop's call_later; None: write at once."""
        self._later = later
        self.write_out()

    def write(self, text: str) -> None:
        """Whole lines."""
        self.add(text.encode(errors="backslashreplace"))

    def add(self, line: bytes) -> None:
        """The same, in UTF-8."""
        if self._later is not None and not self._lines:
            self._later(DELAY, self.write_out)
        self._lines.append(line)
        if self._later is None:
            self.write_out()

    def write_out(self) -> None:
        """Now, and not when the timer says so."""
        lines, self._lines = self._lines, []
        if lines:
            self._thread.put(lines)
        if self._later is None:
            self._thread.wait(PATIENCE)

    def flush(self) -> None:
        """What structlog calls after each line."""


class _WritingThread:
    """It begins with the first line, and ends with the process, whatever it is at."""

    def __init__(self, sink: Sink, tell: Callable[[int], bytes], room: int) -> None:
        self.most = math.inf  # bytes in one write
        self.lost = 0
        self._sink = sink
        self._tell = tell
        self._room = room
        self._news = threading.Condition()
        self._waiting: deque[tuple[list[bytes], int]] = deque()  # lines, and how many are missing after them
        self._size = 0  # of the lines, those included that are being written
        self._busy = False
        self._stands_still = False
        self._missing = 0  # lines, which is still to be told
        self._torn = False  # what was written last is not the end of a line
        self._started = False

    def put(self, lines: list[bytes]) -> None:
        size = sum(map(len, lines))
        with self._news:
            if self._size + size <= self._room:
                self._waiting.append((lines, 0))
                self._size += size
            else:
                self._put_what_fits(lines)
            self._news.notify_all()
            if not self._started:
                self._started = True
                threading.Thread(target=self._write_all, name="log", daemon=True).start()

    def _put_what_fits(self, lines: list[bytes]) -> None:
        """The lines up to the first for which there is no room."""
        count = 0
        while self._size + len(lines[count]) <= self._room:
            self._size += len(lines[count])
            count += 1
        missing = len(lines) - count
        self.lost += missing
        if not count and self._waiting:
            lines, before = self._waiting.pop()
            count, missing = len(lines), before + missing
        self._waiting.append((lines[:count], missing))

    def wait(self, seconds: float) -> None:
        """Until all is written, or for so long; not again while the reader stands still."""
        with self._news:
            if not self._stands_still:
                self._stands_still = not self._news.wait_for(lambda: not self._waiting and not self._busy, seconds)

    def _write_all(self) -> None:
        while True:
            with self._news:
                self._news.wait_for(lambda: self._waiting)
                lines, missing = self._waiting.popleft()
                self._busy = True
            lost = 0
            for text in self._pieces(lines):
                self._tell_what_is_missing()
                left = self._write(text)
                lost += left
                self._missing += left
            if missing:
                self._missing += missing
                self._tell_what_is_missing()
            with self._news:
                self._busy = self._stands_still = False
                self._size -= sum(map(len, lines))
                self.lost += lost
                self._news.notify_all()

    def _pieces(self, lines: list[bytes]) -> Iterator[bytes]:
        """The lines put together, as many as have room."""
        piece: list[bytes] = []
        size = 0
        for line in lines:
            if piece and size + len(line) > self.most:
                yield b"".join(piece)
                piece, size = [], 0
            piece.append(line)
            size += len(line)
        if piece:
            yield b"".join(piece)

    def _tell_what_is_missing(self) -> None:
        if self._missing and (text := self._tell(self._missing)) and not self._write(text):
            self._missing = 0

    def _write(self, text: bytes) -> int:
        """How many lines are not written whole."""
        rest = memoryview(b"\n" + text if self._torn else text)
        try:
            while rest:
                if taken := self._sink.write(rest):
                    self._torn = rest[taken - 1] != ord("\n")
                    rest = rest[taken:]
                else:
                    time.sleep(PAUSE)
        except (OSError, ValueError):
            pass  # nobody reads any more, or there is no room
        return min(bytes(rest).count(b"\n"), text.count(b"\n"))


def unbuffered(stream: TextIO | None) -> Sink:
    """The file below `stream`. None is what Python has where nobody wants standard output: then that goes nowhere."""
    if stream is None:
        return io.FileIO(os.devnull, "w")
    sink: Sink = getattr(stream.buffer, "raw", stream.buffer)
    return sink
