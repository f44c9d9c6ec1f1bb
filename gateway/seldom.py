"""What happens again and again is told at once, then once a minute with its number: a flood must not fill the log."""

import time
from collections.abc import Callable

EVERY = 60.0  # seconds


class Seldom:
    """Counts one thing, and says when to tell of it. `clock` is in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._quiet_until = float("-inf")
        self._times = 0

    def count(self) -> int:
        """It has happened. How often since it was told last, if it is to be told now; else 0."""
        self._times += 1
        now = self._clock()
        if now < self._quiet_until:
            return 0
        self._quiet_until = now + EVERY
        times, self._times = self._times, 0
        return times
