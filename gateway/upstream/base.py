"""The seam that every upstream fulfils, and the opener that finds the right one.

Rule: an upstream stream opens only with a `Permit` (gateway/permit.py), and dials exactly the path that was permitted.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple, Protocol

import structlog

from gateway.ends import Reply, UpstreamRequest, UpstreamStream
from gateway.permit import Permit, Refusal
from gateway.protocol.status import Code, Status
from gateway.seldom import Seldom
from gateway.settings.route import HEALTH_SERVICE, route
from gateway.upstream.call_bound import CallBound
from gateway.upstream.connect_error import ConnectError
from gateway.upstream.credentials import Credentials

log = structlog.get_logger("gateway.upstream")

NO_ROUTE = Refusal(Status(Code.UNIMPLEMENTED, "no such method"), "no_upstream")
FULL = Refusal(Status(Code.UNAVAILABLE, "too many calls at once for this backend"), "upstream_full")
REACHABLE_TIMEOUT = 2.0  # seconds for `reachable`


class AddressState(NamedTuple):
    """One address of an upstream, as it is now."""

    address: str
    healthy: bool  # connected, and serving as far as that is asked
    ejected: bool  # left alone for a while, because it has failed


class Upstream(Protocol):
    """One section of `upstreams`: some targets that serve the same services."""

    name: str
    bound: CallBound  # of calls

    @property
    def calls(self) -> int: ...  # going on
    @property
    def connections(self) -> int: ...  # that stand
    @property
    def addresses(self) -> Iterable[AddressState]: ...
    @property
    def retries(self) -> Mapping[str, int]: ...  # of idempotent methods, by outcome (Retries.outcomes)
    @property
    def credentials(self) -> Credentials | None: ...  # those in use; None: plaintext
    @property
    def problem(self) -> ConnectError | None: ...  # why, and where, the last attempt to connect failed, if it is known
    def start(self) -> None: ...  # connect, from here on; needs a running loop
    def open(self, permit: Permit, request: UpstreamRequest, reply: Reply) -> UpstreamStream | Refusal: ...
    def renew(self) -> bool: ...  # reads the certificates again; True: they had changed. Raises CertificateError
    async def reachable(self) -> bool: ...  # within REACHABLE_TIMEOUT
    async def close(self) -> None: ...  # every connection, calls included


class Upstreams:
    """The `Opener`: service of the path -> upstream."""

    def __init__(self, upstreams: Mapping[str, Upstream], services: Mapping[str, str]) -> None:
        """`services`: `pkg.Service`, `pkg.*` or `*` -> name of the upstream."""
        self.by_name = dict(upstreams)
        self._services = dict(services)
        self._alone = len(self.by_name) == 1
        self._full = {name: Seldom() for name in self.by_name}
        self._find = lru_cache(maxsize=4096)(self._look_up)

    def routed(self, path: bytes) -> bool:
        return self._find(path) is not None

    def name_of(self, path: bytes) -> str:
        upstream = self._find(path)
        return "" if upstream is None else upstream.name

    def open(self, permit: Permit, request: UpstreamRequest, reply: Reply) -> UpstreamStream | Refusal:
        upstream = self._find(permit.path)
        if upstream is None:
            return NO_ROUTE
        bound = upstream.bound
        if upstream.calls >= (bound.alone if self._alone else bound.beside_others):
            self._tell_full(upstream)
            return FULL
        return upstream.open(permit, request, reply)

    def _tell_full(self, upstream: Upstream) -> None:
        if self._full[upstream.name].count():
            log.warning("upstream_full", upstream=upstream.name, calls=upstream.calls)

    def _look_up(self, path: bytes) -> Upstream | None:
        service = path.split(b"/")[1].decode("ascii")
        if (name := route(service, self._services)) is not None:
            return self.by_name[name]
        # With a single upstream it is clear whose is meant.
        if service == HEALTH_SERVICE and len(self.by_name) == 1:
            return next(iter(self.by_name.values()))
        return None
