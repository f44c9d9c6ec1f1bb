"""Where backends are, how the connection is secured, and when one is left alone."""

from typing import Any

import pytest

from gateway.envoy import Files
from tests.unit.envoy.model import route_of
from tests.unit.envoy.reading import BASE, FILES, ISSUER, LEAST, MUTUAL, Node, cluster, context, rendered, rendering

SHOP: Node = LEAST["upstreams"]["shop"]


def shop(**changes: Any) -> Node:
    """The cluster of an upstream."""
    section = {name: value for name, value in (SHOP | changes).items() if value is not None}
    return cluster(rendered(upstreams={"shop": section}))


def addresses(found: Node) -> list[Node]:
    [endpoints] = found["load_assignment"]["endpoints"]
    return [each["endpoint"]["address"] for each in endpoints["lb_endpoints"]]


# -- where -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("targets", "kind", "expected"),
    [
        (["192.0.2.1:1"], "STATIC", [("192.0.2.1", 1)]),
        (["[2001:db8::1]:443"], "STATIC", [("2001:db8::1", 443)]),
        (["shop.internal:50051"], "STRICT_DNS", [("shop.internal", 50051)]),
        (
            ["dns:///shop.internal:50051", "dns:b.internal:2"],
            "STRICT_DNS",
            [("shop.internal", 50051), ("b.internal", 2)],
        ),
        (["192.0.2.1:1", "192.0.2.1:2"], "STATIC", [("192.0.2.1", 1), ("192.0.2.1", 2)]),
        (["unix:/run/a.sock", "unix:b.sock"], "STATIC", ["/run/a.sock", "/etc/b.sock"]),
    ],
)
def test_targets(targets: list[str], kind: str, expected: list[Any]) -> None:
    found = shop(targets=targets)
    assert found["type"] == kind
    assert ("dns_lookup_family" in found) == (kind == "STRICT_DNS")
    assert addresses(found) == [
        {"pipe": {"path": each}}
        if isinstance(each, str)
        else {"socket_address": {"address": each[0], "port_value": each[1]}}
        for each in expected
    ]


def test_names_and_addresses_together() -> None:
    found = shop(targets=["192.0.2.1:1", "a.internal:2"], tls=None, plaintext=True, allow_insecure_tokens=True)
    assert found["type"] == "STRICT_DNS"
    assert "transport_socket" not in found


@pytest.mark.parametrize(("balance", "policy"), [("round_robin", "ROUND_ROBIN"), ("least_request", "LEAST_REQUEST")])
def test_balance(balance: str, policy: str) -> None:
    assert shop(balance=balance)["lb_policy"] == policy


def test_limits_hold_for_each_upstream() -> None:
    found = cluster(rendered(limits={"max_calls": 7}))
    assert found["circuit_breakers"] == {
        "thresholds": [{"max_connections": 7, "max_pending_requests": 7, "max_requests": 7}]
    }


@pytest.mark.parametrize("name", ["nobody", "admin", "otlp", "operator", "issuer_0-jwks", "listener_0", "calls"])
def test_names(name: str) -> None:
    """An upstream may have any name, and is taken for nothing else."""
    tls = {"ca": "/dev/null", **FILES}
    config = rendered(
        listeners=[MUTUAL],
        admin={"bind": "0.0.0.0:9901"},
        auth={"issuers": [{**ISSUER, "jwks": "https://login.example.com/keys"}]},
        observability={"tracing": {"otlp": "http://localhost:4318/v1/traces"}},
        upstreams={name: SHOP | {"tls": tls}},
    )
    names = [each["name"] for each in config["static_resources"]["clusters"]]
    assert len(set(names)) == len(names) == 4
    assert name in names
    assert route_of(config, "/other.v1.Service/Method")["route"]["cluster"] not in names


def test_secrets_of_an_upstream_and_of_a_listener_never_have_one_name() -> None:
    files = Files(BASE).watching(BASE / "secrets")
    tls = {"ca": "/dev/zero", "certificate": "/dev/zero", "private_key": "/dev/zero"}
    made = rendering(files, listeners=[MUTUAL], upstreams={"listener_0": SHOP | {"tls": tls}})
    assert len(made.secrets) == 4


# -- TLS ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("targets", "tls", "kind", "name", "sni"),
    [
        (["shop.internal:1"], {}, "DNS", "shop.internal", "shop.internal"),
        (["shop.internal:1"], {"server_name": "other.internal"}, "DNS", "other.internal", "other.internal"),
        (["192.0.2.1:1"], {}, "IP_ADDRESS", "192.0.2.1", None),
        (["[2001:db8::1]:1"], {}, "IP_ADDRESS", "2001:db8::1", None),
        (["192.0.2.1:1"], {"server_name": "shop.internal"}, "DNS", "shop.internal", "shop.internal"),
        (["shop.internal:1"], {"server_name": "192.0.2.1"}, "IP_ADDRESS", "192.0.2.1", None),
        (["unix:/run/a.sock"], {}, "DNS", "localhost", "localhost"),
        (["a.internal:1", "b.internal:1"], {"server_name": "x.internal"}, "DNS", "x.internal", "x.internal"),
        (["a.internal:1", "a.internal:2"], {}, "DNS", "a.internal", "a.internal"),
    ],
)
def test_the_name_in_the_backends_certificate_is_checked(
    targets: list[str], tls: Node, kind: str, name: str, sni: str | None
) -> None:
    found = context(shop(targets=targets, tls={"ca": "/dev/null", **tls}))
    validation = found["common_tls_context"]["validation_context"]
    assert validation == {
        "trusted_ca": {"filename": "/dev/null"},
        "match_typed_subject_alt_names": [{"san_type": kind, "matcher": {"exact": name}}],
    }
    assert found.get("sni") == sni


def test_each_of_several_hosts_is_checked_by_its_own_name() -> None:
    found = context(shop(targets=["a.internal:1", "b.internal:1"], tls={"ca": "/dev/null"}))
    assert found["auto_host_sni"] is True
    assert found["auto_sni_san_validation"] is True
    assert "sni" not in found


def test_both_versions_of_tls_are_spoken_and_nothing_but_http2() -> None:
    common = context(shop())["common_tls_context"]
    assert common["tls_params"] == {
        "tls_minimum_protocol_version": "TLSv1_2",
        "tls_maximum_protocol_version": "TLSv1_3",
    }
    assert common["alpn_protocols"] == ["h2"]


def test_mutual_tls() -> None:
    common = context(shop(tls={"ca": "/dev/zero", **FILES}))["common_tls_context"]
    assert common["tls_certificates"] == [
        {"certificate_chain": {"filename": "/dev/null"}, "private_key": {"filename": "/dev/null"}}
    ]
    assert "tls_certificates" not in context(shop())["common_tls_context"]


def test_without_an_authority_those_of_the_system_are_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    for file in ("/etc/ssl/certs/ca-certificates.crt", "/opt/authorities.pem"):
        validation = context(shop(tls={}))["common_tls_context"]["validation_context"]
        assert validation["trusted_ca"] == {"filename": file}
        assert validation["match_typed_subject_alt_names"]
        monkeypatch.setenv("SSL_CERT_FILE", "/opt/authorities.pem")


# -- health ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("keepalive", "interval"), [("5m", "300s"), ("10s", "10s"), ("none", None)])
def test_keepalive(keepalive: str, interval: str | None) -> None:
    [options] = shop(keepalive=keepalive)["typed_extension_protocol_options"].values()
    http2 = options["explicit_http_config"]["http2_protocol_options"]
    assert http2.get("connection_keepalive", {}).get("interval") == interval


def test_health_checks_ask_by_the_name_of_the_certificate_and_know_no_panic() -> None:
    found = shop(health_check=True)
    [check] = found["health_checks"]
    assert check["grpc_health_check"] == {"authority": "shop.internal"}
    assert found["common_lb_config"] == {"healthy_panic_threshold": {"value": 0}}
    assert not {"health_checks", "common_lb_config", "outlier_detection"} & set(shop())


def test_outlier_detection() -> None:
    found = shop(outlier_detection={"consecutive_failures": 3, "eject_for": "1m"})["outlier_detection"]
    assert found == {
        "consecutive_5xx": 3,
        "consecutive_gateway_failure": 3,
        "enforcing_consecutive_gateway_failure": 100,
        "base_ejection_time": "60s",
        "max_ejection_time": "60s",
        "max_ejection_percent": 100,
    }


# -- what Envoy fetches ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "kind", "host", "port", "san"),
    [
        ("https://login.example.com/keys", "STRICT_DNS", "login.example.com", 443, ("DNS", "login.example.com")),
        ("https://Login.example.com:8443/keys", "STRICT_DNS", "login.example.com", 8443, ("DNS", "login.example.com")),
        ("https://[2001:db8::1]/keys", "STATIC", "2001:db8::1", 443, ("IP_ADDRESS", "2001:db8::1")),
        ("http://127.0.0.1:8081/keys", "STATIC", "127.0.0.1", 8081, None),
        ("http://localhost/keys", "STRICT_DNS", "localhost", 80, None),
    ],
)
def test_where_keys_come_from(url: str, kind: str, host: str, port: int, san: tuple[str, str] | None) -> None:
    config = rendered(auth={"issuers": [{**ISSUER, "jwks": url}]})
    [found] = [each for each in config["static_resources"]["clusters"] if each["name"] != "shop"]
    assert found["type"] == kind
    assert addresses(found) == [{"socket_address": {"address": host, "port_value": port}}]
    assert ("transport_socket" in found) == (san is not None)
    if san is not None:
        tls = context(found)["common_tls_context"]
        names = tls["validation_context"]["match_typed_subject_alt_names"]
        assert names == [{"san_type": san[0], "matcher": {"exact": san[1]}}]
        assert tls["tls_params"]["tls_maximum_protocol_version"] == "TLSv1_3"
        assert context(found).get("sni") == (host if san[0] == "DNS" else None)
