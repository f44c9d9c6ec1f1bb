"""The connections of one upstream: `connections` to each address of each target, kept, spread over and renewed.

    targets ─▶ addresses (asked for again) ─▶ a place for each connection ─▶ ready connections ─▶ balancer ─▶ a call

Rule: a call takes a ready connection (roster.py) with room. Without one it waits, as long as some place is on its way;
when the last of them has failed there is nobody to wait for, and it fails.
"""

import asyncio
import ssl
from collections.abc import Collection, Iterator
from itertools import chain
from typing import Protocol

import structlog

from gateway.permit import Refusal
from gateway.protocol.metadata import Header
from gateway.protocol.status import Code, Status
from gateway.settings import Upstream as UpstreamSettings
from gateway.tasks import TICK, every, lasting
from gateway.upstream import resolver
from gateway.upstream.backend_link import BackendLink, Dialling
from gateway.upstream.backoff import Backoff
from gateway.upstream.balancer import BALANCERS, Balancer
from gateway.upstream.connect_error import ConnectError, connect_error
from gateway.upstream.credentials import client_context, load_credentials
from gateway.upstream.place import Place
from gateway.upstream.resolver import Address, Target
from gateway.upstream.roster import Roster

log = structlog.get_logger("gateway.upstream")

RESOLVE_INTERVAL = 30.0  # seconds between two questions to the resolver
RESOLVE_AGAIN = 1.0  # seconds, after a connection was lost
BACKOFF, BACKOFF_MOST = 0.2, 5.0  # seconds between two attempts to connect, the first and the longest pause
STOOD = 1.0  # seconds after which a connection counts as one that stood
MAX_WAITING = 1000  # calls that wait for a connection or for room on one
GOODBYE = 0.1  # seconds in which the last words of all connections leave
LOCAL = "localhost"  # the name of a Unix socket, unless `server_name` gives another

UNREACHABLE = Refusal(Status(Code.UNAVAILABLE, "the backend cannot be reached"), "unreachable")
NOT_SERVING = Refusal(Status(Code.UNAVAILABLE, "the backend is not serving"), "not_serving")
CROWDED = Refusal(Status(Code.UNAVAILABLE, "too many calls wait for the backend"), "upstream_full")


class Waiting(Protocol):
    """A call that needs a connection."""

    def begin(self, link: BackendLink) -> bool: ...  # False: it cannot, for the connection takes no more
    def fail(self, refusal: Refusal) -> None: ...  # there will be no connection


class Pool:
    """The connections of one upstream."""

    def __init__(self, name: str, settings: UpstreamSettings, user_agent: str) -> None:
        """Reads the certificates; raises CertificateError."""
        self.name = name
        self.problem: ConnectError | None = None  # of the last attempt that failed, with its address
        self.roster = Roster(name, settings.outlier_detection, self.review)
        self.ready = self.roster.ready
        self.calls = 0  # going on, those that wait included
        self.waiting: dict[Waiting, None] = {}  # in order of arrival
        self.checks_health = settings.health_check
        self._settings = settings
        self._user_agent: Header = (b"user-agent", user_agent.encode())
        self._balancer: Balancer = BALANCERS[settings.balance]()
        self._targets = [resolver.parse(text) for text in settings.targets]
        self._unresolved = set(self._targets)  # asked for, and not answered yet
        self._places: dict[tuple[Target, Address], list[Place]] = {}
        self._resolve_now = asyncio.Event()
        self._links: set[BackendLink] = set()  # retired ones too
        self._tasks: list[asyncio.Task[None]] = []
        self.credentials = load_credentials(settings)
        self.context = self._make_context()

    def start(self) -> None:
        """Connect to everything, and stay connected. Needs a running loop."""
        if not self._tasks:
            self._tasks = [lasting(self._resolve(target)) for target in self._targets]
            self._tasks.append(lasting(every(TICK, self._tick)))

    def renew(self) -> bool:
        """Read the certificates again; True: they had changed and are in use now. Raises CertificateError."""
        credentials = load_credentials(self._settings)
        if credentials == self.credentials:
            return False
        before, self.credentials = self.credentials, credentials
        try:
            self.context = self._make_context()
        except Exception:
            self.credentials = before
            raise
        for place in self._all_places:
            place.renew()
        return True

    async def reachable(self, seconds: float) -> bool:
        """Whether there is a connection, now or within `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                await self.roster.any_ready.wait()
        except TimeoutError:
            return False
        return True

    async def close(self) -> None:
        """Drop every connection, calls included."""
        tasks = [*self._tasks, *(place.task for place in self._all_places)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.roster.close()  # and nobody hopes for more
        self._places.clear()
        self._unresolved.clear()
        self._give_up_waiting()
        links = tuple(self._links)
        for link in links:
            link.close()
        if links:
            await asyncio.wait([link.closed for link in links], timeout=GOODBYE)
        for link in tuple(self._links):
            link.transport.abort()

    # -- calls ---------------------------------------------------------------------------------------------------

    def assign(self, call: Waiting, tried: Collection[Address] = ()) -> Refusal | None:
        """Begin the call on a connection, now or when there is one; a Refusal: there will be none.

        `tried`: where it has failed, and goes only if there is nobody else.
        """
        if tried and self._begin(call, [link for link in self.ready if link.address not in tried]):
            return None
        if not self.waiting and self._begin(call, self.ready):
            return None
        if not self.ready and not self._hopeful:
            return self._why_nobody
        if len(self.waiting) >= MAX_WAITING:
            return CROWDED
        self.waiting[call] = None
        return None

    def forget(self, call: Waiting) -> None:
        """The call waits no longer."""
        self.waiting.pop(call, None)

    def serve_waiting(self) -> None:
        """There may be room for calls that wait."""
        while self.waiting and self._begin(call := next(iter(self.waiting)), self.ready):
            del self.waiting[call]

    def _begin(self, call: Waiting, links: list[BackendLink]) -> bool:
        while (link := self._balancer.pick(links)) is not None:
            if call.begin(link):
                return True
        return False

    @property
    def _hopeful(self) -> bool:
        """Some place may be ready soon."""
        return bool(self._unresolved) or any(place.hopeful for place in self._all_places)

    def _give_up_waiting(self) -> None:
        if self.ready or self._hopeful:
            return
        waiting, self.waiting = self.waiting, {}
        for call in waiting:
            call.fail(self._why_nobody)

    @property
    def _why_nobody(self) -> Refusal:
        return NOT_SERVING if self.roster.standing else UNREACHABLE

    # -- addresses -----------------------------------------------------------------------------------------------

    async def _resolve(self, target: Target) -> None:
        delay = RESOLVE_AGAIN
        while True:
            wait = RESOLVE_INTERVAL
            try:
                self._settle(target, await resolver.resolve(target))
                delay = RESOLVE_AGAIN
            except OSError as error:
                self.report(target.text, connect_error(error))
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
                self._places[target, address] = [
                    Place(self, target, address, Backoff(first=BACKOFF, most=BACKOFF_MOST, stood=STOOD))
                    for _ in range(self._settings.connections)
                ]
        self.roster.keep({address for _, address in self._places})

    @property
    def _all_places(self) -> Iterator[Place]:
        return chain.from_iterable(self._places.values())

    # -- connections ---------------------------------------------------------------------------------------------

    def add(self, link: BackendLink) -> None:
        """The connection takes calls, if its backend is serving."""
        self._links.add(link)
        self.roster.add(link)
        self.review()

    def retired(self, link: BackendLink) -> None:
        """The connection takes no new call."""
        self.roster.remove(link)
        if self.waiting and self.ready:
            asyncio.get_running_loop().call_soon(self.serve_waiting)  # the first of them may be what has found it so

    def review(self) -> None:
        """Backends are serving now, or no longer; addresses are ejected, or back."""
        self.roster.select()
        self.serve_waiting()
        self._give_up_waiting()

    def lost(self, link: BackendLink) -> None:
        """The connection is closed."""
        self._links.discard(link)

    def attempt_failed(self) -> None:
        """Some place is not connected, and will not be at once."""
        self._give_up_waiting()
        if not self.ready:
            self.resolve_soon()

    def resolve_soon(self) -> None:
        """The addresses may have changed."""
        self._resolve_now.set()

    def dialling(self, target: Target) -> Dialling:
        tls = self._settings.tls
        name = (tls.server_name if tls is not None else None) or target.host or LOCAL  # without one, none is checked
        authority = tls.server_name if tls is not None and tls.server_name else target.authority
        prelude = [
            (b":method", b"POST"),
            (b":scheme", b"http" if tls is None else b"https"),
            (b":authority", authority.encode()),
        ]
        return Dialling(self.context, name, prelude, self._user_agent, self._settings.keepalive)

    def _tick(self) -> None:
        now = asyncio.get_running_loop().time()
        for link in tuple(self._links):
            link.tick(now)

    def report(self, where: str, error: ConnectError) -> None:
        """A target cannot be resolved, or an address not be reached, for a reason that was not told yet."""
        self.problem = ConnectError(f"{where}: {error}", error.hint)
        log.warning("backend_unreachable", upstream=self.name, address=where, problem=str(error))

    def _make_context(self) -> ssl.SSLContext | None:
        tls = self._settings.tls
        return None if tls is None or self.credentials is None else client_context(self.credentials, tls)
