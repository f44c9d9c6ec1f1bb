"""What /metrics says of the gateway as it is when somebody asks; calls are counted in observe/calls.py.

Rule: what can come and go with a reload (upstreams, issuers) is looked up each time, so that nothing stale is shown.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.registry import Collector

from gateway.front.census import Census
from gateway.listeners import KeptListener
from gateway.succession import Succession


class Vitals(Protocol):
    """A gateway, as far as it is looked at here."""

    configuration_refused: bool
    restart_needed: list[str]

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

    def collect(self) -> Iterable[Metric]:
        """For prometheus_client."""
        gateway = self._gateway
        current = gateway.succession.current
        yield _one("open_calls", "Calls going on", gateway.open_calls)
        yield _one("open_connections", "Connections of browsers", gateway.census.connections)
        yield _one("keys_ready", "1: every issuer's keys are known", current.tokens.ready)
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


def _one(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"gateway_{name}", text, value=float(value))


def _many(name: str, text: str, label: str, values: Iterable[tuple[str, float]]) -> Metric:
    family = GaugeMetricFamily(f"gateway_{name}", text, labels=(label,))
    for which, value in values:
        family.add_metric((which,), float(value))
    return family
