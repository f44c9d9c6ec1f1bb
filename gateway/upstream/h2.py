"""The upstream over HTTP/2 itself."""

from gateway.ends import Reply, UpstreamRequest
from gateway.permit import Permit
from gateway.protocol.status import Status
from gateway.upstream.credentials import Credentials
from gateway.upstream.h2_stream import H2Stream, MessageLimits
from gateway.upstream.pool import Pool

REACHABLE_TIMEOUT = 2.0  # seconds


class H2Upstream:
    """One section of `upstreams`, over HTTP/2."""

    def __init__(self, name: str, pool: Pool, limits: MessageLimits) -> None:
        self.name = name
        self.pool = pool
        self._limits = limits

    @property
    def credentials(self) -> Credentials | None:
        return self.pool.credentials

    @property
    def problem(self) -> str:
        return self.pool.problem

    def start(self) -> None:
        self.pool.start()

    def renew(self) -> bool:
        return self.pool.renew()

    def open(self, permit: Permit, request: UpstreamRequest, reply: Reply) -> H2Stream | Status:
        stream = H2Stream(self.pool, permit.path, request, reply, self._limits)
        return self.pool.place(stream) or stream.opened() or stream

    async def reachable(self) -> bool:
        return await self.pool.reachable(REACHABLE_TIMEOUT)

    async def close(self) -> None:
        await self.pool.close()
