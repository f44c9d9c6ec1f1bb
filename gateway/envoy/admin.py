"""`admin` -> the operator's pages, and how many connections all listeners together take.

Rule: Envoy's own pages stay on this machine, for whoever reaches them can end the process and read its configuration.
Where `admin.bind` is open to other machines, a listener there passes on what probes and Prometheus ask for.
"""

from collections.abc import Iterator

from gateway.envoy.clusters import OWN
from gateway.envoy.node import Node, Said, extension, said, seconds
from gateway.settings import Settings

LOOPBACK = "127.0.0.1"
CLUSTER = f"{OWN}admin"
HCM = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
PAGES = {"/readyz": "/ready", "/metrics": "/stats/prometheus"}


def numeric(host: str) -> str:
    """Envoy listens on addresses, not on names."""
    return LOOPBACK if host == "localhost" else host


def admin(settings: Settings) -> dict[str, Said]:
    """Empty when `admin` is null."""
    if settings.admin is None:
        return {}
    why = "never open to other machines: they could end Envoy"
    bind = settings.admin.bind
    host = numeric(bind.host) if bind.is_loopback else LOOPBACK
    return {"admin": said({"address": _address(host, _port(settings))}, "admin.bind", why=why)}


def operator_listener(settings: Settings) -> Iterator[Said]:
    """None when `admin.bind` is this machine's."""
    if settings.admin is None or settings.admin.bind.is_loopback:
        return
    bind = settings.admin.bind
    get = {"name": ":method", "string_match": {"exact": "GET"}}
    routes: list[Node] = [
        {
            "match": {"path": path, "headers": [get]},
            "route": {"cluster": CLUSTER, "prefix_rewrite": page, "timeout": seconds(5.0)},
        }
        for path, page in PAGES.items()
    ]
    alive = {"match": {"path": "/healthz", "headers": [get]}, "direct_response": {"status": 200}}
    manager = extension(
        "envoy.filters.network.http_connection_manager",
        HCM,
        stat_prefix="operator",
        route_config={
            "name": "operator",
            "virtual_hosts": [{"name": "operator", "domains": ["*"], "routes": [alive, *routes]}],
        },
        http_filters=[extension("envoy.filters.http.router", "envoy.extensions.filters.http.router.v3.Router")],
    )
    yield said(
        {
            "name": "operator",
            "address": _address(numeric(bind.host), bind.port),
            "enable_reuse_port": False,
            "ignore_global_conn_limit": True,
            "filter_chains": [{"filters": [manager]}],
        },
        "admin.bind",
        why="what probes and Prometheus ask for",
    )


def admin_cluster(settings: Settings) -> Iterator[Said]:
    """Beside `operator_listener`."""
    if settings.admin is None or settings.admin.bind.is_loopback:
        return
    endpoint = {"endpoint": {"address": _address(LOOPBACK, _port(settings))}}
    yield said(
        {
            "name": CLUSTER,
            "type": "STATIC",
            "load_assignment": {"cluster_name": CLUSTER, "endpoints": [{"lb_endpoints": [endpoint]}]},
        },
        "admin.bind",
    )


def overload_manager(settings: Settings) -> Said:
    monitor = extension(
        "envoy.resource_monitors.global_downstream_max_connections",
        "envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
        max_active_downstream_connections=settings.limits.max_connections,
    )
    return said({"resource_monitors": [monitor]}, "limits.max_connections")


def _port(settings: Settings) -> int:
    """Of Envoy's own pages: that of `admin.bind`, or the next that is free when the listener has that."""
    assert settings.admin is not None
    port: int = settings.admin.bind.port
    if settings.admin.bind.is_loopback:
        return port
    taken = {port, *(listener.bind.port for listener in settings.listeners)}
    free: list[int] = sorted({*range(1, 65536)} - taken)
    return next((candidate for candidate in free if candidate > port), free[-1])


def _address(host: str, port: int) -> Node:
    return {"socket_address": {"address": host, "port_value": port}}
