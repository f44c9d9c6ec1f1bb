"""How many calls one upstream may have at once.

Rule: a backend that hangs keeps its calls until their deadlines, and must not fill the house (`limits.max_calls`) with
them: beside other upstreams, none has more than half of it, unless its own `max_calls` says otherwise.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CallBound:
    """Of one upstream."""

    alone: int  # when there is no other upstream
    beside_others: int

    @classmethod
    def of(cls, house: int, own: int | None = None) -> "CallBound":
        """`house`: `limits.max_calls`; `own`: `max_calls` of the upstream."""
        return cls(house, max(1, house // 2)) if own is None else cls(own, own)


UNBOUND = CallBound(2**31, 2**31)
