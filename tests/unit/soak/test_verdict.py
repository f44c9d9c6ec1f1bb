"""What a run is judged by: a quiet one passes, and each thing that may be left behind is seen."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from soak.samples import Sample
from soak.verdict import LONG, RSS_REST, RSS_SLOPE, Run, judge, slope

QUIET: Sample = {
    "fds": 40, "threads": 20, "tasks": 15, "rss": 100.0, "calls": 0, "connections": 0, "backend streams": 0,
}  # fmt: skip


def run(rest: Mapping[str, float] | None = None, per_minute: float = 0.0, **changes: object) -> Run:
    """One in which nothing is left, but for `rest` at the end. `per_minute`: MiB that it grew by under load."""
    samples = [{"time": float(at), "rss": 100 + per_minute * at / 60} for at in range(0, round(LONG) + 20, 5)]
    quiet = Run(
        workers=1,
        samples=samples,
        rest_before={**QUIET, "time": 10.0, "begun": 100},
        rest_after={**QUIET, "time": LONG + 20, "begun": 1100, **(rest or {})},
        warm_until=7.0,
        load_from=10.0,
        load_until=LONG + 10,
        right=500,
        given_up=500,
        excused=3,
        failures={},
        changes={"keys": 1},
        changes_failed=[],
        errors=[],
        exit_code=0,
    )
    return replace(quiet, **changes)


def missed(judged: Run) -> list[str]:
    return [check.name for check in judge(judged) if check.met is False]


def test_a_quiet_run_passes() -> None:
    assert missed(run()) == []
    assert all(check.met for check in judge(run()))


@pytest.mark.parametrize(
    ("left", "check"),
    [
        ({"calls": 1}, "open calls at rest"),
        ({"connections": 1}, "open connections at rest"),
        ({"backend streams": 1}, "backend streams at rest"),
        ({"fds": 49}, "open files at rest"),
        ({"threads": 40}, "threads at rest"),
        ({"tasks": 30}, "tasks at rest"),
        ({"rss": 101 + RSS_REST + RSS_SLOPE * LONG / 60}, "memory at rest"),
    ],
)
def test_what_is_left_is_seen(left: Mapping[str, float], check: str) -> None:
    assert missed(run(left)) == [check]


@pytest.mark.parametrize(
    ("changes", "check"),
    [
        ({"failures": {"Echo: HTTP 502": 1}}, "calls lost"),
        ({"given_up": 10}, "calls given up"),
        ({"changes": {}}, "changes made"),
        ({"changes_failed": ["keys: not seen by the gateway"]}, "changes made"),
        ({"errors": ["Traceback"]}, "errors in its log"),
        ({"exit_code": None}, "exit code"),
        ({"exit_code": 1}, "exit code"),
    ],
)
def test_what_goes_wrong_is_seen(changes: Mapping[str, object], check: str) -> None:
    assert missed(run(**changes)) == [check]


def test_a_gauge_that_is_not_there_is_a_miss_where_zero_is_asked() -> None:
    rest = {name: value for name, value in QUIET.items() if name != "calls"} | {"time": 1.0, "begun": 1100}
    assert missed(run(rest_after=rest)) == ["open calls at rest"]


def test_tasks_are_not_judged_where_nobody_tells_them() -> None:
    rest = {name: value for name, value in QUIET.items() if name != "tasks"} | {"time": 1.0, "begun": 1100}
    (check,) = [check for check in judge(run(rest_after=rest)) if check.name == "tasks at rest"]
    assert check.met is None


def test_a_slope_is_judged_in_a_long_run_only() -> None:
    steep = run(per_minute=2 * RSS_SLOPE)
    assert slope(steep) == pytest.approx(2 * RSS_SLOPE)
    assert missed(steep) == ["memory, slope"]
    assert missed(replace(steep, load_until=LONG / 2)) == []


def test_more_workers_may_have_more() -> None:
    assert missed(run({"fds": 56, "rss": 100 + 2 * RSS_REST}, workers=2)) == []
