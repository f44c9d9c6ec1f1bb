"""The pauses between attempts to connect."""

import itertools

import pytest

from gateway.upstream.backoff import GROWTH, JITTER, Backoff


def test_pauses_grow_up_to_the_longest() -> None:
    backoff = Backoff(first=0.2, most=5.0, stood=1.0)
    wanted = [min(0.2 * GROWTH**number, 5.0) for number in range(10)]
    for seconds in wanted:
        assert backoff.pause() == pytest.approx(seconds, rel=JITTER)
    assert wanted[-1] == 5.0


def test_no_two_are_in_step() -> None:
    pauses = [Backoff(first=1.0, most=5.0, stood=1.0).pause() for _ in range(100)]
    assert max(pauses) - min(pauses) > JITTER
    assert all(one != other for one, other in itertools.pairwise(pauses))


def test_after_a_connection_that_stood_there_is_none_and_all_begins_anew() -> None:
    backoff = Backoff(first=0.2, most=5.0, stood=1.0)
    for _ in range(5):
        assert backoff.pause(0.9) > 0
    assert backoff.pause(1.0) == 0
    assert backoff.pause() == pytest.approx(0.2, rel=JITTER)
