"""Lines of a log: gathered while an event loop can write them soon."""

import io
from collections.abc import Callable

from gateway.observe.log import LineBuffer


def test_lines_are_written_together_when_a_loop_gathers_them() -> None:
    stream = io.StringIO()
    later: list[Callable[[], None]] = []
    buffer = LineBuffer(stream)
    buffer.write("at once\n")
    assert stream.getvalue() == "at once\n"
    buffer.gather(lambda _delay, callback: later.append(callback))
    buffer.write("one\n")
    buffer.flush()
    buffer.write("two\n")
    assert len(later) == 1
    assert stream.getvalue() == "at once\n"
    later[0]()
    assert stream.getvalue() == "at once\none\ntwo\n"


def test_nothing_is_left_behind_at_the_end() -> None:
    stream = io.StringIO()
    buffer = LineBuffer(stream)
    buffer.gather(lambda _delay, _callback: None)
    buffer.write("last\n")
    buffer.gather(None)
    assert stream.getvalue() == "last\n"


def test_a_reader_that_went_away_ends_no_call() -> None:
    stream = io.StringIO()
    buffer = LineBuffer(stream)
    stream.close()
    buffer.write("nobody reads this\n")
