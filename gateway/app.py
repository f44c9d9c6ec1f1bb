"""The composition root: settings in, a running gateway out; start, reload, drain, stop.

    settings ─▶ Generation (policy, upstreams, snapshot) ─▶ fronts ─▶ listeners

Rule: everything is judged before anything listens; a gateway that has started accepts calls.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, generate_latest

from gateway.check import all_problems, placing_certificates
from gateway.errors import StartError
from gateway.front.admin import SHUTTING_DOWN, STARTING, AdminPages, Readiness
from gateway.front.census import Census
from gateway.front.connection import Http1Server
from gateway.front.http1 import Http1Front
from gateway.front.http2 import Http2Front
from gateway.front.listener import Protocols, Sockets, Which, bind, naming
from gateway.front.snapshot import FrontSnapshot
from gateway.front.switch import Switchboard
from gateway.gauges import Gauges
from gateway.generation import Generation, Shared
from gateway.listeners import KeptListener, prepare, server_tls
from gateway.observe.calls import CallObserver
from gateway.policy.peers import Occupancy
from gateway.protocol.status import Code, Status
from gateway.request import Pages
from gateway.settings import Listener, Settings, SettingsError
from gateway.succession import Succession
from gateway.tasks import TICK, every, lasting
from gateway.upstream.base import Upstream

log = structlog.get_logger("gateway")

GOING_DOWN = Status(Code.UNAVAILABLE, "the gateway is shutting down")
LAST_WORDS = 1.5  # seconds for the trailers of calls that the drain cut off, and for connections to close


def _problems(error: Exception) -> list[str]:
    """What is wrong with the configuration that has led to it."""
    if isinstance(error, SettingsError):
        return list(map(str, all_problems(error)))
    return [str(error) if isinstance(error, StartError) else f"internal error: {type(error).__name__}"]


class Gateway:
    """One running gateway."""

    def __init__(self, settings: Settings, *, pages: Pages | None = None, for_development: bool = False) -> None:
        """`pages` answers GET requests. `for_development`: no token, and any localhost page may call; loopback only."""
        self.settings = settings  # those in use
        self._refused: list[str] = []  # what is wrong with the last configuration that was to follow
        self.restart_needed: list[str] = []  # keys that the last reload could not change
        self._registry = CollectorRegistry()
        self._observer = CallObserver(self._registry, access_log=settings.observability.log.access)
        self._occupancy = Occupancy()
        self._shared = Shared(self._observer, self._occupancy, pages, for_development)
        self._snapshot: FrontSnapshot
        self._succession: Succession | None = None
        self._census = Census(settings.limits.max_connections, settings.limits.max_connection_age)
        self._http1 = Http1Front(lambda: self._snapshot, self._census)
        self._http2 = Http2Front(lambda: self._snapshot, self._census)
        self._server: Http1Server
        self._switchboard: Switchboard
        self._listeners: list[KeptListener] = []
        self._admin = AdminPages(self)
        self._ticking: asyncio.Task[None] | None = None
        self._reloading = asyncio.Lock()
        self._started = False
        self._stopping = False

    # -- start ---------------------------------------------------------------------------------------------------

    async def start(self, sockets: Sequence[Sockets] | None = None, *, operated: bool = False) -> None:
        """`sockets`: of each listener, bound already. `operated`: the operator's pages are elsewhere.

        Raises SettingsError (every problem at once), StartError.
        """
        with placing_certificates(self.settings):
            first = await Generation.build(self.settings, self._shared)
            self._succession = Succession(first)
            self._snapshot = first.snapshot
            self._bind(sockets)
            self._ticking = lasting(every(TICK, self._tick))
            Gauges(self._registry, self)
            if self.settings.admin is not None and not operated:
                await self._admin.listen(self.settings.admin.bind)
            await self._listen()
        self._started = True

    def _bind(self, sockets: Sequence[Sockets] | None) -> None:
        self._server = Http1Server(self._http1.handle, self._census)
        self._switchboard = Switchboard(self._server, self._http2, self._census)
        for index, settings in enumerate(self.settings.listeners):
            with naming(f"listeners[{index}].bind", settings.bind):
                bound = bind(settings.bind) if sockets is None else sockets[index]
            self._listeners.append(KeptListener(f"listeners[{index}]", bound, self._protocols, self._dismiss))

    async def _listen(self) -> None:
        for index, (listener, settings) in enumerate(zip(self._listeners, self.settings.listeners, strict=True)):
            with naming(f"listeners[{index}].bind", settings.bind):
                await listener.serve(settings, server_tls(settings))

    def _protocols(self, settings: Listener) -> Protocols:
        return self._switchboard if settings.http2 else self._server

    def _dismiss(self, which: Which) -> None:
        self._switchboard.dismiss(which)
        self._http2.dismiss(which)
        self._server.dismiss(which)

    # -- what it is ----------------------------------------------------------------------------------------------

    @property
    def urls(self) -> list[str]:
        return [listener.url for listener in self._listeners]

    @property
    def admin_url(self) -> str | None:
        return self._admin.url

    @property
    def listeners(self) -> Sequence[KeptListener]:
        return self._listeners

    @property
    def census(self) -> Census:
        return self._census

    @property
    def open_calls(self) -> int:
        """As the gate counts them."""
        return self._occupancy.calls

    @property
    def succession(self) -> Succession:
        """Of what is in use; after the start."""
        assert self._succession is not None
        return self._succession

    def look_at_certificates(self) -> None:
        """Those in use may have been renewed, or what was refused can be used by now."""
        upstreams = self.succession.current.upstreams.values()
        for renewal in (*(one.renewal for one in self._listeners), *(kept.renewal for kept in upstreams)):
            if renewal is not None:
                renewal.look_again()

    def upstream(self, name: str) -> Upstream:
        """The upstream of that name in the configuration."""
        return self.succession.current.upstreams[name].upstream

    async def readiness(self) -> Readiness:
        if self._stopping:
            return SHUTTING_DOWN
        if not self._started:
            return STARTING
        return await self.succession.current.readiness()

    async def metrics(self) -> bytes:
        """In the text format of Prometheus."""
        return generate_latest(self._registry)

    async def configuration(self) -> dict[str, Any]:
        """That is in use, without secrets."""
        return self.settings.redacted()

    def _tick(self) -> None:
        now = asyncio.get_running_loop().time()
        self._census.tick()
        self._server.tick(now)
        self._http2.tick(now)
        self.succession.tidy(call.road for call in self._census.calls)

    # -- reload --------------------------------------------------------------------------------------------------

    @property
    def configuration_refused(self) -> bool:
        """The last that was to follow."""
        return bool(self._refused)

    async def reload(self, load: Callable[[], Settings], *, again: bool = False) -> bool:
        """Serve by what `load` gives from the next call on. False: it is refused, whole, and nothing has changed.
        `again`: nobody has asked for it, so what was told is not told again.
        """
        async with self._reloading:
            try:
                changed = await self._follow(await asyncio.to_thread(load))
            except Exception as error:  # a defect, too, must not end the watch over the file
                await self._refuse(error, again=again)
                return False
            if changed or self._refused:
                log.info("configuration_changed", sections=changed)
            self._refused = []
            return True

    async def _refuse(self, error: Exception, *, again: bool) -> None:
        before, self._refused = self._refused, await asyncio.to_thread(_problems, error)
        if again and self._refused == before:
            return
        if not isinstance(error, SettingsError | StartError):
            log.error("unexpected_error", exc_info=error)
        log.error("configuration_refused", problems=self._refused, kept="the old one")

    async def _follow(self, settings: Settings) -> list[str]:
        """The sections that have changed. Raises SettingsError, StartError."""
        fixed = self._fixed(settings)
        settings = settings.model_copy(update=fixed)
        before = self.succession.current
        with placing_certificates(settings):
            following = await Generation.build(settings, self._shared, before)
        changed = [name for name in Settings.model_fields if getattr(settings, name) != getattr(self.settings, name)]
        if following.unary != before.unary:
            changed.append("descriptors")
        if changed and not self._stopping:
            await self._use(following)
        else:
            await following.discard(before)
        self.restart_needed = list(fixed)
        if fixed:
            log.warning("restart_needed", sections=self.restart_needed, kept="as they were at the start")
        return changed

    async def _use(self, following: Generation) -> None:
        """From the next call on. Raises SettingsError, StartError; then it is discarded."""
        settings = following.settings
        try:
            with placing_certificates(settings):
                listeners = await prepare(self._listeners, settings.listeners)
        except BaseException:
            await following.discard(self.succession.current)
            raise
        # This is the moment: calls that begin now see it, and all of it. Nothing that follows can fail.
        self._snapshot = following.snapshot
        self.succession.follow(following)
        self.settings = settings
        self._census.max_connections = settings.limits.max_connections
        self._census.max_connection_age = settings.limits.max_connection_age
        self._observer.access_log = settings.observability.log.access
        for prepared in listeners:
            await prepared.listener.use(prepared)

    def _fixed(self, settings: Settings) -> dict[str, Any]:
        """Addresses and processes that `settings` would change, as they were at the start."""
        fixed: dict[str, Any] = {}
        if [one.bind for one in settings.listeners] != [one.bind for one in self.settings.listeners]:
            fixed["listeners"] = self.settings.listeners
        for name in ("admin", "workers"):
            if getattr(settings, name) != getattr(self.settings, name):
                fixed[name] = getattr(self.settings, name)
        return fixed

    # -- stop ----------------------------------------------------------------------------------------------------

    async def drain(self) -> None:
        """Take no more, let what runs finish within `drain`, then end the rest with a proper status."""
        self._stopping = True
        for listener in self._listeners:
            listener.close()
        if self._listeners:
            self._census.draining = True
            self._switchboard.drain()
            self._server.drain()
            self._http2.drain()
            log.info("draining", calls=len(self._census.calls), seconds=self.settings.drain)
            await self._census.until_empty(self.settings.drain)
            await self.end_calls()

    async def end_calls(self) -> None:
        """End what still runs, each call with a proper status."""
        self._census.end_all(GOING_DOWN, "drain")
        await self._census.until_empty(LAST_WORDS)

    async def stop(self) -> None:
        """Close everything; what still runs is cut off."""
        self._stopping = True
        for listener in self._listeners:
            listener.close()
        if self._listeners:
            self._switchboard.close()
            self._http2.close()
            await self._server.shutdown(0.1)
        if self._ticking is not None:
            self._ticking.cancel()
        await self._admin.close()
        if self._succession is not None:
            await self._succession.close()
        if self._started:
            log.info("stopped")
