"""What goes on in all fronts together: connections and calls, for limits, metrics, the tick and the drain."""

import asyncio
import contextlib

import structlog

from gateway.call import Call
from gateway.protocol.status import Status
from gateway.seldom import Seldom

log = structlog.get_logger("gateway.front")

DRAIN_NOTICE = 1.0  # seconds for a peer to hear of a drain: what it sends until then was on its way, and is answered


class Census:
    """Connections and calls of one gateway."""

    def __init__(self, max_connections: int, max_connection_age: float | None = None) -> None:
        """`max_connection_age`: seconds after which a connection is told to go."""
        self.connections = 0
        self.draining = False
        self.calls: set[Call] = set()
        self.max_connections = max_connections
        self.max_connection_age = max_connection_age
        self._refused = Seldom()
        self._some_left = asyncio.Event()

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
        if not self.connections:
            self._some_left.set()

    def begun(self, call: Call) -> None:
        self.calls.add(call)

    def over(self, call: Call) -> None:
        """Nothing of the call is left in its front."""
        self.calls.discard(call)
        if not self.calls:
            self._some_left.set()

    def tick(self) -> None:
        """About once a second."""
        for call in tuple(self.calls):
            call.tick()

    def end_all(self, status: Status, reason: str) -> None:
        for call in tuple(self.calls):
            call.fail(status, reason)

    async def until_empty(self, seconds: float) -> None:
        """Return when there is neither a call nor a connection any more, or after `seconds`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.calls or self.connections:
                    self._some_left.clear()
                    await self._some_left.wait()
