"""Events, as lines of a log."""

import io
import json
from datetime import UTC, datetime

import pytest
import structlog

from gateway.observe import log
from gateway.observe.log import call_event, configure
from gateway.observe.output import LineBuffer


@pytest.fixture
def output(monkeypatch: pytest.MonkeyPatch) -> io.BytesIO:
    stream = io.BytesIO()
    monkeypatch.setattr(log, "OUTPUT", LineBuffer(stream, log._lines_lost, room=10_000))
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


def test_the_event_of_a_call_is_the_line_that_any_other_event_is(output: io.BytesIO) -> None:
    configure(console=False, level="info")
    call_event(dict(FIELDS))
    structlog.get_logger("gateway.access").info(**FIELDS)
    lines = [json.loads(line, object_pairs_hook=list) for line in output.getvalue().decode().split("\n")[:-1]]
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
def test_the_event_of_a_call_keeps_to_the_level(output: io.BytesIO, level: str, told: int, console: bool) -> None:
    configure(console=console, level=level)
    call_event(dict(FIELDS))
    assert output.getvalue().decode().count("/a.B/C") == told
    assert output.getvalue().decode().startswith("{") == (told == 1 and not console)


@pytest.mark.parametrize("console", [False, True])
def test_lines_that_are_lost_are_told_as_any_other_event(output: io.BytesIO, console: bool) -> None:
    configure(console=console, level="error", worker=3)
    for text in ("x" * 10_000, "short"):
        structlog.get_logger("gateway").error("unexpected_error", text=text)
    lines = output.getvalue().decode().splitlines()
    assert len(lines) == 2
    assert "log_lines_lost" in lines[0]
    if not console:
        found = json.loads(lines[0])
        assert found.keys() == json.loads(lines[1]).keys() - {"text"} | {"lines"}
        assert (found["lines"], found["worker"]) == (1, 3)


def test_lines_that_are_lost_are_not_told_to_who_wants_nothing(output: io.BytesIO) -> None:
    configure(console=False, level="critical")
    log.OUTPUT.write("x" * 10_000 + "\n")
    log.OUTPUT.write("short\n")
    assert output.getvalue() == b"short\n"
