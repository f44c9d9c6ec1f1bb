"""`upstreams` -> clusters: where backends are, how the connection is secured, and when one is left alone."""

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from gateway.envoy.files import TLS, Files, system_authorities
from gateway.envoy.node import Node, Said, extension, said, seconds, typed
from gateway.settings import OutlierDetection, Settings, Upstream
from gateway.settings.address import parse_address

OWN = "gateway."  # begins the names of clusters that are no upstream: an upstream's name has no dot
CONNECT_TIMEOUT = 10.0  # seconds
KEEPALIVE_TIMEOUT = 10.0  # seconds that the answer to a PING may take
HEALTH_EVERY, HEALTH_TIMEOUT = 5.0, 2.0  # seconds
LOAD_BALANCING = {"round_robin": "ROUND_ROBIN", "least_request": "LEAST_REQUEST"}
HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
# Towards backends Envoy's own maximum is TLS 1.2.
VERSIONS = {"tls_minimum_protocol_version": "TLSv1_2", "tls_maximum_protocol_version": "TLSv1_3"}


@dataclass(frozen=True, slots=True)
class Target:
    """A target in parts: a host and port, or a socket's path."""

    host: str  # empty for a socket
    port: int
    path: str = ""

    @classmethod
    def read(cls, text: str) -> "Target":
        """`HOST:PORT`, `dns:///HOST:PORT` or `unix:PATH`, which the settings have judged."""
        if text.startswith("unix:"):
            return cls("", 0, text.removeprefix("unix:"))
        address = parse_address(text.removeprefix("dns:").rpartition("/")[2])
        return cls(address.host, address.port)

    @property
    def is_name(self) -> bool:
        return bool(self.host) and not is_ip(self.host)

    @property
    def endpoint(self) -> Node:
        where: Node = (
            {"pipe": {"path": self.path}}
            if self.path
            else {"socket_address": {"address": self.host, "port_value": self.port}}
        )
        return {"endpoint": {"address": where}}


def is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def server_names(upstream: Upstream) -> list[str]:
    """What the backends' certificates must be made out to: `server_name`, or the hosts of the targets."""
    if upstream.tls is not None and upstream.tls.server_name:
        return [upstream.tls.server_name]
    return list(dict.fromkeys(Target.read(target).host or "localhost" for target in upstream.targets))


def clusters(settings: Settings, files: Files) -> Iterator[Said]:
    for name, upstream in settings.upstreams.items():
        yield said(_cluster(name, upstream, settings, files), f"upstreams.{name}")


def _cluster(name: str, upstream: Upstream, settings: Settings, files: Files) -> Node:
    key = f"upstreams.{name}"
    targets = [Target.read(target) for target in upstream.targets]
    cluster: Node = {
        "name": name,
        "type": "STRICT_DNS" if any(target.is_name for target in targets) else "STATIC",
        "connect_timeout": seconds(CONNECT_TIMEOUT),
        "lb_policy": said(LOAD_BALANCING[upstream.balance], f"{key}.balance"),
        "load_assignment": said(
            {"cluster_name": name, "endpoints": [{"lb_endpoints": [target.endpoint for target in targets]}]},
            f"{key}.targets",
        ),
        "typed_extension_protocol_options": {HTTP_OPTIONS: _http2(key, upstream)},
        "circuit_breakers": said(
            {
                "thresholds": [
                    {
                        "max_connections": settings.limits.max_calls,
                        "max_pending_requests": settings.limits.max_calls,
                        "max_requests": upstream.max_calls or settings.limits.max_calls,
                    }
                ]
            },
            "limits.max_calls",
            *((f"{key}.max_calls",) if upstream.max_calls is not None else ()),
        ),
    }
    if cluster["type"] == "STRICT_DNS":
        cluster["dns_lookup_family"] = "V4_PREFERRED"
    if upstream.tls is not None:
        cluster["transport_socket"] = said(
            extension("envoy.transport_sockets.tls", f"{TLS}UpstreamTlsContext", **_tls(name, key, upstream, files)),
            f"{key}.tls",
        )
    if upstream.health_check:
        cluster["health_checks"] = said([_health_check(upstream)], f"{key}.health_check")
        panic = {"healthy_panic_threshold": {"value": 0}}
        cluster["common_lb_config"] = said(panic, why="else, with half of the targets ill, Envoy sends calls to all")
    if upstream.outlier_detection is not None:
        cluster["outlier_detection"] = said(_outliers(upstream.outlier_detection), f"{key}.outlier_detection")
    return cluster


def _http2(key: str, upstream: Upstream) -> Node:
    options: Node = {}
    if upstream.keepalive is not None:
        options["connection_keepalive"] = said(
            {"interval": seconds(upstream.keepalive), "timeout": seconds(KEEPALIVE_TIMEOUT)}, f"{key}.keepalive"
        )
    return typed(HTTP_OPTIONS, explicit_http_config={"http2_protocol_options": options})


def _tls(name: str, key: str, upstream: Upstream, files: Files) -> Node:
    tls = upstream.tls
    assert tls is not None
    common: Node = {"tls_params": VERSIONS, "alpn_protocols": ["h2"]}
    if tls.certificate is not None and tls.private_key is not None:
        pair = files.identity(name, tls.certificate, tls.private_key)
        common |= {
            field: said(value, f"{key}.tls.certificate", f"{key}.tls.private_key") for field, value in pair.items()
        }
    names = server_names(upstream)
    # Without a matcher Envoy takes any certificate that the authorities signed, whatever name is in it.
    conditions = {"match_typed_subject_alt_names": [_matcher(names[0])]} if len(names) == 1 else {}
    trust = files.trust(name, tls.ca, **conditions)
    common |= {field: said(value, f"{key}.tls.ca", f"{key}.tls.server_name") for field, value in trust.items()}
    if len(names) > 1:
        return {"common_tls_context": common, "auto_host_sni": True, "auto_sni_san_validation": True}
    sni = {} if is_ip(names[0]) else {"sni": said(names[0], f"{key}.tls.server_name")}
    return {"common_tls_context": common, **sni}


def _matcher(name: str) -> Node:
    return {"san_type": "IP_ADDRESS" if is_ip(name) else "DNS", "matcher": {"exact": name}}


def _health_check(upstream: Upstream) -> Node:
    return {
        "timeout": seconds(HEALTH_TIMEOUT),
        "interval": seconds(HEALTH_EVERY),
        "unhealthy_threshold": 2,
        "healthy_threshold": 1,
        "grpc_health_check": {"authority": server_names(upstream)[0]},
    }


def _outliers(settings: OutlierDetection) -> Node:
    return {
        "consecutive_5xx": settings.consecutive_failures,
        "consecutive_gateway_failure": settings.consecutive_failures,
        "enforcing_consecutive_gateway_failure": 100,
        "base_ejection_time": seconds(settings.eject_for),
        "max_ejection_time": said(seconds(settings.eject_for), why="Envoy would double it each time"),
        "max_ejection_percent": 100,
    }


def fetch_cluster(name: str, url: str) -> Node:
    """For what Envoy fetches by itself, or sends: a key set, spans. `url` has been judged by the settings."""
    parts = urlsplit(url)
    tls = parts.scheme == "https"
    host, port = parts.hostname or "", parts.port or (443 if tls else 80)
    cluster: Node = {
        "name": name,
        "type": "STATIC" if is_ip(host) else "STRICT_DNS",
        "connect_timeout": seconds(2.0),
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [Target(host, port).endpoint]}],
        },
    }
    if cluster["type"] == "STRICT_DNS":
        cluster["dns_lookup_family"] = "V4_PREFERRED"
    if tls:
        context: Node = {
            "common_tls_context": {
                "tls_params": VERSIONS,
                "validation_context": {
                    "trusted_ca": {"filename": system_authorities()},
                    "match_typed_subject_alt_names": [_matcher(host)],
                },
            },
            **({} if is_ip(host) else {"sni": host}),
        }
        cluster["transport_socket"] = extension("envoy.transport_sockets.tls", f"{TLS}UpstreamTlsContext", **context)
    return cluster


def authority(upstream: Upstream) -> str | None:
    """The `:authority` of calls; None: each target's own name."""
    names = server_names(upstream)
    return names[0] if len(names) == 1 else None
