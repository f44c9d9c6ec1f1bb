"""The upstream over HTTP/2 itself."""

from collections.abc import Iterable, Mapping

from gateway.ends import Reply, UpstreamRequest
from gateway.permit import Permit, Refusal
from gateway.upstream.base import REACHABLE_TIMEOUT, AddressState
from gateway.upstream.call_bound import UNBOUND, CallBound
from gateway.upstream.connect_error import ConnectError
from gateway.upstream.credentials import Credentials
from gateway.upstream.h2_stream import H2Stream, MessageLimits
from gateway.upstream.idempotent_stream import IdempotentStream
from gateway.upstream.pool import Pool
from gateway.upstream.retries import Retries


class H2Upstream:
    """One section of `upstreams`, over HTTP/2."""

    def __init__(
        self,
        name: str,
        pool: Pool,
        limits: MessageLimits,
        *,
        bound: CallBound = UNBOUND,
        retries: Retries | None = None,
    ) -> None:
        """`retries`: of methods that are idempotent, if there are any."""
        self.name = name
        self.bound = bound
        self.pool = pool
        self._limits = limits
        self._retries = retries

    @property
    def calls(self) -> int:
        return self.pool.calls

    @property
    def connections(self) -> int:
        return len(self.pool.roster.standing)

    @property
    def addresses(self) -> Iterable[AddressState]:
        return self.pool.roster.addresses

    @property
    def retries(self) -> Mapping[str, int]:
        return {} if self._retries is None else self._retries.outcomes

    @property
    def credentials(self) -> Credentials | None:
        return self.pool.credentials

    @property
    def problem(self) -> ConnectError | None:
        return self.pool.problem

    def start(self) -> None:
        self.pool.start()

    def renew(self) -> bool:
        return self.pool.renew()

    def open(self, permit: Permit, request: UpstreamRequest, reply: Reply) -> H2Stream | Refusal:
        pool, retries = self.pool, self._retries
        retry = None if retries is None else retries.of(permit.path)
        if retry is None:
            stream = H2Stream(pool, permit.path, request, reply, self._limits)
        else:
            stream = IdempotentStream(pool, permit.path, request, reply, self._limits, retry=retry)
        refusal = pool.assign(stream)
        if refusal is not None:
            return refusal
        pool.calls += 1
        return stream

    async def reachable(self) -> bool:
        return await self.pool.reachable(REACHABLE_TIMEOUT)

    async def close(self) -> None:
        await self.pool.close()
