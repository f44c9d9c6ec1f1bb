"""Envoy's own pages stay on this machine; what probes need is passed on where `admin.bind` says."""

from typing import Any

import pytest

from tests.unit.envoy.reading import LEAST, Node, listener, rendered


def address(part: Node) -> tuple[str, int]:
    socket = part["address"]["socket_address"]
    return socket["address"], socket["port_value"]


@pytest.mark.parametrize(
    ("bind", "expected"),
    [
        ("127.0.0.1:9901", ("127.0.0.1", 9901)),
        ("127.0.0.2:9901", ("127.0.0.2", 9901)),
        ("localhost:9901", ("127.0.0.1", 9901)),
        ("[::1]:9901", ("::1", 9901)),
        ("127.0.0.1:0", ("127.0.0.1", 0)),
    ],
)
def test_on_this_machine_they_are_where_gateway_yaml_says(bind: str, expected: tuple[str, int]) -> None:
    config = rendered(admin={"bind": bind})
    assert address(config["admin"]) == expected
    assert len(config["static_resources"]["listeners"]) == 1
    assert [each["name"] for each in config["static_resources"]["clusters"]] == ["shop"]


@pytest.mark.parametrize(
    ("bind", "taken", "port"),
    [
        ("0.0.0.0:9901", 1, 9902),
        ("0.0.0.0:9901", 9902, 9903),
        ("[::]:9901", 1, 9902),
        ("192.0.2.1:65535", 1, 65534),
        ("192.0.2.1:65535", 65534, 65533),
    ],
)
def test_for_other_machines_there_is_a_listener_and_they_stay(bind: str, taken: int, port: int) -> None:
    config = rendered(admin={"bind": bind}, listeners=[{"bind": f"127.0.0.1:{taken}"}])
    assert address(config["admin"]) == ("127.0.0.1", port)
    operator = config["static_resources"]["listeners"][1]
    host, _, number = bind.rpartition(":")
    assert address(operator) == (host.strip("[]"), int(number))
    assert operator["ignore_global_conn_limit"] is True
    [endpoints] = config["static_resources"]["clusters"][-1]["load_assignment"]["endpoints"]
    [endpoint] = endpoints["lb_endpoints"]
    assert address(endpoint["endpoint"]) == ("127.0.0.1", port)


def test_the_listener_passes_on_three_pages() -> None:
    config = rendered(admin={"bind": "0.0.0.0:9901"})
    [manager] = listener(config, 1)["filter_chains"][0]["filters"]
    [host] = manager["typed_config"]["route_config"]["virtual_hosts"]
    routes: list[tuple[Any, Any, Any]] = []
    for route in host["routes"]:
        assert route["match"]["headers"] == [{"name": ":method", "string_match": {"exact": "GET"}}]
        routes.append(
            (route["match"]["path"], route.get("route", {}).get("prefix_rewrite"), route.get("direct_response"))
        )
    assert routes == [
        ("/healthz", None, {"status": 200}),
        ("/readyz", "/ready", None),
        ("/metrics", "/stats/prometheus", None),
    ]


def test_no_admin_address_no_pages() -> None:
    config = rendered(admin=None)
    assert "admin" not in config
    assert len(config["static_resources"]["listeners"]) == 1


def test_connections_are_limited_over_all_listeners() -> None:
    config = rendered(limits={"max_connections": 7}, listeners=[*LEAST["listeners"], {"bind": "127.0.0.1:0"}])
    [monitor] = config["overload_manager"]["resource_monitors"]
    assert monitor["typed_config"]["max_active_downstream_connections"] == 7
