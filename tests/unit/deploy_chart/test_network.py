"""Who reaches what: ports, selectors, network policy, monitoring."""

import ipaddress
import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from tests.unit.deploy_chart.chart import ROOT, Object, Release, objects, port, selects, values


def test_ports_are_those_of_the_configuration(release: Release) -> None:
    config = release.config
    assert [*release.ports.values()] == [
        *(port(one["bind"]) for one in config["listeners"]),
        port(config["admin"]["bind"]),
    ]
    assert release.ports["calls"] == port(config["listeners"][0]["bind"])
    assert release.ports["admin"] == port(config["admin"]["bind"])
    assert all(ipaddress.ip_address(one["bind"].rpartition(":")[0]).is_unspecified for one in config["listeners"])


def test_services_lead_to_the_pods_that_serve_and_the_public_one_not_to_the_admin_pages(release: Release) -> None:
    public, admin = release.one("Service"), release.one("Service", "-admin")
    for service in (public, admin):
        assert selects(service["spec"]["selector"], release.pod)
        assert not selects(service["spec"]["selector"], release.one("Pod", "-check"))
    assert [one["targetPort"] for one in public["spec"]["ports"]] == ["calls"]
    assert [one["targetPort"] for one in admin["spec"]["ports"]] == ["admin"]
    assert admin["spec"]["clusterIP"] == "None"


def test_whatever_selects_pods_selects_those_of_the_deployment(release: Release) -> None:
    selectors = [release.one("Deployment")["spec"]["selector"], release.one("PodDisruptionBudget")["spec"]["selector"]]
    selectors += [one["labelSelector"] for one in release.pod["spec"]["topologySpreadConstraints"]]
    for selector in selectors:
        assert selects(selector["matchLabels"], release.pod)
        assert not selects(selector["matchLabels"], release.one("Pod", "-check"))
    policy = release.one("NetworkPolicy")["spec"]["podSelector"]["matchLabels"]
    assert selects(policy, release.pod)
    assert selects(policy, release.one("Pod", "-check"))


# -- network policy


def opens(rules: list[Object]) -> set[tuple[int, str]]:
    """Ports and protocols that rules name."""
    return {
        (number, one.get("protocol", "TCP"))
        for rule in rules
        for one in rule["ports"]
        for number in range(one["port"], one.get("endPort", one["port"]) + 1)
    }


def called(config: Mapping[str, Any]) -> Iterator[int]:
    """The port of everything that a configuration has the gateway call."""
    for upstream in config["upstreams"].values():
        yield from map(port, upstream["targets"])
    auth, limits = config["auth"], config.get("limits", {})
    urls = [issuer["issuer"] for issuer in auth["issuers"]]
    urls += [auth["introspection"]["url"]] if "introspection" in auth else []
    for url in urls:
        yield urlsplit(url).port or 443
    if "rate_storage" in limits:
        yield urlsplit(limits["rate_storage"]).port or 6379


def test_the_network_is_closed_save_for_what_is_used(release: Release) -> None:
    spec = release.one("NetworkPolicy")["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    calls, admin = spec["ingress"]
    assert opens([calls]) == {(release.ports["calls"], "TCP")}
    assert opens([admin]) == {(release.ports["admin"], "TCP")}
    assert admin["from"] == [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]
    assert calls.get("from") == release_clients(release)
    assert opens(spec["egress"]) == {(one, "TCP") for one in called(release.config)} | {(53, "UDP"), (53, "TCP")}
    assert all(rule["to"] for rule in spec["egress"])


def release_clients(release: Release) -> list[Object] | None:
    clients: list[Object] | None = values(release.name)["networkPolicy"].get("clients")
    return clients


def test_egress_is_named_so_that_a_rule_can_be_replaced_or_removed() -> None:
    given = values("shop", networkPolicy={"egress": {"dns": None, "issuers": {"ports": [{"port": 8443}], "to": [{}]}}})
    (policy,) = (one for one in objects(given) if one["kind"] == "NetworkPolicy")
    assert opens(policy["spec"]["egress"]) == {(50051, "TCP"), (8443, "TCP")}


@pytest.mark.parametrize("line_break", ["\n", "\r", "\x85", "\u2028"])
@pytest.mark.parametrize("direction", ["ingress", "egress"])
def test_a_name_of_a_rule_makes_no_rule(direction: str, line_break: str) -> None:
    rule = {"ports": [{"port": 1}]}
    plain, broken = (
        objects(values("shop", networkPolicy={direction: {name: rule}})) for name in ("x", f"x{line_break}    - {{}}")
    )
    assert broken == plain


# -- monitoring


def test_prometheus_finds_the_admin_service_and_no_other() -> None:
    release = Release("everything")
    monitor = release.one("ServiceMonitor")["spec"]
    found = [one for one in release.all("Service") if selects(monitor["selector"]["matchLabels"], one)]
    assert found == [release.one("Service", "-admin")]
    (endpoint,) = monitor["endpoints"]
    assert endpoint["path"] == "/metrics"
    assert endpoint["port"] in [one["name"] for one in found[0]["spec"]["ports"]]
    assert release.one("ServiceMonitor")["metadata"]["labels"]["release"] == "prometheus"


def test_rules_and_dashboard_are_the_files_for_everybody() -> None:
    release = Release("everything")
    rules, dashboard = ROOT / "deploy/prometheus/rules.yaml", ROOT / "deploy/grafana/dashboard.json"
    assert release.one("PrometheusRule")["spec"] == yaml.safe_load(rules.read_text())
    config_map = release.one("ConfigMap", "-dashboard")
    assert json.loads(config_map["data"]["grpcweb-gateway.json"]) == json.loads(dashboard.read_text())
    assert config_map["metadata"]["labels"]["grafana_dashboard"] == "1"
