from gateway.seldom import EVERY, Seldom


def test_the_first_at_once_then_once_a_minute_with_their_number() -> None:
    now = [1000.0]
    seldom = Seldom(lambda: now[0])
    assert [seldom.count() for _ in range(3)] == [1, 0, 0]
    now[0] += EVERY - 0.1
    assert seldom.count() == 0
    now[0] += 0.1
    assert seldom.count() == 4  # three that were not told, and this one
    assert seldom.count() == 0
    now[0] += 10 * EVERY
    assert seldom.count() == 2
