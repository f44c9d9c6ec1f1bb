"""Addresses that fail again and again are left alone for a while (passive health checks; the shape is of gRFC A50).

Rules
- Counted in a row: UNAVAILABLE, a stream that the backend broke or refused, a lost connection that had calls. The last
  is one failure however many calls it had, for it is one event. A status of the application is a success.
- A deadline that passes is no failure: callers choose them, and could shut a good backend out.
- At most half of an upstream's addresses are ejected at once: when more than that fail, the fault is elsewhere.
- An ejected address gets no new call; those that it has go on. Each time it is ejected longer, up to `MOST` times
  `eject_for`; one that has stood as long as it was away begins anew.
"""

import asyncio
from collections.abc import Callable, Set

import structlog

from gateway.settings import OutlierDetection
from gateway.upstream.resolver import Address

log = structlog.get_logger("gateway.upstream")

MOST = 10  # times `eject_for`


class Outlier:
    """What one address is held for."""

    __slots__ = ("_outliers", "address", "away", "back_at", "failures", "return_timer")

    def __init__(self, address: Address, outliers: "Outliers") -> None:
        self.address = address
        self.failures = 0  # in a row
        self.away = 0.0  # seconds, of its last ejection
        self.back_at = 0.0  # loop time of the end of that
        self.return_timer: asyncio.TimerHandle | None = None
        self._outliers = outliers

    @property
    def ejected(self) -> bool:
        return self.return_timer is not None

    def note(self, *, failed: bool) -> None:
        """How it did."""
        if not failed:
            self.failures = 0
            return
        self.failures += 1
        if self.failures >= self._outliers.limit and not self.ejected:
            self._outliers.consider(self)


class Outliers:
    """The addresses of one upstream."""

    def __init__(self, upstream: str, settings: OutlierDetection, changed: Callable[[], None]) -> None:
        """`changed` is called when an address was ejected, or is back. Needs a running loop later on."""
        self.limit = settings.consecutive_failures
        self._upstream = upstream
        self._eject_for = settings.eject_for
        self._changed = changed
        self._known: dict[Address, Outlier] = {}

    def of(self, address: Address) -> Outlier | None:
        return self._known.get(address)

    def keep(self, addresses: Set[Address]) -> None:
        """These are the upstream's, and no others."""
        for address in self._known.keys() - addresses:
            _stop(self._known.pop(address))
        for address in addresses - self._known.keys():
            self._known[address] = Outlier(address, self)

    def ejected(self, address: Address) -> bool:
        outlier = self._known.get(address)
        return outlier is not None and outlier.ejected

    def consider(self, outlier: Outlier) -> None:
        """It has failed too often: eject it, unless too many are."""
        away = sum(each.ejected for each in self._known.values())
        if self._known.get(outlier.address) is not outlier or (away + 1) * 2 > len(self._known):
            return
        loop = asyncio.get_running_loop()
        stood = loop.time() - outlier.back_at
        longer = outlier.away + self._eject_for if stood < outlier.away else self._eject_for
        outlier.away = min(longer, MOST * self._eject_for)
        outlier.return_timer = loop.call_later(outlier.away, self._take_back, outlier)
        log.warning(
            "backend_ejected",
            upstream=self._upstream,
            address=str(outlier.address),
            failures=outlier.failures,
            seconds=outlier.away,
        )
        self._changed()

    def close(self) -> None:
        self.keep(frozenset())

    def _take_back(self, outlier: Outlier) -> None:
        outlier.return_timer = None
        outlier.failures = 0
        outlier.back_at = asyncio.get_running_loop().time()
        log.info("backend_returned", upstream=self._upstream, address=str(outlier.address))
        self._changed()


def _stop(outlier: Outlier) -> None:
    if outlier.return_timer is not None:
        outlier.return_timer.cancel()
        outlier.return_timer = None
