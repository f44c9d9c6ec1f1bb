"""The upstream over grpcio (grpc.aio)."""

from collections.abc import Iterable, Mapping

from gateway.ends import Reply, UpstreamRequest
from gateway.permit import Permit
from gateway.upstream.base import AddressState
from gateway.upstream.call_bound import UNBOUND, CallBound
from gateway.upstream.channels import Channels
from gateway.upstream.credentials import Credentials
from gateway.upstream.grpcio_stream import GrpcioStream


class GrpcioUpstream:
    """One section of `upstreams`, over grpcio."""

    def __init__(self, name: str, channels: Channels, *, max_request: int, bound: CallBound = UNBOUND) -> None:
        """`max_request`: bytes of one request message, decompressed."""
        self.name = name
        self.bound = bound
        self.channels = channels
        self._max_request = max_request
        self.unary_methods: frozenset[bytes] = frozenset()  # raw paths, as far as descriptors tell

    def open(self, permit: Permit, request: UpstreamRequest, reply: Reply) -> GrpcioStream:
        unary = permit.path in self.unary_methods
        return GrpcioStream(self.channels, permit.path, request, reply, self._max_request, unary=unary)

    @property
    def calls(self) -> int:
        return self.channels.calls

    @property
    def connections(self) -> int:
        return sum(state.healthy for state in self.channels.states())

    @property
    def addresses(self) -> Iterable[AddressState]:
        """The targets: grpcio does not show what is behind them."""
        return self.channels.states()

    @property
    def retries(self) -> Mapping[str, int]:
        """grpcio does not count them."""
        return {}

    @property
    def credentials(self) -> Credentials | None:
        return self.channels.credentials

    @property
    def problem(self) -> None:
        """grpcio does not say why it cannot connect, save in the calls that fail."""

    def start(self) -> None:
        self.channels.connect()

    def renew(self) -> bool:
        return self.channels.renew()

    async def reachable(self) -> bool:
        return await self.channels.reachable()

    async def close(self) -> None:
        await self.channels.close()
