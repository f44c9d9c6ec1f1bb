"""The seam that every upstream fulfils, and the opener that finds the right one.

Rule: an upstream stream opens only with a `Permit` (gateway/permit.py), and dials exactly the path that was permitted.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Protocol

from gateway.ends import Reply, UpstreamRequest, UpstreamStream
from gateway.permit import Permit
from gateway.protocol.status import Code, Status
from gateway.upstream.credentials import Credentials

NO_ROUTE = Status(Code.UNIMPLEMENTED, "no such method")
HEALTH_SERVICE = "grpc.health.v1.Health"


class Upstream(Protocol):
    """One section of `upstreams`: some targets that serve the same services."""

    name: str

    @property
    def credentials(self) -> Credentials | None: ...  # those in use; None: plaintext
    @property
    def problem(self) -> str: ...  # why the last attempt to connect failed, if that is known
    def start(self) -> None: ...  # connect, from here on; needs a running loop
    def open(self, permit: Permit, request: UpstreamRequest, reply: Reply) -> UpstreamStream | Status: ...
    def renew(self) -> bool: ...  # reads the certificates again; True: they had changed. Raises CertificateError
    async def reachable(self) -> bool: ...  # within two seconds
    async def close(self) -> None: ...  # every connection, calls included


class Upstreams:
    """The `Opener`: service of the path -> upstream."""

    def __init__(self, upstreams: Mapping[str, Upstream], services: Mapping[str, str]) -> None:
        """`services`: `pkg.Service`, `pkg.*` or `*` -> name of the upstream."""
        self.by_name = dict(upstreams)
        self._services = dict(services)
        self._find = lru_cache(maxsize=4096)(self._look_up)

    def routed(self, path: bytes) -> bool:
        return self._find(path) is not None

    def open(self, permit: Permit, request: UpstreamRequest, reply: Reply) -> UpstreamStream | Status:
        upstream = self._find(permit.path)
        return NO_ROUTE if upstream is None else upstream.open(permit, request, reply)

    def _look_up(self, path: bytes) -> Upstream | None:
        """The most particular route wins: the service itself, then the longest `pkg.*`, then `*`."""
        service = path.split(b"/")[1].decode("ascii")
        patterns = [service]
        package = service
        while "." in package:
            package = package.rpartition(".")[0]
            patterns.append(package + ".*")
        for pattern in (*patterns, "*"):
            if (name := self._services.get(pattern)) is not None:
                return self.by_name[name]
        # Health belongs to no package of the user's: with a single upstream it is clear whose is meant.
        if service == HEALTH_SERVICE and len(self.by_name) == 1:
            return next(iter(self.by_name.values()))
        return None
