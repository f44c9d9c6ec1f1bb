"""Rates counted in this process.

Rules
- The answer is there before the question returns: no task, no future, no thread. The storage of the library `limits`
  starts a thread for every 10 ms in which it counts, which looks through all its keys: with 300,000 of them it costs
  most of a core. So here keys are forgotten as new ones come, the oldest first; the arithmetic is the library's.
- Strangers choose keys, so each limit keeps at most `MOST_KEYS`. Who has more addresses than that in one window makes
  older counts forgotten: a limit may then let more pass, never less. `max_calls` holds all the same.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

from limits.storage import MemoryStorage

from gateway.permit import Refusal
from gateway.policy.rate_limit import Due, RateLimit

MOST_KEYS = 100_000  # of one limit, two for each peer: about 25 MB
FORGOTTEN_AT_ONCE = 2  # keys looked at for each new one: faster than they come


class MemoryCounts:
    """One table for each limit, so that keys end in the order in which they began."""

    def __init__(self, limits: Sequence[RateLimit]) -> None:
        self._tables = {limit.name: Table() for limit in limits}

    def take(self, due: Sequence[Due], then: Callable[[Refusal | None], None]) -> None:
        for limit, key in due:
            table = self._tables[limit.name]
            if not table.acquire_sliding_window_entry(key, limit.calls, limit.seconds):  # type: ignore[arg-type]
                then(limit.refusal(limit.wait(table.get_sliding_window(key, limit.seconds))))  # type: ignore[arg-type]
                return
        then(None)

    async def start(self) -> None:
        """It needs nothing."""

    async def close(self) -> None:
        """It holds nothing open."""


class Table(MemoryStorage):
    """Counts by key and window. The library names windows in its keys, so an old one is never asked for again."""

    def __init__(self) -> None:
        super().__init__()
        self.timer.cancel()
        self.expirations: OrderedDict[str, float] = OrderedDict()  # a plain dict is slow to give up its first

    def get(self, key: str) -> int:
        return self.storage.get(key, 0)

    def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        count = self.storage.get(key, 0) + amount
        if count == amount:
            self._make_room()
            self.expirations[key] = time.time() + expiry
        self.storage[key] = count
        return count

    def _make_room(self) -> None:
        now = time.time()
        for _ in range(FORGOTTEN_AT_ONCE):
            if not self.expirations:
                return
            oldest, expires_at = self.expirations.popitem(last=False)
            if expires_at > now and len(self.expirations) + 1 < MOST_KEYS:
                self.expirations[oldest] = expires_at
                self.expirations.move_to_end(oldest, last=False)
                return
            del self.storage[oldest]
