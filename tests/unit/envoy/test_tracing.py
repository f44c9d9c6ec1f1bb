"""Spans for a collector."""

import pytest

from tests.unit.envoy.reading import cluster, manager, rendered


@pytest.mark.parametrize(
    ("url", "host", "port", "tls"),
    [
        ("http://localhost:4318/v1/traces", "localhost", 4318, False),
        ("http://127.0.0.1/v1/traces", "127.0.0.1", 80, False),
        ("https://otel.example.com/v1/traces", "otel.example.com", 443, True),
    ],
)
def test_spans_go_to_the_collector(url: str, host: str, port: int, tls: bool) -> None:
    config = rendered(observability={"tracing": {"otlp": url}})
    http = manager(config)["tracing"]["provider"]["typed_config"]["http_service"]["http_uri"]
    assert http["uri"] == url
    found = cluster(config, http["cluster"])
    [endpoints] = found["load_assignment"]["endpoints"]
    [endpoint] = endpoints["lb_endpoints"]
    assert endpoint["endpoint"]["address"] == {"socket_address": {"address": host, "port_value": port}}
    assert ("transport_socket" in found) is tls


@pytest.mark.parametrize(("ratio", "percent"), [(1, "100"), (0.07, "7"), (0.0005, "0.05"), (0, "0")])
def test_so_many_are_sampled(ratio: float, percent: str) -> None:
    config = rendered(observability={"tracing": {"otlp": "http://localhost:4318/v1/traces", "ratio": ratio}})
    assert manager(config)["tracing"]["random_sampling"] == {"value": percent}


def test_none_without_one() -> None:
    assert "tracing" not in manager(rendered())
