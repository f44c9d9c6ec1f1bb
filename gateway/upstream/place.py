"""A place for one connection to one address: connected, as long as the address is one of the upstream's.

Rules
- A place has one task, which connects, waits until the connection takes no new call, and connects again.
- Where health is checked, a connection takes calls once its backend has said that it is serving.
- Renewed certificates, and a backend that takes its leave, replace a connection: the old one is retired when the new
  one is ready, and closes with its last call.
"""

import asyncio
from typing import TYPE_CHECKING

import structlog

from gateway.tasks import lasting
from gateway.upstream.backend_link import BackendLink, dial
from gateway.upstream.backoff import Backoff
from gateway.upstream.connect_error import ConnectError
from gateway.upstream.health import HealthWatch
from gateway.upstream.resolver import Address, Target

if TYPE_CHECKING:
    from gateway.upstream.pool import Pool

log = structlog.get_logger("gateway.upstream")


class Place:
    """One of `connections` to one address. Needs a running loop."""

    def __init__(self, pool: "Pool", target: Target, address: Address, backoff: Backoff) -> None:
        self.address = address
        self.problem = ""  # why the last attempt failed; empty: it did not
        self._pool = pool
        self._target = target
        self._backoff = backoff
        self._link: BackendLink | None = None
        self._changed = asyncio.Event()  # the link may be retired, or the certificates renewed
        self.task = lasting(self._keep())

    @property
    def hopeful(self) -> bool:
        """It may be ready soon."""
        link = self._link
        stands_idle = link is not None and not link.retired and not link.serving
        return not self.problem and not self.task.done() and not stands_idle

    def renew(self) -> None:
        """The certificates have changed."""
        self._changed.set()

    def abandon(self) -> None:
        """The address is none of the upstream's any more."""
        self.task.cancel()
        if self._link is not None:
            self._link.retire()

    # -- the connection's Keeper ---------------------------------------------------------------------------------

    def room(self) -> None:
        self._pool.serve_waiting()

    def retired(self, link: BackendLink) -> None:
        self._pool.retired(link)
        self._changed.set()

    def lost(self, link: BackendLink) -> None:
        if link.calls:
            log.warning("backend_lost", upstream=self._pool.name, address=str(self.address), calls=link.calls)
            if link.outlier is not None:
                link.outlier.note(failed=True)
        self._pool.lost(link)

    # -- the task ------------------------------------------------------------------------------------------------

    async def _keep(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            lasted = 0.0
            context = self._pool.context
            try:
                link = await self._connect()
            except ConnectError as error:
                self._failed(error)
            else:
                since = clock()
                while not link.retired and self._pool.context is context:
                    self._changed.clear()
                    await self._changed.wait()
                lasted = clock() - since
            if pause := self._backoff.pause(lasted):
                await asyncio.sleep(pause)
            else:
                self._pool.resolve_soon()

    async def _connect(self) -> BackendLink:
        link = await dial(self.address, self._pool.dialling(self._target), self)
        link.outlier = self._pool.roster.outlier(self.address)
        if self._pool.checks_health:
            await self._ask(link)
        if not link.retired:
            self._use(link)
        if link.retired:  # before or after the first call found it so
            raise ConnectError("the backend took its leave at once")
        self.problem = ""
        return link

    async def _ask(self, link: BackendLink) -> None:
        """Return when the backend has said whether it is serving, or will not; from then on each change is told."""
        roster = self._pool.roster
        watch = link.watch = HealthWatch(link, lambda: roster.health_told(link, watch))
        try:
            watch.start()
            await watch.known.wait()
        except BaseException:
            link.abandon()
            raise

    def _use(self, link: BackendLink) -> None:
        if self._link is not None:
            self._link.retire()
        self._link = link
        self._pool.add(link)

    def _failed(self, error: ConnectError) -> None:
        if str(error) != self.problem:
            self.problem = str(error)
            self._pool.report(str(self.address), error)
        self._pool.attempt_failed()
