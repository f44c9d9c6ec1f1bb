"""The pauses between attempts to connect (gRPC's "Connection Backoff Protocol").

Rule: none after a connection that stood; else longer and longer ones, with jitter, so that many gateways which lost the
same backend do not come back at once.
"""

import random

GROWTH, JITTER = 1.6, 0.2


class Backoff:
    """All times in seconds."""

    def __init__(self, *, first: float, most: float, stood: float) -> None:
        """`stood`: after which time a connection counts as one that stood."""
        self._first = self._next = first
        self._most = most
        self._stood = stood

    def pause(self, lasted: float = 0.0) -> float:
        """Before the next attempt; `lasted`: the time of the connection, if there was one."""
        if lasted >= self._stood:
            self._next = self._first
            return 0.0
        pause, self._next = self._next, min(self._next * GROWTH, self._most)
        return pause * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - no secret
