"""How old a connection may become before it is told to go, so that its client comes back and is balanced anew.

Rules
- Each has its own share of the age, within `JITTER`: connections that came together do not go, and come back, at once.
- A front looks about once a second, which costs calls nothing. A changed age holds for connections that are there.
"""

import random

JITTER = 0.1


class Age:
    """Of one connection."""

    __slots__ = ("_made_at", "_share")

    def __init__(self, now: float) -> None:
        """`now`: the loop's time at which the connection was made."""
        self._made_at = now
        self._share = random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - spreads connections, guards nothing

    def exceeds(self, most: float | None, now: float) -> bool:
        """Whether the connection is older than its share of `most` seconds; never than None."""
        return most is not None and now - self._made_at >= most * self._share
