"""What /metrics says of the gateway as it is when somebody asks; calls are counted in observe/calls.py.

Rule: what can come and go with a reload (upstreams, issuers) is looked up each time, so that nothing stale is shown.
"""

import asyncio
import platform
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from gateway.front.census import Census
from gateway.generation import Generation
from gateway.listeners import KeptListener
from gateway.observe.log import OUTPUT
from gateway.policy.rate_redis import RedisCounts
from gateway.succession import Succession
from gateway.version import VERSION


class Vitals(Protocol):
    """A gateway, as far as it is looked at here."""

    restart_needed: list[str]

    @property
    def configuration_refused(self) -> bool: ...
    @property
    def succession(self) -> Succession: ...
    @property
    def listeners(self) -> Sequence[KeptListener]: ...
    @property
    def open_calls(self) -> int: ...
    @property
    def census(self) -> Census: ...


class Gauges(Collector):
    """Of one gateway."""

    def __init__(self, registry: CollectorRegistry, gateway: Vitals) -> None:
        self._gateway = gateway
        registry.register(self)
        ProcessCollector(registry=registry)  # CPU, memory, file descriptors: of this worker, where there are several

    def collect(self) -> Iterable[Metric]:
        """For prometheus_client."""
        gateway = self._gateway
        current = gateway.succession.current
        build = GaugeMetricFamily("gateway_build_info", "What runs; always 1", labels=("version", "python"))
        build.add_metric((VERSION, platform.python_version()), 1.0)
        yield build
        yield _one(
            "open_calls", "Calls that count against max_calls, answers on their way included", gateway.open_calls
        )
        yield _one("open_connections", "Connections of browsers and other clients", gateway.census.connections)
        yield _one("keys_ready", "1: every issuer's keys are known", current.tokens.ready)
        yield _one("tasks", "Tasks of the event loop", len(asyncio.all_tasks()))
        lost = "Lines of the log that nobody read in time, or for which there was no room"
        yield CounterMetricFamily("gateway_log_lines_lost", lost, value=float(OUTPUT.lost))
        yield _many(
            "jwks_age_seconds", "Since an issuer's keys were last fetched", "issuer",
            ((name, age) for name, keys in current.tokens.key_sets.items() if (age := keys.age()) is not None),
        )  # fmt: skip
        yield _one("configuration_loaded_timestamp_seconds", "When the configuration in use was", current.loaded_at)
        yield _one("configuration_refused", "1: the last one was bad, the old is in use", gateway.configuration_refused)
        yield _one(
            "restart_needed", "1: the configuration says what only a restart can do", bool(gateway.restart_needed)
        )
        yield _one(
            "configurations", "In use by calls: 1, and those before it that calls still have", gateway.succession.living
        )
        yield from _of_upstreams(current)
        if current.rates is not None and isinstance(current.rates.counts, RedisCounts):
            yield _one("rate_storage_up", "1: Redis has counted the last call", current.rates.counts.up)
        yield _many(
            "certificate_expiry_timestamp_seconds", "When a client certificate ends", "upstream",
            (
                (name, credentials.identity.expires_at)
                for name, kept in current.upstreams.items()
                if (credentials := kept.upstream.credentials) is not None and credentials.identity is not None
            ),
        )  # fmt: skip
        yield _many(
            "certificate_refused", "1: renewed files are bad, the old certificate is in use", "upstream",
            ((name, kept.renewal.failed) for name, kept in current.upstreams.items() if kept.renewal is not None),
        )  # fmt: skip
        yield _many(
            "listener_certificate_expiry_timestamp_seconds", "When a listener's certificate ends", "listener",
            ((one.name, one.tls.expires_at) for one in gateway.listeners if one.tls is not None),
        )  # fmt: skip
        yield _many(
            "listener_certificate_refused", "1: renewed files are bad, the old certificate is in use", "listener",
            ((one.name, one.renewal.failed) for one in gateway.listeners if one.tls is not None),
        )  # fmt: skip


def _of_upstreams(current: Generation) -> Iterator[Metric]:
    upstreams = [kept.upstream for kept in current.upstreams.values()]
    yield _many(
        "open_streams", "Calls at an upstream, those that wait for a connection included", "upstream",
        ((one.name, one.calls) for one in upstreams),
    )  # fmt: skip
    yield _many(
        "upstream_connections", "Connections that stand", "upstream",
        ((one.name, one.connections) for one in upstreams),
    )  # fmt: skip
    healthy = _family("upstream_healthy", "1: connected, and serving as far as that is asked", "upstream", "address")
    ejected = _family("upstream_ejected", "1: left alone for a while, for it has failed", "upstream", "address")
    retries = CounterMetricFamily(
        "gateway_retries", "Calls of idempotent methods that failed, and what became of them",
        labels=("upstream", "outcome"),
    )  # fmt: skip
    for one in upstreams:
        for state in one.addresses:
            healthy.add_metric((one.name, state.address), float(state.healthy))
            ejected.add_metric((one.name, state.address), float(state.ejected))
        for outcome, count in one.retries.items():
            retries.add_metric((one.name, outcome), count)
    yield from (healthy, ejected, retries)


def _one(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"gateway_{name}", text, value=float(value))


def _many(name: str, text: str, label: str, values: Iterable[tuple[str, float]]) -> Metric:
    family = _family(name, text, label)
    for which, value in values:
        family.add_metric((which,), float(value))
    return family


def _family(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"gateway_{name}", text, labels=labels)
