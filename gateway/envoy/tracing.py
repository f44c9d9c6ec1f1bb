"""`observability.tracing` -> spans for an OpenTelemetry collector. Trace context passes anyway."""

from gateway.envoy.clusters import OWN, fetch_cluster
from gateway.envoy.node import Node, Said, extension, said, seconds
from gateway.settings import Settings

CLUSTER = f"{OWN}otlp"
KEY = "observability.tracing.otlp"


def tracing(settings: Settings) -> Node:
    """Of a connection manager."""
    url = settings.observability.tracing.otlp
    if url is None:
        return {}
    provider = extension(
        "envoy.tracers.opentelemetry",
        "envoy.config.trace.v3.OpenTelemetryConfig",
        http_service={"http_uri": {"uri": url, "cluster": CLUSTER, "timeout": seconds(2.0)}},
        service_name="grpcweb-gateway",
    )
    return {"tracing": said({"provider": provider}, KEY)}


def tracing_clusters(settings: Settings) -> list[Said]:
    if settings.observability.tracing.otlp is None:
        return []
    return [said(fetch_cluster(CLUSTER, settings.observability.tracing.otlp), KEY)]
