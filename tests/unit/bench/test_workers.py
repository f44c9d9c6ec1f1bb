"""What is made of the two loads of a round: one worker's, then two workers'."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import pytest

from bench import workers
from bench.full_load import FullLoad
from bench.harness import Harness, Spent
from bench.load.traffic import Outcome
from bench.way import Way


def load(calls: int, cpu: float, children: tuple[float, ...] = ()) -> FullLoad:
    """Of one second."""
    return FullLoad(Outcome(calls, 1.0), Spent(cpu=cpu, wall=1.0, children=children))


class Cores:
    """In place of a harness: subjects have so many."""

    def __init__(self, count: int) -> None:
        self.subject_cores = set(range(count))

    @contextmanager
    def cores_for(self, count: int) -> Iterator[Any]:
        yield None


def figures(
    monkeypatch: pytest.MonkeyPatch, one: FullLoad, two: FullLoad, *, cores: int
) -> tuple[dict[str, float], list[int]]:
    """And how many workers were measured, in order."""
    order: list[int] = []

    def measured(_harness: object, _name: str, _way: Way, _behind: object, count: int) -> tuple[FullLoad, float]:
        order.append(count)
        return (one if count == 1 else two), 100.0 * count

    monkeypatch.setattr(workers, "_measured", measured)
    return workers.beside_one(cast(Harness, Cores(cores)), "gateway", Way()), order


def test_on_one_core_work_and_shares_are_compared_and_the_rate_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    found, order = figures(monkeypatch, load(1000, 1.0), load(900, 1.0, (0.6, 0.4)), cores=1)
    assert order == [1, 2]
    assert found["work_of_one"] == pytest.approx(0.9)
    assert found["least_share"] == pytest.approx(0.4)
    assert (found["core_busy"], found["rss_mib"]) == (1.0, 200.0)
    assert "rate_of_one" not in found


@pytest.mark.parametrize(("one", "two", "known"), [(1.0, 1.9, True), (0.7, 1.9, False), (1.0, 1.6, False)])
def test_on_two_cores_the_rate_counts_if_nobody_waited_for_calls(
    monkeypatch: pytest.MonkeyPatch, one: float, two: float, known: bool
) -> None:
    found, _ = figures(monkeypatch, load(1000, one), load(1900, two, (two / 2, two / 2)), cores=2)
    assert found.get("rate_of_one") == (1.9 if known else None)
