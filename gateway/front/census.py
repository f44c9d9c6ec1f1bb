"""What goes on in all fronts together: connections and calls, for limits, metrics, the tick and the drain."""

import asyncio

import structlog

from gateway.call import Call
from gateway.protocol.status import Status
from gateway.seldom import Seldom

log = structlog.get_logger("gateway.front")


class Census:
    """Connections and calls of one gateway."""

    def __init__(self, max_connections: int) -> None:
        self.connections = 0
        self.draining = False
        self.calls: set[Call] = set()
        self.max_connections = max_connections
        self._refused = Seldom()
        self._empty: asyncio.Future[None] | None = None

    def connected(self) -> bool:
        """One connection more; False: it is one too many. `disconnected` follows either way."""
        self.connections += 1
        if self.connections <= self.max_connections:
            return True
        if connections := self._refused.count():
            log.warning("connection_refused", reason="max_connections", connections=connections)
        return False

    def disconnected(self) -> None:
        self.connections -= 1

    def begun(self, call: Call) -> None:
        self.calls.add(call)

    def over(self, call: Call) -> None:
        """Nothing of the call is left in its front."""
        self.calls.discard(call)
        if self._empty is not None and not self.calls and not self._empty.done():
            self._empty.set_result(None)

    def tick(self) -> None:
        """About once a second."""
        for call in tuple(self.calls):
            call.tick()

    def end_all(self, status: Status, reason: str) -> None:
        for call in tuple(self.calls):
            call.fail(status, reason)

    async def until_empty(self, seconds: float) -> None:
        """Return when no call goes on any more, or after `seconds`."""
        if self.calls:
            self._empty = asyncio.get_running_loop().create_future()
            await asyncio.wait([self._empty], timeout=seconds)
