"""The clock of what stands still."""

from gateway.standstill import Standstill


def test_what_is_looked_at_for_the_first_time_has_just_moved() -> None:
    assert Standstill().look(50.0, 0) == 0
    assert Standstill().look(50.0, 7, 8) == 0


def test_seconds_count_from_the_look_that_saw_it_move() -> None:
    clock = Standstill()
    clock.look(10.0, 1, 1)
    assert clock.look(11.0, 1, 1) == 1
    assert clock.look(14.0, 1, 1) == 4
    assert clock.look(15.0, 1, 2) == 0  # one of them is enough
    assert clock.since == 15
    assert clock.look(16.5, 1, 2) == 1.5


def test_what_is_excused_moves() -> None:
    clock = Standstill()
    clock.look(10.0, 5)
    assert clock.look(12.0, 5, excused=True) == 0
    assert clock.look(13.0, 5) == 1
