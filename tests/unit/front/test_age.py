"""When a connection is too old."""

import pytest

from gateway.front.age import Age


def first(age: Age, most: float) -> int:
    """The first of the thousandths of a second after 1000 at which it is too old."""
    return next(number for number in range(10_000) if age.exceeds(most, 1000 + number / 1000))


def test_each_has_its_own_share_of_the_age() -> None:
    found = [first(Age(1000.0), 2.0) for _ in range(100)]
    assert min(found) >= 1800
    assert max(found) <= 2200
    assert max(found) - min(found) > 200  # of 400


def test_it_is_reckoned_from_the_beginning_whatever_the_age_was_before() -> None:
    age = Age(1000.0)
    assert not age.exceeds(3600.0, 1100.0)
    assert age.exceeds(50.0, 1100.0)
    assert not age.exceeds(3600.0, 1100.0)


@pytest.mark.parametrize("now", [1000.0, 1e12])
def test_without_an_age_none_is_too_old(now: float) -> None:
    assert not Age(1000.0).exceeds(None, now)
