"""`upstreams`: the backends, by a name for logs and metrics."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from gateway.settings.file import File
from gateway.settings.kind import Text
from gateway.settings.method import RULE_PATTERN, SERVICE_PATTERN, read_rule_method, read_service
from gateway.settings.model import Section
from gateway.settings.quantity import Count, Duration
from gateway.settings.target import TARGET_PATTERN, read_server_name, read_target


class UpstreamTls(Section):
    """How the gateway and the backends prove who they are."""

    ca: Annotated[Path | None, File(none=True)] = None
    """PEM: who may sign the backend's certificate; without it, whom the system trusts."""
    certificate: Annotated[Path | None, File(none=True)] = None
    """PEM: the gateway's own client certificate, for mutual TLS."""
    private_key: Annotated[Path | None, File(none=True)] = None
    """PEM: the private key of the certificate, without a passphrase."""
    server_name: Annotated[str | None, Text(read_server_name, none=True)] = None
    """The name the backend's certificate must have (SAN); without it, the target's host."""

    @property
    def files(self) -> tuple[Path, ...]:
        return tuple(file for file in (self.ca, self.certificate, self.private_key) if file is not None)


class OutlierDetection(Section):
    """When an address is left alone for a while; at most half of them are at once."""

    consecutive_failures: Annotated[int, Count()] = 5
    """Failures in a row: UNAVAILABLE, a reset stream, a lost connection."""
    eject_for: Annotated[float, Duration()] = 30.0
    """How long it gets no calls; longer each time, up to ten times as long."""


class Upstream(Section):
    """One set of equal backends and the services they have."""

    services: Annotated[
        tuple[Annotated[str, Text(read_service, SERVICE_PATTERN, ("shop.v1.Orders", "shop.v1.*"))], ...],
        Field(min_length=1),
    ]
    """pkg.Service, pkg.* for a package, or "*" for all the rest; the most exact wins."""
    targets: Annotated[
        tuple[Annotated[str, Text(read_target, TARGET_PATTERN, ("dns:///shop.internal:50051", "unix:shop.sock"))], ...],
        Field(min_length=1),
    ]
    """HOST:PORT, dns:///HOST:PORT, unix:PATH or xds:///NAME."""
    transport: Literal["auto", "h2", "grpcio"] = "auto"
    """Which HTTP/2 client is used; auto: h2, and grpcio for targets that only it can resolve, as xds:///."""
    tls: UpstreamTls | None = None
    """TLS to the backends; give this or plaintext: true."""
    plaintext: bool = False
    """No TLS to the backends."""
    allow_insecure_tokens: bool = False
    """Send tokens to plaintext backends, where the network can read them."""
    balance: Literal["round_robin", "least_request"] = "round_robin"
    """How calls are spread over the connections. least_request needs transport h2."""
    connections: Annotated[int, Count(maximum=64)] = 1
    """Per target."""
    keepalive: Annotated[float | None, Duration(minimum=10.0, maximum=86400.0, none=True)] = 300.0
    """Time between HTTP/2 PINGs on a quiet connection, or none. Backends hang up on much shorter ones."""
    max_calls: Annotated[int | None, Count(none=True)] = None
    """Calls at once to it; without it, all of limits.max_calls, or half of them where there are other upstreams."""
    idempotent_methods: tuple[
        Annotated[str, Text(read_rule_method, RULE_PATTERN, ("/shop.v1.Orders/GetOrder",))], ...
    ] = ()
    """/pkg.Service/Method or /pkg.Service/*, which may run twice: a call is sent again when its backend has said
    UNAVAILABLE or was lost."""
    health_check: bool = False
    """Ask grpc.health.v1 on each connection: a backend that is not serving gets no calls. One without it counts as
    healthy."""
    outlier_detection: OutlierDetection | None = None
    """Leave failing addresses alone for a while. Needs transport h2."""
