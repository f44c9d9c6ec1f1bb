"""What goes on in all fronts together: connections and calls, for limits, metrics, the tick and the drain."""

import asyncio
import contextlib
from typing import TypeVar

import structlog

from gateway.call import Call
from gateway.protocol.status import Status
from gateway.seldom import Seldom

log = structlog.get_logger("gateway.front")

Member = TypeVar("Member")


class Gathering(set[Member]):
    """Who is there, and when they all have left."""

    def __init__(self) -> None:
        super().__init__()
        self._all_left = asyncio.Event()

    def leave(self, member: Member) -> None:
        """It may have left before."""
        self.discard(member)
        if not self:
            self._all_left.set()

    async def until_empty(self, seconds: float) -> None:
        """Return when nobody is there any more, or after `seconds`."""
        if self:
            self._all_left.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._all_left.wait()


class Census:
    """Connections and calls of one gateway."""

    def __init__(self, max_connections: int, max_connection_age: float | None = None) -> None:
        """`max_connection_age`: seconds after which a connection is told to go."""
        self.connections = 0
        self.draining = False
        self.calls: Gathering[Call] = Gathering()
        self.max_connections = max_connections
        self.max_connection_age = max_connection_age
        self._refused = Seldom()

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
        self.calls.leave(call)

    def tick(self) -> None:
        """About once a second."""
        for call in tuple(self.calls):
            call.tick()

    def end_all(self, status: Status, reason: str) -> None:
        for call in tuple(self.calls):
            call.fail(status, reason)

    async def until_empty(self, seconds: float) -> None:
        """Return when no call goes on any more, or after `seconds`."""
        await self.calls.until_empty(seconds)
