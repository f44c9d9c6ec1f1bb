"""Whether something that has to move does, as far as one can tell by looking at it now and then."""


class Standstill:
    """The clock of what stands still. Every call has some, few are ever looked at: so it is made of nothing."""

    since = 0.0  # when it was last seen to have moved
    _seen: tuple[int, ...] = ()

    def look(self, now: float, *progress: int, excused: bool = False) -> float:
        """Seconds that `progress` has been what it is now; 0 at the first look, and while it is `excused`."""
        if excused or progress != self._seen:
            self._seen, self.since = progress, now
        return now - self.since
