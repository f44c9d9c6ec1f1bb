"""Outcomes of tokens that were checked before.

Rule: bounded, the oldest goes first; nothing is believed beyond its time, or longer than the keys that it was checked
with. It lives in memory only, by the very bytes of the token: a hash would cost more than the rest of a look-up.
"""

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

Outcome = TypeVar("Outcome")


class Generation(Protocol):
    """What an outcome rests on. It stands as long as the number does."""

    generation: int


class TokenCache(Generic[Outcome]):
    """At most `size` outcomes. `now` gives seconds since the epoch."""

    def __init__(self, size: int, now: Callable[[], float]) -> None:
        self._size = size
        self._now = now
        self._entries: dict[bytes, tuple[Outcome, float, Generation | None, int]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, token: bytes) -> Outcome | None:
        entry = self._entries.get(token)
        if entry is None:
            return None
        outcome, until, basis, generation = entry
        if until > self._now() and (basis is None or basis.generation == generation):
            return outcome
        del self._entries[token]
        return None

    def put(self, token: bytes, outcome: Outcome, until: float, basis: Generation | None = None) -> None:
        """Keep `outcome` while now < `until` and `basis` does not change."""
        if until <= self._now():
            return
        self._entries.pop(token, None)
        if len(self._entries) >= self._size:
            del self._entries[next(iter(self._entries))]
        self._entries[token] = (outcome, until, basis, basis.generation if basis is not None else 0)
