"""The connections of one upstream: `connections` to each address of each target, kept, spread over and renewed.

    targets ─▶ addresses (asked for again) ─▶ a place for each connection ─▶ ready connections ─▶ balancer ─▶ a call

Rules
- A place has one task, which connects, waits until the connection is gone, and connects again: at once after one that
  stood, with backoff and jitter after one that failed.
- A call takes a ready connection with room. Without one it waits, as long as some place is on its way; when the last
  of them has failed there is nobody to wait for, and it fails.
- Renewed certificates, and a backend that takes its leave, replace a connection: the old one is retired when the new
  one is ready, and closes with its last call.
"""

import asyncio
import random
import ssl
from typing import Protocol

import structlog

from gateway.protocol.metadata import Header
from gateway.protocol.status import Code, Status
from gateway.settings import Upstream as UpstreamSettings
from gateway.tasks import lasting
from gateway.upstream import resolver
from gateway.upstream.backend_link import BackendLink, ConnectError, Dialling, dial
from gateway.upstream.balancer import BALANCERS, Balancer
from gateway.upstream.credentials import client_context, load_credentials
from gateway.upstream.resolver import Address, Target

log = structlog.get_logger("gateway.upstream")

RESOLVE_INTERVAL = 30.0  # seconds between two questions to the resolver
RESOLVE_AGAIN = 1.0  # seconds, after a connection was lost
BACKOFF, BACKOFF_GROWTH, BACKOFF_MOST, JITTER = 0.2, 1.6, 5.0, 0.2
STOOD = 1.0  # seconds after which a connection counts as one that stood
MAX_WAITING = 1000  # calls that wait for a connection or for room on one
CLOSE_TIMEOUT = 0.1  # seconds for goodbyes
LOCAL = "localhost"  # the name of a Unix socket, unless `server_name` gives another

UNREACHABLE = Status(Code.UNAVAILABLE, "the backend cannot be reached")
CROWDED = Status(Code.UNAVAILABLE, "too many calls wait for the backend")


class Waiting(Protocol):
    """A call that needs a connection."""

    def begin(self, link: BackendLink) -> None: ...
    def fail(self, status: Status) -> None: ...


class Place:
    """One of `connections` to one address."""

    def __init__(self, pool: "Pool", target: Target, address: Address) -> None:
        self.target = target
        self.address = address
        self.link: BackendLink | None = None
        self.problem = ""  # why the last attempt failed; empty: it did not
        self.wake = asyncio.Event()  # another connection is needed
        self._pool = pool
        self.task = lasting(pool.keep(self))

    def room(self) -> None:
        self._pool.serve_waiting()

    def left(self, link: BackendLink) -> None:
        self._pool.left(link)
        if link is self.link:
            self.wake.set()

    def lost(self, link: BackendLink) -> None:
        if link.streams:
            log.warning("backend_lost", upstream=self._pool.name, address=str(self.address), calls=len(link.streams))
        self._pool.lost(link)

    def abandon(self) -> None:
        self.task.cancel()
        if self.link is not None:
            self.link.retire()


class Pool:
    """The connections of one upstream."""

    def __init__(self, name: str, settings: UpstreamSettings, user_agent: str) -> None:
        """Reads the certificates; raises CertificateError."""
        self.name = name
        self.problem = ""  # of the last attempt to connect that failed
        self.ready: list[BackendLink] = []
        self.waiting: dict[Waiting, None] = {}  # in order of arrival
        self._settings = settings
        self._user_agent: Header = (b"user-agent", user_agent.encode())
        self._balancer: Balancer = BALANCERS[settings.balance]()
        self._targets = [resolver.parse(text) for text in settings.targets]
        self._unresolved = set(self._targets)  # asked for, and not answered yet
        self._places: dict[tuple[Target, Address], list[Place]] = {}
        self._resolve_now = asyncio.Event()
        self._any_ready = asyncio.Event()
        self._links: set[BackendLink] = set()  # retired ones too
        self._tasks: list[asyncio.Task[None]] = []
        self.credentials = load_credentials(settings)
        self._context = self._make_context()

    def start(self) -> None:
        """Connect to everything, and stay connected. Needs a running loop."""
        if not self._tasks:
            self._tasks = [lasting(self._resolve(target)) for target in self._targets]
            self._tasks.append(lasting(self._tick()))

    def renew(self) -> bool:
        """Read the certificates again; True: they had changed and are in use now. Raises CertificateError."""
        credentials = load_credentials(self._settings)
        if credentials == self.credentials:
            return False
        before, self.credentials = self.credentials, credentials
        try:
            self._context = self._make_context()
        except Exception:
            self.credentials = before
            raise
        for places in self._places.values():
            for place in places:
                place.wake.set()
        return True

    async def reachable(self, seconds: float) -> bool:
        """Whether there is a connection, now or within `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                await self._any_ready.wait()
        except TimeoutError:
            return False
        return True

    async def close(self) -> None:
        """Drop every connection, calls included."""
        tasks = [*self._tasks, *(place.task for places in self._places.values() for place in places)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.ready.clear()  # and nobody hopes for more
        self._places.clear()
        self._unresolved.clear()
        self._give_up_waiting()
        links = tuple(self._links)
        for link in links:
            link.close()
        if links:
            await asyncio.wait([link.closed for link in links], timeout=CLOSE_TIMEOUT)
        for link in tuple(self._links):
            link.transport.abort()

    # -- calls ---------------------------------------------------------------------------------------------------

    def place(self, call: Waiting) -> Status | None:
        """Begin the call on a connection, now or when there is one; a Status: there will be none."""
        if not self.waiting and (link := self._balancer.pick(self.ready)) is not None:
            call.begin(link)
            return None
        if not self.ready and not self._hopeful:
            return UNREACHABLE
        if len(self.waiting) >= MAX_WAITING:
            return CROWDED
        self.waiting[call] = None
        return None

    def forget(self, call: Waiting) -> None:
        """The call waits no longer."""
        self.waiting.pop(call, None)

    @property
    def _hopeful(self) -> bool:
        """Some place may be connected soon."""
        if self._unresolved:
            return True
        return any(not place.problem and not place.task.done() for places in self._places.values() for place in places)

    def serve_waiting(self) -> None:
        while self.waiting and (link := self._balancer.pick(self.ready)) is not None:
            call = next(iter(self.waiting))
            del self.waiting[call]
            call.begin(link)

    def _give_up_waiting(self) -> None:
        if self.ready or self._hopeful:
            return
        waiting, self.waiting = self.waiting, {}
        for call in waiting:
            call.fail(UNREACHABLE)

    # -- addresses -----------------------------------------------------------------------------------------------

    async def _resolve(self, target: Target) -> None:
        delay = RESOLVE_AGAIN
        while True:
            wait = RESOLVE_INTERVAL
            try:
                self._settle(target, await resolver.resolve(target))
                delay = RESOLVE_AGAIN
            except OSError as error:
                self._fell_short(target.text, error.strerror or str(error))
                wait, delay = delay, min(delay * 2, RESOLVE_INTERVAL)
            self._unresolved.discard(target)
            self._give_up_waiting()
            try:
                async with asyncio.timeout(wait):
                    await self._resolve_now.wait()
                self._resolve_now.clear()
                await asyncio.sleep(RESOLVE_AGAIN)
            except TimeoutError:
                continue

    def _settle(self, target: Target, addresses: list[Address]) -> None:
        """Connect to new addresses of a target, and retire what is on those that it has no more."""
        for key in [key for key in self._places if key[0] == target and key[1] not in addresses]:
            for place in self._places.pop(key):
                place.abandon()
        for address in addresses:
            if (target, address) not in self._places:
                count = self._settings.connections
                self._places[target, address] = [Place(self, target, address) for _ in range(count)]

    # -- connections ---------------------------------------------------------------------------------------------

    async def keep(self, place: Place) -> None:
        """Run as the task of a place."""
        loop = asyncio.get_running_loop()
        delay = BACKOFF
        while True:
            place.wake.clear()
            context = self._context
            try:
                link = await dial(place.address, self._dialling(place.target), place)
                if link.retired:
                    raise ConnectError("the backend took its leave at once")  # noqa: TRY301
            except ConnectError as error:
                if place.problem != str(error):
                    place.problem = str(error)
                    self._fell_short(str(place.address), place.problem)
                self._give_up_waiting()
                if not self.ready:
                    self._resolve_now.set()
            else:
                stood_from = loop.time()
                place.problem = ""
                if self._context is context:
                    place.wake.clear()  # it was set for the one before
                self._replace(place, link)
                await place.wake.wait()
                if loop.time() - stood_from >= STOOD:
                    delay = BACKOFF
                    self._resolve_now.set()
                    continue
            await asyncio.sleep(delay * random.uniform(1 - JITTER, 1 + JITTER))  # noqa: S311 - no secret
            delay = min(delay * BACKOFF_GROWTH, BACKOFF_MOST)

    def left(self, link: BackendLink) -> None:
        """The connection takes no new call."""
        if link in self.ready:
            self.ready.remove(link)
        if not self.ready:
            self._any_ready.clear()

    def lost(self, link: BackendLink) -> None:
        """The connection is closed."""
        self._links.discard(link)

    def _replace(self, place: Place, link: BackendLink) -> None:
        before, place.link = place.link, link
        self._links.add(link)
        self.ready.append(link)
        self._any_ready.set()
        if before is not None:
            before.retire()
        self.serve_waiting()

    def _dialling(self, target: Target) -> Dialling:
        tls = self._settings.tls
        name = (tls.server_name if tls is not None else None) or target.host or LOCAL  # without one, none is checked
        authority = tls.server_name if tls is not None and tls.server_name else target.authority
        prelude = [
            (b":method", b"POST"),
            (b":scheme", b"http" if tls is None else b"https"),
            (b":authority", authority.encode()),
        ]
        return Dialling(self._context, name, prelude, self._user_agent, self._settings.keepalive)

    async def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(1.0)
            for link in tuple(self._links):
                link.tick(loop.time())

    def _fell_short(self, where: str, problem: str) -> None:
        self.problem = problem
        log.warning("backend_unreachable", upstream=self.name, address=where, problem=problem)

    def _make_context(self) -> ssl.SSLContext | None:
        tls = self._settings.tls
        return None if tls is None or self.credentials is None else client_context(self.credentials, tls)
