"""Lines of a log: gathered while an event loop can write them soon."""

import io
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
import structlog

from gateway.observe import log
from gateway.observe.log import LineBuffer, call_event, configure


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


def test_a_full_disk_ends_no_call() -> None:
    stream = Path("/dev/full").open("w")  # noqa: SIM115 - to close it fails, too
    LineBuffer(stream).write("there is no room for this\n")
    with pytest.raises(OSError, match="No space left"):
        stream.close()


@pytest.fixture
def output(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    stream = io.StringIO()
    monkeypatch.setattr(log, "OUTPUT", LineBuffer(stream))
    return stream


FIELDS = {
    "event": "call",
    "method": "/a.B/C",
    "reason": "",
    "ms": 1.25,
    "messages": (1, 0),
    "text": "ü \u2028",
    "odd": {1},
}


def test_the_event_of_a_call_is_the_line_that_any_other_event_is(output: io.StringIO) -> None:
    configure(console=False, level="info")
    call_event(dict(FIELDS))
    structlog.get_logger("gateway.access").info(**FIELDS)
    lines = [json.loads(line, object_pairs_hook=list) for line in output.getvalue().split("\n")[:-1]]
    names = [[name for name, _ in line] for line in lines]
    assert sorted(names[0]) == sorted(names[1])
    moments = [datetime.fromisoformat(dict(line).pop("timestamp")) for line in lines]
    assert all(abs((moment - datetime.now(UTC)).total_seconds()) < 60 for moment in moments)
    without = [{name: value for name, value in line if name != "timestamp"} for line in lines]
    assert without[0] == without[1]
    assert without[0]["event"] == "call"
    assert without[0]["level"] == "info"


@pytest.mark.parametrize(("level", "told"), [("warning", 0), ("info", 1), ("debug", 1)])
@pytest.mark.parametrize("console", [False, True])
def test_the_event_of_a_call_keeps_to_the_level(output: io.StringIO, level: str, told: int, console: bool) -> None:
    configure(console=console, level=level)
    call_event(dict(FIELDS))
    assert output.getvalue().count("/a.B/C") == told
    assert output.getvalue().startswith("{") == (told == 1 and not console)
