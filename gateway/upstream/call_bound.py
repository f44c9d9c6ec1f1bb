"""How many calls one upstream may have at once.

Rule: a backend that hangs keeps its calls until their deadlines, and must not fill the house (`limits.max_calls`) with
them: beside other upstreams, none has more than half of it.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CallBound:
    """Of one upstream."""

    alone: int  # when there is no other upstream
    beside_others: int

    @classmethod
    def of(cls, max_calls: int) -> "CallBound":
        """`max_calls`: of all upstreams together."""
        return cls(max_calls, max(1, max_calls // 2))


UNBOUND = CallBound(2**31, 2**31)
