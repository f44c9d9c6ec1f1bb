"""What becomes of a call: which ones have an excuse, and which are lost."""

from pathlib import Path

from soak.caller import Result
from soak.lines import HTTP1, Lines
from soak.load import AFTERMATH, FORGOTTEN, UNAVAILABLE, Load
from soak.plan import CANCELLED, Plan, Planner

KILLED = 100.0


def plan(*, never_fails: bool) -> Plan:
    """One that is not given up."""
    plans = iter(Planner(1).next, None)
    return next(each for each in plans if (each.never_fails, each.leaving) == (never_fails, None))


def load(*results: Result) -> Load:
    counted = Load(Lines([], Path()), None, Planner(1), 1.0)  # type: ignore[arg-type]
    counted.killed.append(KILLED)
    for result in results:
        counted._note(result)
    return counted


def failed(begun: float, ended: float, code: int = UNAVAILABLE, *, never_fails: bool = False) -> Result:
    return Result(plan(never_fails=never_fails), begun, ended, "status 14", code)


def test_a_call_whose_backend_was_killed_has_an_excuse() -> None:
    assert load(failed(KILLED - 1, KILLED + 0.1)).excused == 1
    assert load(failed(KILLED + AFTERMATH / 2, KILLED + AFTERMATH)).excused == 1
    forgotten = Result(plan(never_fails=False), KILLED - 1, KILLED, f"status 13, {FORGOTTEN}", 13)
    assert load(forgotten).excused == 1


def test_another_has_none() -> None:
    lost = load(
        failed(KILLED - 2, KILLED - 1),  # it was over before
        failed(KILLED + 2 * AFTERMATH, KILLED + 3),  # it began after
        failed(KILLED - 1, KILLED + 1, code=13),  # it says something else
        failed(KILLED - 1, KILLED + 1, code=-1),  # it says nothing
        failed(KILLED - 1, KILLED + 1, never_fails=True),  # it could be sent again
    )
    assert (lost.excused, lost.failures.total()) == (0, 5)


def test_the_same_seed_gives_the_same_calls() -> None:
    one, other = Planner(7), Planner(7)
    for _ in range(200):
        first, second = one.next(), other.next()
        assert (first.name, first.messages, first.leaving) == (second.name, second.messages, second.leaving)


def test_half_of_the_calls_are_given_up_and_every_kind_is_among_them() -> None:
    planner = Planner(7)
    plans = [planner.next() for _ in range(4000)]
    assert abs(sum(each.leaving is not None for each in plans) / len(plans) - CANCELLED) < 0.05
    assert {each.method for each in plans} == {"Echo", "Shout", "WhoAmI", "Count", "Fail", "Collect", "Chat"}
    assert not [each for each in plans if each.one_by_one and each.door.protocol == HTTP1]
