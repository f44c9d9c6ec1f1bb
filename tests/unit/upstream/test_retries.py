"""Which calls may be sent again, after which pause, and how many of them: the rules without a wire."""

import pytest

from gateway.upstream.resolver import Address
from gateway.upstream.retries import ATTEMPTS, FIRST, GROWTH, RATE, RATIO, Retries, RetryBudget

HERE, THERE = Address("127.0.0.1", 1), Address("127.0.0.1", 2)
METHODS = ("/a.B/Get", "/a.C/*")


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def retries(tokens: int = 1000) -> Retries:
    return Retries(METHODS, RetryBudget(tokens, Clock()))


@pytest.mark.parametrize(
    ("path", "idempotent"),
    [
        (b"/a.B/Get", True),
        (b"/a.C/Any", True),
        (b"/a.B/Set", False),
        (b"/a.CD/Any", False),
        (b"/a.B/*", False),
        (b"/a.B/get", False),
    ],
)
def test_which_methods(path: bytes, idempotent: bool) -> None:
    assert (retries().of(path) is not None) == idempotent


def test_pauses_are_random_and_longer_and_not_endless() -> None:
    firsts, seconds = [], []
    for _ in range(200):
        retry = retries().of(b"/a.B/Get")
        assert retry is not None
        pauses = [retry.pause(HERE, [], None) for _ in range(ATTEMPTS)]
        assert pauses[-1] is None
        firsts.append(pauses[0])
        seconds.append(pauses[1])
    assert all(pause is not None and 0 <= pause <= FIRST for pause in firsts)
    assert all(pause is not None and 0 <= pause <= FIRST * GROWTH for pause in seconds)
    assert max(pause for pause in seconds if pause is not None) > FIRST
    assert len(set(firsts)) > 100


def test_what_a_call_has_tried() -> None:
    retry = retries().of(b"/a.B/Get")
    assert retry is not None
    retry.pause(HERE, [], None)
    retry.pause(THERE, [], None)
    assert (retry.tried, retry.sent_again) == ((HERE, THERE), 2)


def test_not_beyond_the_deadline() -> None:
    one = retries()
    retry = one.of(b"/a.B/Get")
    assert retry is not None
    assert retry.pause(HERE, [], 0.0) is None
    assert retry.pause(HERE, [], 10.0) is not None
    assert one.outcomes == {"deadline": 1, "sent": 1}


@pytest.mark.parametrize(
    ("pushback", "pause"),
    [(b"0", 0.0), (b"300", 0.3), (b"-1", None), (b"soon", None), (b"", None), (b"60000", None), (b"9" * 30, None)],
)
def test_a_backend_says_when(pushback: bytes, pause: float | None) -> None:
    one = retries()
    retry = one.of(b"/a.B/Get")
    assert retry is not None
    assert retry.pause(HERE, [(b"grpc-retry-pushback-ms", pushback)], None) == pause
    assert one.outcomes == ({"pushback": 1} if pause is None else {"sent": 1})


def test_the_budget_is_a_share_of_the_calls_and_a_few_for_each_second() -> None:
    clock = Clock()
    budget = RetryBudget(10, clock)
    assert sum(budget.withdraw() for _ in range(100)) == 10  # full at the start
    for _ in range(100):
        budget.deposit()
    assert budget.tokens == 10  # and never fuller
    assert sum(budget.withdraw() for _ in range(100)) == 10
    for _ in range(20):
        budget.deposit()
    assert sum(budget.withdraw() for _ in range(100)) == 20 * RATIO
    clock.now += 1.0
    assert sum(budget.withdraw() for _ in range(100)) == RATE


def test_out_of_budget() -> None:
    one = retries(tokens=1)
    outcomes = []
    for _ in range(2):
        retry = one.of(b"/a.B/Get")
        assert retry is not None
        outcomes.append(retry.pause(HERE, [], None) is not None)
        retry.settle(0 if outcomes[-1] else 14)
    assert outcomes == [True, False]
    assert one.outcomes == {"sent": 1, "budget": 1, "recovered": 1}
