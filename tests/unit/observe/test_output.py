"""Lines on standard output: gathered while an event loop can have them written soon, by a thread of its own."""

import contextlib
import io
import os
import queue
import select
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.observe import output
from gateway.observe.output import LineBuffer, unbuffered

SOON = 10.0  # seconds


class Scripted:
    """A file that takes what the script says: so many bytes, None where it would block, or an error."""

    def __init__(self, *script: int | OSError | None) -> None:
        self.taken = b""
        self.calls: list[bytes] = []
        self._script = list(script)

    def write(self, data: memoryview, /) -> int | None:
        """What the script has next; in the end all."""
        self.calls.append(bytes(data))
        step = self._script.pop(0) if self._script else len(data)
        if isinstance(step, OSError):
            raise step
        self.taken += bytes(data[: step or 0])
        return step


class Standing:
    """A file whose reader stands still until `go`."""

    def __init__(self) -> None:
        self.taken = b""
        self.reached, self.go = threading.Event(), threading.Event()
        self.pieces: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def write(self, data: memoryview, /) -> int | None:
        """Waits."""
        self.reached.set()
        assert self.go.wait(SOON)
        self.taken += bytes(data)
        self.pieces.put(bytes(data))
        return len(data)


@pytest.fixture
def standing() -> Iterator[Standing]:
    sink = Standing()
    yield sink
    sink.go.set()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "PATIENCE", 0.01)


def no_room() -> OSError:
    return OSError(28, "No space left on device")


def told(lines: int) -> bytes:
    return f"lost {lines}\n".encode()


def never(_delay: float, _callback: Callable[[], None]) -> None:
    """A loop that does not come to it."""


def test_lines_are_written_together_when_a_loop_gathers_them() -> None:
    sink = Scripted()
    later: list[Callable[[], None]] = []
    buffer = LineBuffer(sink)
    buffer.write("at once\n")
    assert sink.taken == b"at once\n"
    buffer.gather(lambda _delay, callback: later.append(callback))
    buffer.write("one\n")
    buffer.flush()
    buffer.write("two\n")
    assert len(later) == 1
    assert sink.taken == b"at once\n"
    later[0]()
    buffer.gather(None)
    assert sink.calls == [b"at once\n", b"one\ntwo\n"]


def test_nothing_is_left_behind_at_the_end_and_all_is_in_order() -> None:
    sink = Scripted()
    buffer = LineBuffer(sink)
    buffer.write("first\n")
    buffer.gather(never)
    for number in range(1000):
        buffer.write(f"{number}\n")
        if number % 7 == 0:
            buffer.write_out()
    buffer.gather(None)
    buffer.write("last\n")
    assert sink.taken.decode().split() == ["first", *map(str, range(1000)), "last"]


def test_what_others_write_there_does_not_mix_with_lines_of_ours() -> None:
    sink = Scripted()
    buffer = LineBuffer(sink)
    buffer.share()
    buffer.gather(never)
    lines = [b"x" * 1000 + b"\n"] * 10 + [b"y" * (select.PIPE_BUF + 1) + b"\n"] + [b"z\n"]
    for line in lines:
        buffer.add(line)
    buffer.gather(None)
    assert sink.taken == b"".join(lines)
    assert [len(piece) for piece in sink.calls] == [4004, 4004, 2002, 4098, 2]


def test_text_that_is_no_text_is_written_all_the_same() -> None:
    sink = Scripted()
    LineBuffer(sink).write("ü \udc80\n")
    assert sink.taken == "ü \\udc80\n".encode()


# -- a reader that stands still ---------------------------------------------------------------------------------------


def test_nobody_waits_for_a_reader_that_stands_still(standing: Standing) -> None:
    buffer = LineBuffer(standing)
    buffer.gather(never)
    buffer.write("one\n")
    buffer.write_out()
    assert standing.reached.wait(SOON)
    for _ in range(10):
        buffer.write("more\n")
        buffer.write_out()
    assert standing.taken == b""
    standing.go.set()
    buffer.gather(None)
    assert standing.taken == b"one\n" + b"more\n" * 10


@pytest.mark.usefixtures("impatient")
def test_the_end_waits_for_it_but_once_and_not_for_long(standing: Standing, monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = LineBuffer(standing)
    buffer.gather(never)
    buffer.write("one\n")
    buffer.gather(None)
    monkeypatch.setattr(output, "PATIENCE", SOON)
    began = time.monotonic()
    buffer.write("two\n")
    assert time.monotonic() - began < SOON / 2
    assert standing.taken == b""
    standing.go.set()
    assert [standing.pieces.get(timeout=SOON) for _ in range(2)] == [b"one\n", b"two\n"]


@pytest.mark.parametrize("batch", [1, 3, 20])
def test_what_has_no_room_is_lost_and_counted_and_told_in_its_place(standing: Standing, batch: int) -> None:
    buffer = LineBuffer(standing, told, room=100)
    buffer.gather(never)
    buffer.write("going\n")
    buffer.write_out()
    assert standing.reached.wait(SOON)
    for number in range(20):
        buffer.write(f"line {number:04}\n")
        if (number + 1) % batch == 0 or number == 19:
            buffer.write_out()
    assert buffer.lost == 11  # 94 bytes are room for 9 of 10
    standing.go.set()
    buffer.gather(None)
    buffer.write("afterwards\n")
    kept = [f"line {number:04}" for number in range(9)]
    assert standing.taken.decode().split("\n") == ["going", *kept, "lost 11", "afterwards", ""]
    assert buffer.lost == 11


def test_a_line_that_is_longer_than_all_room_is_lost() -> None:
    sink = Scripted()
    buffer = LineBuffer(sink, told, room=10)
    buffer.write("much too long\n")
    buffer.write("short\n")
    assert sink.taken == b"lost 1\nshort\n"


# -- a full disk, and nobody there ------------------------------------------------------------------------------------


def test_a_full_disk_leaves_no_torn_line_that_takes_the_next_one_with_it() -> None:
    sink = Scripted(4, no_room(), no_room(), no_room())
    buffer = LineBuffer(sink, told)
    buffer.write("torn off\n")
    buffer.write("no room\n")  # the event that tells of it has none, either
    assert buffer.lost == 2
    buffer.write("good\n")
    buffer.write("again\n")
    assert sink.taken == b"torn\nlost 2\ngood\nagain\n"
    assert buffer.lost == 2


def test_a_full_disk_between_lines_adds_no_line() -> None:
    sink = Scripted(4, no_room())
    buffer = LineBuffer(sink, told)
    buffer.gather(never)
    buffer.write("one\n")
    buffer.write("two\n")
    buffer.gather(None)
    assert buffer.lost == 1
    buffer.write("three\n")
    assert sink.taken == b"one\nlost 1\nthree\n"


def test_pieces_are_put_together() -> None:
    sink = Scripted(1, 2, None, 3)
    buffer = LineBuffer(sink, told)
    buffer.write("in pieces\n")
    assert sink.taken == b"in pieces\n"
    assert buffer.lost == 0


def test_a_reader_that_went_away_ends_no_call() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with io.FileIO(writer, "w") as sink:
        buffer = LineBuffer(sink)
        buffer.write("nobody reads this\n")
    buffer.write("and it is closed\n")
    assert buffer.lost == 2


def test_a_device_without_room_ends_no_call() -> None:
    with Path("/dev/full").open("w") as stream:
        buffer = LineBuffer(unbuffered(stream))
        buffer.write("there is no room for this\n")
        assert buffer.lost == 1


def test_a_pipe_that_somebody_has_made_non_blocking_loses_nothing() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with open(reader, "rb") as read, io.FileIO(writer, "w") as sink:
        buffer = LineBuffer(sink)
        buffer.gather(never)
        for _ in range(1000):
            buffer.write("x" * 999 + "\n")
        buffer.write_out()
        assert sum(len(read.readline()) for _ in range(1000)) == 1_000_000
        buffer.gather(None)
    assert buffer.lost == 0


def test_the_file_below_standard_output_has_no_buffer(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as stream:
        assert isinstance(unbuffered(stream), io.FileIO)
    with contextlib.closing(io.TextIOWrapper(io.BytesIO())) as captured:
        assert unbuffered(captured) is captured.buffer
    LineBuffer(unbuffered(None)).write("nobody wants this\n")
