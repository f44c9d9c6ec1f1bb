"""All that one configuration makes: policy, upstreams, and the snapshot that calls take at their head.

    settings ─▶ policy (CORS, tokens, permissions, gate) ─┐
             ─▶ upstreams (connections, routes) ──────────┼─▶ FrontSnapshot ─▶ fronts
             ─▶ what outlives it (observer, pages) ───────┘

Rules
- A generation is judged and built whole, beside the one in use, before a call sees it; what cannot be is an error, and
  nothing has changed.
- What the new configuration says no different is taken over as it is: an issuer's keys, connections to backends.
- A generation is closed when no call has its snapshot any more.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from gateway import check
from gateway.ends import CallLimits, Roadside
from gateway.errors import StartError
from gateway.front.admin import Readiness
from gateway.front.reception import Reception
from gateway.front.snapshot import FrontSnapshot
from gateway.observe.calls import CallObserver
from gateway.observe.tracing import tracer, tracing_problems
from gateway.policy.authorize import Permissions
from gateway.policy.cors import CorsPolicy, LocalOrigins
from gateway.policy.descriptors import Catalog, DescriptorsError
from gateway.policy.fetch import Fetcher
from gateway.policy.gate import Gate, OpenGate
from gateway.policy.keys import KeySet
from gateway.policy.peers import Occupancy
from gateway.policy.rates import Rates
from gateway.policy.tokens import TokenVerifier
from gateway.reload import CertificateRenewal
from gateway.request import Pages
from gateway.settings import Issuer, Limits, Settings, SettingsError
from gateway.settings import Upstream as UpstreamSettings
from gateway.tasks import lasting
from gateway.upstream.base import Upstreams
from gateway.upstream.factory import make_upstream
from gateway.upstream.grpcio import GrpcioUpstream
from gateway.upstream.reflection import ReflectionError

if TYPE_CHECKING:
    from gateway.observe.spans import SpanTracer


@dataclass(frozen=True, slots=True)
class Shared:
    """What is the same for every generation of a gateway."""

    observer: CallObserver
    occupancy: Occupancy
    pages: Pages | None
    for_development: bool  # no token, and any localhost page may call


class KeptUpstream:
    """An upstream, and the watch over its certificate files."""

    def __init__(self, name: str, settings: UpstreamSettings, limits: Limits, unary: frozenset[bytes]) -> None:
        """Reads the certificates; raises CertificateError."""
        self.made_of = _made_of(settings, limits, unary)
        self.upstream = make_upstream(name, settings, limits)
        if isinstance(self.upstream, GrpcioUpstream):
            self.upstream.unary_methods = unary
        self.renewal = None if settings.tls is None else CertificateRenewal(self._renew, upstream=name)
        self._files = () if settings.tls is None else settings.tls.files
        self._watching: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self.upstream.start()
        if self.renewal is not None and self._files:
            self._watching = lasting(self.renewal.follow(self._files))
            await asyncio.sleep(0)  # its first step, which begins to watch

    async def close(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
        await self.upstream.close()

    async def _renew(self) -> bool:
        return self.upstream.renew()


def _made_of(settings: UpstreamSettings, limits: Limits, unary: frozenset[bytes]) -> tuple[object, ...]:
    """All that an upstream depends on, save which services are sent there."""
    elsewhere = settings.model_copy(update={"services": ()})
    return elsewhere, limits.max_request_message, limits.max_response_message, limits.max_calls, unary


class Generation:
    """One configuration at work."""

    def __init__(
        self, settings: Settings, shared: Shared, unary: frozenset[bytes], before: "Generation | None" = None
    ) -> None:
        """`unary`: raw paths of methods that are, as far as descriptors tell. Needs a running loop."""
        self.settings = settings
        self.loaded_at = time.time()
        self.unary = unary
        self.key_sets = {one.issuer: _key_set(before, one) for one in settings.auth.issuers}
        self.tokens = _tokens(before, settings, self.key_sets)
        self.rates = _rates(before, settings)
        self.upstreams = {
            name: _kept(before, name, section, settings.limits, unary) for name, section in settings.upstreams.items()
        }
        self.tracer = _tracer(before, settings)
        services = {service: name for name, section in settings.upstreams.items() for service in section.services}
        opener = Upstreams({name: kept.upstream for name, kept in self.upstreams.items()}, services)
        self.gate = self._make_gate(shared, opener.routed)
        self.road = self._make_road(shared, opener)
        cors = (LocalOrigins if shared.for_development else CorsPolicy)(settings.cors)
        reception = Reception(cors, shared.observer, shared.pages)
        self.snapshot = FrontSnapshot(reception, self.road, settings.limits.body_stall)

    @classmethod
    async def build(cls, settings: Settings, shared: Shared, before: "Generation | None" = None) -> "Generation":
        """Judge it, make it, and fetch what it needs. Raises SettingsError (every problem at once), StartError."""
        if problems := [*tracing_problems(settings), *check.certificate_problems(settings)]:
            raise SettingsError(problems)
        generation = cls(settings, shared, await _unary_methods(settings), before)
        try:
            new = generation._new(before)
            keys = new & set[Part](generation.key_sets.values())
            await asyncio.gather(*(part.start() for part in keys))
            generation._judge_keys(before)  # before the rest connects, which would be for nothing
            await asyncio.gather(*(part.start() for part in new - keys))
        except BaseException:
            await generation.discard(before)
            raise
        return generation

    def use(self, before: "Generation | None" = None) -> None:
        """Calls see it from now on, in place of `before`."""
        for issuer, keys in self.key_sets.items():
            keys.use(None if before is None else before.key_sets.get(issuer))

    async def discard(self, before: "Generation | None") -> None:
        """Close what it alone has: it does not follow that one."""
        await close_parts(self._new(before))

    def _new(self, before: "Generation | None") -> "set[Part]":
        return self.parts if before is None else self.parts - before.parts

    @property
    def parts(self) -> "set[Part]":
        """What has to be closed in the end, unless another generation has it, too."""
        optional = (part for part in (self.rates, self.tracer) if part is not None)
        return {self.tokens, *self.key_sets.values(), *self.upstreams.values(), *optional}

    async def readiness(self) -> Readiness:
        """Ready is who can serve some calls: one dead upstream must not take the others out of service everywhere."""
        missing = {} if self.tokens.ready else {"keys": "an issuer's keys are not known yet"}
        reached = await asyncio.gather(*(kept.upstream.reachable() for kept in self.upstreams.values()))
        for name, reachable in zip(self.upstreams, reached, strict=True):
            if not reachable:
                connected = self.upstreams[name].upstream.connections
                missing[f"upstream {name}"] = "no target serves" if connected else "no target can be reached"
        return Readiness(self.tokens.ready and any(reached), missing)

    def _judge_keys(self, before: "Generation | None") -> None:
        """At a start an issuer may be late; but a change must shut out nobody who is believed, and add nobody without
        keys. Who was late before may still be.
        """
        if before is None:
            return
        late = {name for name, keys in before.key_sets.items() if not keys.ready}
        if any(not keys.ready for name, keys in self.key_sets.items() if name not in late):
            raise SettingsError(list(check.key_problems(self.settings, self.tokens)))

    def _make_gate(self, shared: Shared, routed: Callable[[bytes], bool]) -> Gate | OpenGate:
        settings = self.settings
        if shared.for_development:
            return OpenGate(settings.limits.max_calls, shared.occupancy)
        return Gate(
            tokens=self.tokens,
            permissions=Permissions(settings.authorization),
            public_methods=frozenset(method.encode() for method in settings.auth.public_methods),
            routed=routed,
            forward_claims=settings.auth.forward_claims,
            max_calls=settings.limits.max_calls,
            shadow=settings.authorization.shadow,
            occupancy=shared.occupancy,
            max_calls_per_peer=settings.limits.max_calls_per_peer,
            rates=self.rates,
        )

    def _make_road(self, shared: Shared, opener: Upstreams) -> Roadside:
        limits = self.settings.limits
        return Roadside(
            gate=self.gate,
            opener=opener,
            limits=CallLimits(
                max_request_message=limits.max_request_message,
                max_response_message=limits.max_response_message,
                max_metadata=limits.max_metadata,
                default_deadline=limits.default_deadline,
                max_deadline=limits.max_deadline,
                stream_idle=limits.stream_idle,
            ),
            forward_authorization=self.settings.auth.forward_authorization,
            stripped=frozenset(name.encode() for name in self.settings.auth.forward_claims),
            observer=shared.observer,
            clock=asyncio.get_running_loop(),
            wall_clock=time.time,
            stopwatch=time.perf_counter,
            tracer=self.tracer,
        )


class Part(Protocol):
    """What goes on in the next generation if that says no different of it."""

    async def start(self) -> None: ...
    async def close(self) -> None: ...


async def close_parts(parts: "set[Part]") -> None:
    await asyncio.gather(*(part.close() for part in parts))


def _key_set(before: Generation | None, issuer: Issuer) -> KeySet:
    """That of the generation before, if the issuer's keys come from the same place."""
    kept = None if before is None else before.key_sets.get(issuer.issuer)
    if kept is not None and kept.source == issuer.jwks:
        return kept
    return KeySet(issuer.issuer, issuer.jwks, Fetcher())


def _tokens(before: Generation | None, settings: Settings, key_sets: Mapping[str, KeySet]) -> TokenVerifier:
    """That of the generation before, with what it has verified, if the same is believed of the same issuers."""
    if before is not None and _believed(before.settings) == _believed(settings):
        return before.tokens
    return TokenVerifier(settings.auth, key_sets=key_sets)


def _believed(settings: Settings) -> tuple[object, ...]:
    return settings.auth.issuers, settings.auth.introspection


def _rates(before: Generation | None, settings: Settings) -> Rates | None:
    """Those of the generation before, with what they have counted, if they are the same."""
    if before is not None and _counted(before.settings) == _counted(settings):
        return before.rates
    return Rates.of(settings.limits)


def _counted(settings: Settings) -> tuple[object, ...]:
    return settings.limits.rate, settings.limits.rate_storage, settings.limits.rate_storage_failure


def _tracer(before: Generation | None, settings: Settings) -> "SpanTracer | None":
    """That of the generation before, if spans go to the same place."""
    if before is not None and before.settings.observability.tracing == settings.observability.tracing:
        return before.tracer
    return tracer(settings)


def _kept(
    before: Generation | None, name: str, settings: UpstreamSettings, limits: Limits, unary: frozenset[bytes]
) -> KeptUpstream:
    """That of the generation before, if nothing that it depends on has changed."""
    kept = None if before is None else before.upstreams.get(name)
    if kept is not None and kept.made_of == _made_of(settings, limits, unary):
        return kept
    return KeptUpstream(name, settings, limits, unary)


async def _unary_methods(settings: Settings) -> frozenset[bytes]:
    """As far as descriptors tell. Rules that name methods which those do not have are an error."""
    try:
        if settings.authorization.descriptors == "reflection":
            catalog: Catalog | None = await check.reflected_catalog(settings)
        else:
            catalog = check.read_catalog(settings)
    except ReflectionError as error:
        raise StartError(f"authorization.descriptors: {error}") from None
    except DescriptorsError as error:
        raise SettingsError([settings.problem(("authorization", "descriptors"), str(error))]) from None
    if catalog is None:
        return frozenset()
    if problems := list(check.rule_problems(settings, catalog)):
        raise SettingsError(problems)
    return catalog.unary
