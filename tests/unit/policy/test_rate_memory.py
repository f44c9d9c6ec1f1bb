"""Counts in memory: at once, without a thread, and bounded whoever calls."""

import sys
import threading
import time

import pytest

from gateway.permit import Refusal
from gateway.policy import rate_memory
from gateway.policy.rate_limit import RateLimit
from gateway.policy.rate_memory import MOST_KEYS, MemoryCounts, Table

TEN = RateLimit("peer", 10, 1.0, "ten")
TWO = RateLimit("method", 2, 3600.0, "two")


def take(counts: MemoryCounts, *due: tuple[RateLimit, str]) -> Refusal | None:
    told: list[Refusal | None] = []
    counts.take(due, told.append)
    (refusal,) = told  # by now, and once
    return refusal


def test_the_first_limit_without_room_refuses() -> None:
    counts = MemoryCounts([TEN, TWO])
    due = [(TEN, "x"), (TWO, "y")]
    assert [take(counts, *due) for _ in range(2)] == [None, None]
    refusal = take(counts, *due)
    assert refusal is not None
    assert refusal.reason == "rate_method"
    assert take(counts, (TWO, "z")) is None


def test_limits_do_not_share_their_counts() -> None:
    counts = MemoryCounts([TEN, TWO])
    for _ in range(2):
        assert take(counts, (TWO, "x")) is None
    assert take(counts, (TWO, "x")) is not None
    assert take(counts, (TEN, "x")) is None


def test_counting_needs_no_thread() -> None:
    counts = MemoryCounts([TEN])
    for thread in threading.enumerate():
        if isinstance(thread, threading.Timer):
            thread.join(1.0)  # the library's own, which ends as soon as it has begun
    before = threading.active_count()
    for number in range(1000):
        take(counts, (TEN, str(number)))
    assert threading.active_count() == before


def test_a_million_strangers_fit() -> None:
    table = Table()
    for number in range(1_000_000):
        table.incr(f"peer/10/1s/198.51.{number}/1000000000", 3600.0)
    assert len(table.storage) == len(table.expirations) == MOST_KEYS
    keys = sum(map(sys.getsizeof, table.storage))
    times = sum(map(sys.getsizeof, table.expirations.values()))
    assert keys + times + sys.getsizeof(table.storage) + sys.getsizeof(table.expirations) < 40_000_000  # bytes


def test_what_is_over_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    table = Table()
    now = time.time()
    monkeypatch.setattr(rate_memory.time, "time", lambda: now)
    for number in range(100):
        table.incr(str(number), 2.0)
    monkeypatch.setattr(rate_memory.time, "time", lambda: now + 2.5)
    for number in range(50):
        table.incr(f"new {number}", 2.0)
    assert len(table.storage) == len(table.expirations) == 50
    assert table.get("99") == 0


def test_what_is_not_over_is_kept() -> None:
    table = Table()
    for number in range(100):
        table.incr(str(number), 2.0)
        table.incr(str(number), 2.0)
    assert [table.get(str(number)) for number in range(100)] == [2] * 100
