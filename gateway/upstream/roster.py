"""Which connections of an upstream take calls.

Rules
- Ready is a connection whose backend is serving (health.py) and whose address is not ejected (outlier.py). When only
  ejected ones are left they are taken all the same: a suspect is better than nobody.
- A backend that is not serving gets no call, even when no other is left: it has said so itself.
"""

import asyncio
from collections.abc import Callable, Iterator

import structlog

from gateway.settings import OutlierDetection
from gateway.upstream.backend_link import BackendLink
from gateway.upstream.base import AddressState
from gateway.upstream.health import HealthWatch
from gateway.upstream.outlier import Outlier, Outliers
from gateway.upstream.resolver import Address

log = structlog.get_logger("gateway.upstream")


class Roster:
    """Of one upstream."""

    def __init__(self, upstream: str, outliers: OutlierDetection | None, changed: Callable[[], None]) -> None:
        """`changed` is called when `select` may find others than before."""
        self.ready: list[BackendLink] = []
        self.standing: list[BackendLink] = []  # those that are connected, and not retired
        self.any_ready = asyncio.Event()
        self._upstream = upstream
        self._changed = changed
        self._addresses: set[Address] = set()
        self._outliers = None if outliers is None else Outliers(upstream, outliers, changed)
        self._told_unchecked = False

    def add(self, link: BackendLink) -> None:
        self.standing.append(link)

    def remove(self, link: BackendLink) -> None:
        if link in self.standing:
            self.standing.remove(link)
            self.select()

    def select(self) -> None:
        """Find those that are ready."""
        serving = [link for link in self.standing if link.serving]
        self.ready[:] = [link for link in serving if not self._ejected(link.address)] or serving
        if self.ready:
            self.any_ready.set()
        else:
            self.any_ready.clear()

    def keep(self, addresses: set[Address]) -> None:
        """These are the upstream's, and no others."""
        self._addresses = addresses
        if self._outliers is not None:
            self._outliers.keep(addresses)

    def close(self) -> None:
        """Nothing changes any more."""
        if self._outliers is not None:
            self._outliers.close()
        self.standing.clear()
        self.select()

    # -- addresses -----------------------------------------------------------------------------------------------

    @property
    def addresses(self) -> Iterator[AddressState]:
        """How each is now."""
        serving = {link.address for link in self.standing if link.serving}
        for address in self._addresses:
            yield AddressState(str(address), healthy=address in serving, ejected=self._ejected(address))

    def outlier(self, address: Address) -> Outlier | None:
        """What the address is held for, where failures are counted."""
        return None if self._outliers is None else self._outliers.of(address)

    def _ejected(self, address: Address) -> bool:
        return self._outliers is not None and self._outliers.ejected(address)

    # -- health --------------------------------------------------------------------------------------------------

    def health_told(self, link: BackendLink, watch: HealthWatch) -> None:
        """A backend has said whether it is serving."""
        told = {"upstream": self._upstream, "address": str(link.address)}
        if watch.problem:
            log.warning("backend_unhealthy", **told, problem=watch.problem)
        elif watch.supported:
            log.info("backend_healthy", **told)
        elif not self._told_unchecked:
            self._told_unchecked = True  # once, for its like have none either
            log.warning("backend_unchecked", **told, problem="it has no grpc.health.v1")
        if link in self.standing:
            self._changed()
