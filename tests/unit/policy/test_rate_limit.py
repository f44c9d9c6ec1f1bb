"""What a rate promises, counted by the library's own arithmetic at chosen times."""

import time
from collections.abc import Callable
from random import Random

import pytest

from gateway.permit import Refusal
from gateway.policy.rate_limit import RateLimit, _exact
from gateway.policy.rate_memory import MemoryCounts
from gateway.settings.limits import Rate

Clock = Callable[[float], None]


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Sets the clock of the library: seconds since a window began, whatever its length."""
    start = 1_000_000_800.0
    monkeypatch.setattr(time, "time", lambda: start)
    return lambda seconds: monkeypatch.setattr(time, "time", lambda: start + seconds)


def limit(text: str, burst: int | None = None) -> RateLimit:
    return RateLimit.of(Rate(key="peer", limit=text, burst=burst))


class Caller:
    def __init__(self, rate: RateLimit) -> None:
        self.rate = rate
        self.counts = MemoryCounts([rate])

    def calls(self, number: int) -> int:
        """How many of so many pass."""
        return sum(self.wait() is None for _ in range(number))

    def wait(self) -> float | None:
        """A call: None if it passes, or else the seconds that its refusal names."""
        told: list[Refusal | None] = []
        self.counts.take([(self.rate, "x")], told.append)
        (refusal,) = told
        if refusal is None:
            return None
        ((_, milliseconds),) = refusal.metadata
        return int(milliseconds) / 1000


@pytest.mark.parametrize(
    ("text", "burst", "calls", "seconds"),
    [
        ("100/second", None, 100, 1.0),
        ("100/second", 200, 200, 2.0),
        ("100/second", 10, 10, 0.1),
        ("20/minute", None, 20, 60.0),
        ("20/minute", 30, 30, 90.0),
        ("500/hour", 1, 1, 7.2),
        ("3/second", 100, 100, 33.334),  # never shorter than it is worth
    ],
)
def test_a_burst_is_a_window(text: str, burst: int | None, calls: int, seconds: float) -> None:
    made = limit(text, burst)
    assert (made.calls, made.seconds) == (calls, seconds)


def test_windows_are_whole_milliseconds_to_a_script_that_multiplies() -> None:
    for milliseconds in (*range(100, 20_000), 33_334, 86_399_999, 86_400_000):
        seconds = _exact(milliseconds / 1000)
        assert (seconds * 1000).is_integer()
        assert milliseconds <= seconds * 1000 <= milliseconds + 3


def test_a_burst_and_then_the_limit(at: Clock) -> None:
    caller = Caller(limit("10/second", 20))
    assert caller.calls(25) == 20
    at(1.9)
    assert caller.calls(5) == 0
    passed = 0
    for tenth in range(20, 40):  # the burst is paid for: 10 a second
        at(tenth / 10 + 0.05)
        passed += caller.calls(5)
    assert passed == 20


@pytest.mark.parametrize("phase", [0.0, 0.3, 0.95])
def test_who_keeps_to_the_limit_is_never_refused(at: Clock, phase: float) -> None:
    caller = Caller(limit("10/second"))
    for number in range(100):
        at(phase + number / 9.9)
        assert caller.calls(1) == 1


@pytest.mark.parametrize("seed", range(20))
def test_no_stretch_of_time_has_more_than_burst_and_limit(at: Clock, seed: int) -> None:
    random = Random(seed)
    caller = Caller(limit("10/second", 20))
    now, passed = 0.0, []
    for _ in range(600):
        now += random.choice([0.0, 0.0, 0.01, 0.05, 0.3, 1.1])
        at(now)
        if caller.calls(1):
            passed.append(now)
    for first, start in enumerate(passed):
        for last, end in enumerate(passed[first:], first):
            assert last - first + 1 <= 20 + 10 * (end - start) + 1


@pytest.mark.parametrize("seed", range(20))
def test_a_refusal_names_the_time_at_which_a_call_passes_and_none_before(at: Clock, seed: int) -> None:
    random = Random(seed)
    caller = Caller(limit("10/second", random.choice([1, 5, 10, 20, 35])))
    now = random.uniform(0.0, 2.0)
    at(now)
    for _ in range(60):
        caller.calls(random.randrange(30))
        if (wait := caller.wait()) is not None:
            assert 0 < wait <= 2 * caller.rate.seconds + 0.002
            if wait > 0.005:
                at(now + wait - 0.005)
                assert caller.wait() is not None
            now += wait
            at(now)
            assert caller.wait() is None
        now += random.uniform(0.0, 3.0)
        at(now)
