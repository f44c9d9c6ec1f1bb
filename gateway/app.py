"""The composition root: settings in, a running gateway out; start, drain, stop.

    settings ─▶ policy (CORS, tokens, permissions, gate) ─┐
             ─▶ upstreams (channels, routes) ─────────────┼─▶ one immutable snapshot ─▶ fronts
             ─▶ observers (log, metrics) ─────────────────┘

Rule: everything is judged before anything listens; a gateway that has started accepts calls.
"""

import asyncio
import contextlib
import errno
import ssl
import time
from collections.abc import Callable, Coroutine, Iterator
from functools import partial

import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry, Gauge

from gateway import check
from gateway.ends import CallLimits, Roadside
from gateway.front.admin import admin_application
from gateway.front.census import Census
from gateway.front.connection import Http1Server
from gateway.front.http1 import Http1Front
from gateway.front.http2 import Http2Front
from gateway.front.listener import Bound, listen
from gateway.front.reception import Reception
from gateway.front.snapshot import FrontSnapshot
from gateway.front.switch import Switchboard
from gateway.observe.calls import CallObserver
from gateway.policy.authorize import Permissions
from gateway.policy.cors import CorsPolicy, LocalOrigins
from gateway.policy.descriptors import Catalog, DescriptorsError
from gateway.policy.gate import Gate as PolicyGate
from gateway.policy.gate import OpenGate
from gateway.policy.tokens import TokenVerifier
from gateway.protocol.status import Code, Status
from gateway.reload import CertificateRenewal, watch
from gateway.request import Pages
from gateway.settings import Settings, SettingsError
from gateway.tasks import lasting
from gateway.upstream.base import Upstream, Upstreams
from gateway.upstream.factory import make_upstream
from gateway.upstream.grpcio import GrpcioUpstream
from gateway.upstream.reflection import ReflectionError
from gateway.version import VERSION

log = structlog.get_logger("gateway")

GOING_DOWN = Status(Code.UNAVAILABLE, "the gateway is shutting down")
LAST_WORDS = 1.5  # seconds for the trailers of calls that the drain cut off, and for connections to close


class StartError(Exception):
    """The gateway cannot start on this machine; the message is one line for a person."""


class Gateway:
    """One running gateway."""

    def __init__(self, settings: Settings, *, pages: Pages | None = None, for_development: bool = False) -> None:
        """`pages` answers GET requests. `for_development`: no token, and any localhost page may call; loopback only."""
        self.settings = settings
        self.urls: list[str] = []
        self._pages = pages
        self._for_development = for_development
        self._registry = CollectorRegistry()
        self._observer = CallObserver(self._registry, access_log=settings.observability.log.access)
        self._tokens = TokenVerifier(settings.auth)
        self._upstreams: dict[str, Upstream] = {}
        self._gate: PolicyGate | OpenGate
        self._snapshot: FrontSnapshot
        self._census = Census(settings.limits.max_connections)
        self._http1 = Http1Front(lambda: self._snapshot, self._census)
        self._http2 = Http2Front(lambda: self._snapshot, self._census)
        self._server: Http1Server
        self._switchboard: Switchboard
        self._bound: list[Bound] = []
        self._admin: web.AppRunner | None = None
        self._renewals: list[CertificateRenewal] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False

    # -- start ---------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Raises SettingsError (every problem at once), StartError."""
        if problems := list(check.certificate_problems(self.settings)):
            raise SettingsError(problems)
        try:
            self._make_upstreams()
            await self._judge_rules()
            await self._tokens.start()
            self._snapshot = self._make_snapshot()
            await self._watch_certificates()
            self._keep(self._tick())
            await self._listen()
            self._publish_gauges()
        except DescriptorsError as error:
            raise SettingsError([self.settings.problem(("authorization", "descriptors"), str(error))]) from None
        log.info("ready", listeners=self.urls, admin=self.admin_url, version=VERSION)

    def _make_upstreams(self) -> None:
        for name, settings in self.settings.upstreams.items():
            self._upstreams[name] = upstream = make_upstream(name, settings, self.settings.limits)
            upstream.start()

    async def _judge_rules(self) -> None:
        """Stop a start whose rules name methods that do not exist; tell the upstreams which ones are unary."""
        if self.settings.authorization.descriptors == "reflection":
            try:
                catalog: Catalog | None = await check.reflected_catalog(self.settings)
            except ReflectionError as error:
                raise StartError(f"authorization.descriptors: {error}") from None
        else:
            catalog = check.read_catalog(self.settings)
        if catalog is None:
            return
        if problems := list(check.rule_problems(self.settings, catalog)):
            raise SettingsError(problems)
        for upstream in self._upstreams.values():
            if isinstance(upstream, GrpcioUpstream):
                upstream.unary_methods = catalog.unary

    def _make_snapshot(self) -> FrontSnapshot:
        settings, limits = self.settings, self.settings.limits
        services = {service: name for name, upstream in settings.upstreams.items() for service in upstream.services}
        opener = Upstreams(self._upstreams, services)
        self._gate = self._make_gate(opener.routed)
        road = Roadside(
            gate=self._gate,
            opener=opener,
            limits=CallLimits(
                max_request_message=limits.max_request_message,
                max_response_message=limits.max_response_message,
                max_metadata=limits.max_metadata,
                default_deadline=limits.default_deadline,
                max_deadline=limits.max_deadline,
                stream_idle=limits.stream_idle,
            ),
            forward_authorization=settings.auth.forward_authorization,
            stripped=frozenset(name.encode() for name in settings.auth.forward_claims),
            observer=self._observer,
            clock=asyncio.get_running_loop(),
            wall_clock=time.time,
            stopwatch=time.perf_counter,
        )
        cors = (LocalOrigins if self._for_development else CorsPolicy)(settings.cors)
        return FrontSnapshot(Reception(cors, self._observer, self._pages), road, limits.body_stall)

    def _make_gate(self, routed: Callable[[bytes], bool]) -> PolicyGate | OpenGate:
        settings = self.settings
        if self._for_development:
            return OpenGate(settings.limits.max_calls)
        return PolicyGate(
            tokens=self._tokens,
            permissions=Permissions(settings.authorization),
            public_methods=frozenset(method.encode() for method in settings.auth.public_methods),
            routed=routed,
            forward_claims=settings.auth.forward_claims,
            max_calls=settings.limits.max_calls,
            shadow=settings.authorization.shadow,
        )

    async def _listen(self) -> None:
        self._server = Http1Server(self._http1.handle, self._census)
        self._switchboard = Switchboard(self._server, self._http2, self._census)
        for index, listener in enumerate(self.settings.listeners):
            with _naming(f"listeners[{index}].bind", str(listener.bind)):
                protocol = self._switchboard if listener.http2 else self._server
                self._bound.append(await listen(listener, protocol))
        self.urls = [bound.url for bound in self._bound]
        if (admin := self.settings.admin) is not None:
            application = admin_application(ready=self.missing, config=self.settings.redacted, registry=self._registry)
            self._admin = web.AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=0.5)
            await self._admin.setup()
            with _naming("admin.bind", str(admin.bind)):
                await web.TCPSite(self._admin, admin.bind.host, admin.bind.port).start()

    def upstream(self, name: str) -> Upstream:
        """The upstream of that name in the configuration."""
        return self._upstreams[name]

    @property
    def admin_url(self) -> str | None:
        if self._admin is None or not self._admin.addresses:
            return None
        host, port = self._admin.addresses[0][:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def _watch_certificates(self) -> None:
        for name, upstream in self._upstreams.items():
            tls = self.settings.upstreams[name].tls
            if tls is None:
                continue
            renewal = CertificateRenewal(upstream)
            self._renewals.append(renewal)
            files = [file for file in (tls.ca, tls.certificate, tls.private_key) if file is not None]
            self._keep(watch(files, renewal.files_changed))
        await asyncio.sleep(0)  # a task's first step, which begins to watch

    def _publish_gauges(self) -> None:
        def gauge(name: str, text: str, read: Callable[[], float]) -> None:
            Gauge(f"gateway_{name}", text, registry=self._registry).set_function(read)

        gauge("open_calls", "Calls going on", lambda: self._gate.calls)
        gauge("open_connections", "Connections of browsers", lambda: self._census.connections)
        gauge("keys_ready", "1: every issuer's keys are known", lambda: self._tokens.ready)
        expiry = Gauge(
            "gateway_certificate_expiry_timestamp_seconds", "When a client certificate ends", ("upstream",),
            registry=self._registry,
        )  # fmt: skip
        alarm = Gauge(
            "gateway_certificate_refused", "1: renewed files are bad, the old certificate is in use", ("upstream",),
            registry=self._registry,
        )  # fmt: skip
        for renewal in self._renewals:
            alarm.labels(renewal.upstream).set_function(partial(getattr, renewal, "failed"))
        for name, upstream in self._upstreams.items():
            if upstream.credentials is not None and upstream.credentials.identity is not None:
                expiry.labels(name).set_function(_expiry_of(upstream))

    # -- while it runs -------------------------------------------------------------------------------------------

    async def missing(self) -> dict[str, str]:
        """What keeps the gateway from being ready, by name: empty when it is."""
        if self._stopping:
            return {"gateway": "shutting down"}
        missing = {} if self._tokens.ready else {"keys": "an issuer's keys are not known yet"}
        reached = await asyncio.gather(*(upstream.reachable() for upstream in self._upstreams.values()))
        for name, reachable in zip(self._upstreams, reached, strict=True):
            if not reachable:
                missing[f"upstream {name}"] = "no target can be reached"
        return missing

    def _keep(self, running: Coroutine[None, None, None]) -> None:
        self._tasks.append(lasting(running))

    async def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(1.0)
            self._census.tick()
            self._http2.tick(loop.time())

    # -- stop ----------------------------------------------------------------------------------------------------

    async def drain(self) -> None:
        """Take no more, let what runs finish within `drain`, then end the rest with a proper status."""
        self._stopping = True
        for bound in self._bound:
            bound.server.close()
        if self._bound:
            self._census.draining = True
            self._server.pre_shutdown()
            self._http2.drain()
            log.info("draining", calls=len(self._census.calls), seconds=self.settings.drain)
            await self._until_empty(self.settings.drain)
            self._census.end_all(GOING_DOWN, "drain")
            await self._until_empty(LAST_WORDS)

    async def _until_empty(self, seconds: float) -> None:
        """Return when there is neither a call nor a connection over HTTP/2 any more, or after `seconds`."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while (self._census.calls or self._http2.links) and (left := until - loop.time()) > 0:
            await self._census.until_empty(left)
            await self._http2.until_empty(until - loop.time())

    async def stop(self) -> None:
        """Close everything; what still runs is cut off."""
        for bound in self._bound:
            bound.server.close()
        if self._bound:
            self._switchboard.close()
            self._http2.close()
            await self._server.shutdown(0.1)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._admin is not None:
            await self._admin.cleanup()
        await self._tokens.close()
        for upstream in self._upstreams.values():
            await upstream.close()
        log.info("stopped")


def _expiry_of(upstream: Upstream) -> Callable[[], float]:
    def read() -> float:
        credentials = upstream.credentials
        return credentials.identity.expires_at if credentials and credentials.identity else 0.0

    return read


@contextlib.contextmanager
def _naming(key: str, address: str) -> Iterator[None]:
    """Say which key an address comes from when it cannot be bound."""
    try:
        yield
    except ssl.SSLError as error:
        raise StartError(f"{key}: OpenSSL refuses the certificate: {error.reason}") from None
    except OSError as error:
        reason = (
            "it is in use by another process" if error.errno == errno.EADDRINUSE else (error.strerror or str(error))
        )
        raise StartError(f"{key}: cannot listen on {address}: {reason}") from None
