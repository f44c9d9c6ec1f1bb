"""`observability.tracing` -> spans for an OpenTelemetry collector. Trace context passes anyway."""

from gateway.envoy.clusters import OWN, fetch_cluster
from gateway.envoy.node import Node, Said, extension, said, seconds
from gateway.settings import Settings

CLUSTER = f"{OWN}otlp"
KEY = "observability.tracing.otlp"
RATIO = "observability.tracing.ratio"


def tracing(settings: Settings) -> Node:
    """Of a connection manager."""
    url, ratio = settings.observability.tracing.otlp, settings.observability.tracing.ratio
    if url is None:
        return {}
    provider = extension(
        "envoy.tracers.opentelemetry",
        "envoy.config.trace.v3.OpenTelemetryConfig",
        http_service={"http_uri": {"uri": url, "cluster": CLUSTER, "timeout": seconds(2.0)}},
        service_name="grpcweb-gateway",
    )
    sampling = said({"value": f"{100 * ratio:g}"}, RATIO, why="in percent; who is in a trace has decided")
    return {"tracing": said({"provider": provider, "random_sampling": sampling}, KEY)}


def tracing_clusters(settings: Settings) -> list[Said]:
    if settings.observability.tracing.otlp is None:
        return []
    return [said(fetch_cluster(CLUSTER, settings.observability.tracing.otlp), KEY)]
