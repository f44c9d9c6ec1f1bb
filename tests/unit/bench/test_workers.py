"""What is made of the two loads of a round: one worker's, then two workers'."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import pytest

from bench import workers
from bench.full_load import FullLoad, Supply
from bench.harness import Harness, Spent
from bench.load.traffic import Outcome
from bench.way import Way


def load(calls: int, cpu: float, children: tuple[float, ...] = ()) -> FullLoad:
    """Of one second."""
    return FullLoad(Outcome(calls, 1.0), Spent(cpu=cpu, wall=1.0, children=children))


class Cores:
    """In place of a harness."""

    @contextmanager
    def cores_for(self, count: int) -> Iterator[None]:
        yield


def figures(monkeypatch: pytest.MonkeyPatch, one: FullLoad, two: FullLoad) -> tuple[dict[str, float], list[int]]:
    """And how many workers were measured, in order."""
    order: list[int] = []

    def measured(*given: object) -> tuple[FullLoad, float]:
        count = cast(int, given[-1])
        order.append(count)
        return (one if count == 1 else two), 100.0 * count

    monkeypatch.setattr(workers, "_measured", measured)
    supply = cast(Supply, None)
    return workers.beside_one(cast(Harness, Cores()), "gateway", Way(), supply), order


def test_work_shares_and_calls_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    found, order = figures(monkeypatch, load(1000, 1.0), load(900, 1.0, (0.6, 0.4)))
    assert order == [1, 2]
    assert found["work_of_one"] == pytest.approx(0.9)
    assert found["least_share"] == pytest.approx(0.4)
    assert (found["core_busy"], found["rss_mib"]) == (1.0, 200.0)
    assert found["rate_of_one"] == pytest.approx(0.9)
    assert "rate_with_cores" not in found


@pytest.mark.parametrize(("one", "two", "known"), [(1.0, 1.9, True), (0.7, 1.9, False), (1.0, 1.6, False)])
def test_what_they_do_with_a_core_each_is_known_if_nobody_waited_for_calls(
    monkeypatch: pytest.MonkeyPatch, one: float, two: float, known: bool
) -> None:
    found, _ = figures(monkeypatch, load(1000, one), load(1900, two, (two / 2, two / 2)))
    assert found.get("rate_with_cores") == (pytest.approx(2 * (1900 / two) / (1000 / one)) if known else None)
