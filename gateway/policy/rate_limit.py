"""One entry of `limits.rate`: what it counts, how often that may come, and when a refused call may come again.

`limit: 100/second, burst: 200` is a window of 200 calls in 2 s (burst / limit), counted by the strategy of the library
`limits` that is called sliding window counter: a call passes if the calls of this window, and those of the window
before by the share of it that is not over yet, are fewer than the burst. What that promises:
- In any stretch of t seconds at most `burst` + `limit`·t calls pass, as with a token bucket.
- Who calls evenly below the limit is never refused.
- Stricter than a bucket: a burst that comes all at once is paid for before the next call passes, so up to burst/limit
  (here 2 s) of refusals follow it.
It costs two numbers a key and one step a call. The library's moving window keeps an entry for each call of the window
and compares the clocks of replicas, its fixed window lets two bursts through where windows meet.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Literal, Protocol

from gateway.permit import Refusal
from gateway.protocol.retry_info import pushback, with_retry_info
from gateway.protocol.status import Code, Status
from gateway.settings.limits import Rate

TOO_OFTEN = {
    "peer": Refusal(Status(Code.RESOURCE_EXHAUSTED, "too many calls from this address"), "rate_peer"),
    "subject": Refusal(Status(Code.RESOURCE_EXHAUSTED, "too many calls of this subject"), "rate_subject"),
    "method": Refusal(Status(Code.RESOURCE_EXHAUSTED, "too many calls of this method"), "rate_method"),
}
JUST_AFTER = 0.001  # seconds: a window is over a moment after its last one

Window = tuple[int, float, int, float]  # `limits` tells: calls before, seconds left of them, calls now, seconds left


@dataclass(frozen=True, slots=True)
class RateLimit:
    """At most `calls` in a window of `seconds`."""

    key: Literal["subject", "peer", "method"]
    calls: int
    seconds: float
    name: str  # of what is counted, for the storage

    @classmethod
    def of(cls, rate: Rate) -> "RateLimit":
        seconds = _exact(rate.window)
        return cls(rate.key, rate.most, seconds, f"{rate.key}/{rate.most}/{seconds:g}s")

    def wait(self, window: Window) -> float:
        """Seconds until the next call can pass."""
        before, left_of_before, now, left_of_now = window
        if now < self.calls:
            weight = (self.calls - now) / before if before else 1.0
            return max(left_of_before - self.seconds * weight, 0.0) + JUST_AFTER
        until_next = left_of_now - self.seconds
        return until_next + self.seconds * (1 - self.calls / now) + JUST_AFTER

    def refusal(self, seconds: float) -> Refusal:
        """The answer to a call that may come again in `seconds`."""
        refused = TOO_OFTEN[self.key]
        return replace(refused, status=with_retry_info(refused.status, seconds), metadata=(pushback(seconds),))


class Counts(Protocol):
    """Where calls are counted."""

    def take(self, due: "Sequence[Due]", then: "Callable[[Refusal | None], None]") -> None:
        """Count a call by each in turn. `then` is told None, or the refusal of the first that has no room for it."""

    async def start(self) -> None: ...
    async def close(self) -> None: ...


Due = tuple[RateLimit, str]  # a limit, and whom it counts


def _exact(seconds: float) -> float:
    """Rounded up to milliseconds, which the library's script for Redis must find again when it multiplies by 1000."""
    milliseconds = ceil(round(seconds * 1000, 6))
    while milliseconds / 1000 * 1000 != milliseconds:
        milliseconds += 1
    return milliseconds / 1000
