"""Which connection the next call takes."""

from collections import Counter
from dataclasses import dataclass

import pytest

from gateway.upstream.balancer import BALANCERS, LeastRequest, RoundRobin


@dataclass(eq=False)
class Bearer:
    load: int = 0
    most: int = 100

    @property
    def has_room(self) -> bool:
        return self.load < self.most


def test_round_robin_takes_one_after_the_other() -> None:
    bearers = [Bearer(load) for load in (5, 0, 9)]
    balancer = RoundRobin()
    assert Counter(id(balancer.pick(bearers)) for _ in range(30)) == {id(bearer): 10 for bearer in bearers}


def test_round_robin_stays_even_when_connections_come_and_go() -> None:
    bearers = [Bearer() for _ in range(4)]
    balancer = RoundRobin()
    picked: Counter[int] = Counter()
    for turn in range(40):
        there = bearers[: 2 + turn % 3]
        bearer = balancer.pick(there)
        assert bearer in there
        picked[id(bearer)] += 1
    assert len(picked) == 4


def test_least_request_takes_the_lighter_of_two() -> None:
    light, heavy = Bearer(1), Bearer(2)
    balancer = LeastRequest()
    assert {id(balancer.pick([light, heavy])) for _ in range(50)} == {id(light)}


def test_least_request_evens_out_and_spares_the_heaviest() -> None:
    bearers = [Bearer() for _ in range(10)]
    bearers[3].load = 60
    balancer = LeastRequest()
    for _ in range(500):
        bearer = balancer.pick(bearers)
        assert bearer is not None
        bearer.load += 1
    loads = sorted(bearer.load for bearer in bearers)
    assert loads[-1] - loads[0] <= 16  # two choices: log log n, where one choice would be off by 20 and more
    assert sum(loads) == 560


def test_least_request_is_by_chance_among_equals() -> None:
    bearers = [Bearer() for _ in range(5)]
    balancer = LeastRequest()
    assert {id(balancer.pick(bearers)) for _ in range(300)} == {id(bearer) for bearer in bearers}


@pytest.mark.parametrize("name", sorted(BALANCERS))
def test_one_without_room_is_passed_over(name: str) -> None:
    balancer = BALANCERS[name]()
    full, free = Bearer(3, most=3), Bearer(50)
    assert {id(balancer.pick([full, free, full])) for _ in range(30)} == {id(free)}
    assert balancer.pick([full, full]) is None
    assert balancer.pick([full]) is None
    assert balancer.pick([free]) is free
    assert balancer.pick([]) is None
