"""Calls that may be sent again although their backend may have acted: those of `idempotent_methods` (gRFC A6).

Rules
- Sent again is what failed with UNAVAILABLE, said by the backend or because the connection was lost, or with CANCELLED,
  which nobody here has asked for: so a server on grpc-core that stops answers calls that no handler has seen.
- It is as long as no part of the reply was here and all of the request still is; sent `ATTEMPTS` times in all, after a
  short pause of random length, and to an address that has not failed this call, if there is one.
- Not beyond the deadline, not when the backend says so (grpc-retry-pushback-ms), not out of budget.
- The budget is of the whole upstream: a token is put back for every fifth call and a few for every second, so that
  backends which fail get a fifth more calls, not three times as many. Full, it has one token for each call that there
  can be at once: the worst that happens at once is that all of those lose their connections.
- What was surely not processed is sent again without asking here (h2_stream.py), whatever the method.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterable

from gateway.protocol.metadata import Headers
from gateway.protocol.status import Code
from gateway.upstream.resolver import Address

RETRYABLE = frozenset((Code.UNAVAILABLE, Code.CANCELLED))
ATTEMPTS = 3
FIRST, GROWTH, MOST = 0.025, 4, 0.25  # seconds: the longest pause before the first one more, times, and of them all
PUSHBACK_MOST = 5.0  # seconds: a backend that wants a longer pause is not waited for
PUSHBACK = b"grpc-retry-pushback-ms"
RATIO = 0.2  # tokens for a call
RATE = 5.0  # tokens for a second


class RetryBudget:
    """A bucket of tokens, full at the start."""

    __slots__ = ("_at", "_clock", "_most", "tokens")

    def __init__(self, most: int, clock: Callable[[], float]) -> None:
        self.tokens = float(most)
        self._most = float(most)
        self._clock = clock
        self._at = 0.0

    def deposit(self) -> None:
        """There is a call."""
        if self.tokens < self._most:
            self.tokens = min(self.tokens + RATIO, self._most)

    def withdraw(self) -> bool:
        """One more is to be sent; False: there were too many."""
        now = self._clock()
        self.tokens = min(self.tokens + (now - self._at) * RATE, self._most)
        self._at = now
        if self.tokens < 1.0:
            return False
        self.tokens -= 1.0
        return True


class Retries:
    """Of one upstream."""

    def __init__(self, methods: Iterable[str], budget: RetryBudget) -> None:
        """`methods`: `/pkg.Service/Method` or `/pkg.Service/*`."""
        raw = [method.encode() for method in methods]
        self._methods = frozenset(raw)
        self._services = frozenset(method[:-1] for method in raw if method.endswith(b"/*"))
        self.budget = budget
        # "sent": once more. Why not: "attempts", "budget", "deadline", "pushback". How calls ended that were:
        # "recovered", "failed".
        self.outcomes: Counter[str] = Counter()

    def of(self, path: bytes) -> "Retry | None":
        """For a new call; None: it is never sent again."""
        if path not in self._methods and path[: path.rindex(b"/") + 1] not in self._services:
            return None
        self.budget.deposit()
        return Retry(self)


class Retry:
    """Of one call."""

    __slots__ = ("_outcomes", "_retries", "sent_again", "tried")

    def __init__(self, retries: Retries) -> None:
        self.tried: tuple[Address, ...] = ()  # where it has failed
        self.sent_again = 0  # times
        self._retries = retries
        self._outcomes = retries.outcomes

    def pause(self, address: Address, metadata: Headers, left: float | None) -> float | None:
        """The call has failed at `address`: seconds until it is sent again, or None. `left`: of its deadline."""
        self.tried += (address,)
        pause = self._pause(len(self.tried), metadata)
        if isinstance(pause, str):
            reason = pause
        elif left is not None and pause >= left:
            reason = "deadline"
        elif not self._retries.budget.withdraw():
            reason = "budget"
        else:
            self._outcomes["sent"] += 1
            self.sent_again += 1
            return pause
        self._outcomes[reason] += 1
        return None

    def _pause(self, attempts: int, metadata: Headers) -> float | str:
        """Seconds, or why not."""
        if attempts >= ATTEMPTS:
            return "attempts"
        pushback = next((value for name, value in metadata if name == PUSHBACK), None)
        if pushback is None:
            longest = min(FIRST * GROWTH ** (attempts - 1), MOST)
            return random.uniform(0.0, longest)  # noqa: S311 - no secret
        seconds = int(pushback) / 1000 if pushback.isdigit() and len(pushback) < 10 else PUSHBACK_MOST
        return seconds if seconds < PUSHBACK_MOST else "pushback"

    def settle(self, code: int) -> None:
        """The call is over."""
        if self.sent_again:
            self._outcomes["failed" if code in RETRYABLE else "recovered"] += 1
