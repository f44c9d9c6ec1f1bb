"""Which of several connections the next call takes.

Rule: one without room (the peer's limit of streams) is passed over; none is asked twice.
"""

from collections.abc import Sequence
from random import randrange
from typing import Protocol, TypeVar


class Bearer(Protocol):
    """A connection that bears calls."""

    @property
    def load(self) -> int: ...  # calls on it
    @property
    def has_room(self) -> bool: ...


B = TypeVar("B", bound=Bearer)


class Balancer(Protocol):
    def pick(self, bearers: Sequence[B]) -> B | None: ...


class RoundRobin:
    """One after the other."""

    def __init__(self) -> None:
        self._turn = 0

    def pick(self, bearers: Sequence[B]) -> B | None:
        for _ in bearers:
            self._turn = (self._turn + 1) % len(bearers)
            bearer = bearers[self._turn]
            if bearer.has_room:
                return bearer
        return None


class LeastRequest:
    """The one of two, chosen by chance, that bears fewer calls ("the power of two choices")."""

    def pick(self, bearers: Sequence[B]) -> B | None:
        if len(bearers) > 1:
            first = randrange(len(bearers))  # noqa: S311 - no secret
            second = (first + randrange(1, len(bearers))) % len(bearers)  # noqa: S311
            lighter = min(bearers[first], bearers[second], key=_load)
            if lighter.has_room:
                return lighter
        return min((bearer for bearer in bearers if bearer.has_room), key=_load, default=None)


def _load(bearer: Bearer) -> int:
    return bearer.load


BALANCERS: dict[str, type[RoundRobin] | type[LeastRequest]] = {
    "round_robin": RoundRobin,
    "least_request": LeastRequest,
}
