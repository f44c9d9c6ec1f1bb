"""Upstreams that take more than one key to judge: transports, TLS, tokens, services."""

import pytest

from tests.unit.settings.reading import FILES, told, upstreams


@pytest.mark.parametrize("target", ["xds:///shop", "dns://8.8.8.8/shop.internal:1"])
def test_targets_that_only_grpcio_can_resolve(target: str) -> None:
    shop = {"tls": {}, "targets": ["a:1", target]}
    for transport in ("auto", "grpcio"):
        assert told(upstreams=upstreams(shop=shop | {"transport": transport})) == []
    assert told(upstreams=upstreams(shop=shop | {"transport": "h2"})) == [
        "gateway.yaml:2: upstreams.shop.targets[1]: only grpcio can resolve this target "
        "(hint: write transport: auto, which takes grpcio for it)"
    ]


@pytest.mark.parametrize(
    ("section", "fine"),
    [
        ({"transport": "h2"}, True),
        ({"transport": "auto", "targets": ["dns:///a:1", "unix:/run/a.sock"]}, True),
        ({"transport": "grpcio"}, False),
        ({"transport": "auto", "targets": ["xds:///shop"]}, False),
    ],
)
def test_who_has_least_request(section: dict[str, object], fine: bool) -> None:
    assert told(upstreams=upstreams(shop={"tls": {}, "balance": "least_request", **section})) == [
        "gateway.yaml:2: upstreams.shop.balance: grpcio has no least_request "
        "(hint: write transport: h2 and targets that it can resolve, or balance: round_robin)"
    ] * (not fine)
    assert told(upstreams=upstreams(shop={"tls": {}, "balance": "round_robin", **section})) == []


@pytest.mark.parametrize(
    ("section", "fine"),
    [
        ({}, True),
        ({"transport": "h2"}, True),
        ({"transport": "grpcio"}, False),
        ({"transport": "auto", "targets": ["xds:///shop"]}, False),
    ],
)
def test_who_counts_failures(section: dict[str, object], fine: bool) -> None:
    assert told(upstreams=upstreams(shop={"tls": {}, "outlier_detection": {}, **section})) == [
        "gateway.yaml:2: upstreams.shop.outlier_detection: needs transport h2 "
        "(hint: write transport: h2 and targets that it can resolve, or leave it out)"
    ] * (not fine)
    more = {"idempotent_methods": ["/shop.S/Get"], "health_check": True}
    assert told(upstreams=upstreams(shop={"tls": {}, **more, **section})) == []


def test_tls_or_plaintext() -> None:
    assert told(upstreams=upstreams(shop={})) == [
        "gateway.yaml:2: upstreams.shop: says neither tls nor plaintext "
        "(hint: give it tls ({} trusts whom the system trusts), or write plaintext: true)"
    ]
    both = upstreams(shop={"tls": {}, "plaintext": True, "allow_insecure_tokens": True})
    assert told(upstreams=both) == [
        "gateway.yaml:2: upstreams.shop.plaintext: has tls and plaintext: true (hint: remove one of them)"
    ]
    assert told(upstreams=upstreams(shop={"tls": {}})) == []


@pytest.mark.parametrize(("given", "missing"), [("certificate", "private_key"), ("private_key", "certificate")])
def test_half_a_pair(given: str, missing: str) -> None:
    assert told(upstreams=upstreams(shop={"tls": {given: "/dev/null"}})) == [
        f"gateway.yaml:2: upstreams.shop.tls.{given}: needs {missing} beside it"
    ]
    assert told(upstreams=upstreams(shop={"tls": FILES})) == []


def test_tokens_in_the_clear() -> None:
    plaintext = upstreams(shop={"plaintext": True})
    assert told(upstreams=plaintext) == [
        "gateway.yaml:2: upstreams.shop.plaintext: tokens would be sent in the clear (auth.forward_authorization) "
        "(hint: give it tls, write auth.forward_authorization: false, or allow_insecure_tokens: true beside it)"
    ]
    assert told("auth: {forward_authorization: false}\n", upstreams=plaintext) == []
    assert told(upstreams=upstreams(shop={"plaintext": True, "allow_insecure_tokens": True})) == []


def test_a_service_of_two_upstreams() -> None:
    both = upstreams(a={"services": ["x.Y", "*"], "tls": {}}, b={"services": ["*", "x.*", "x.Y"], "tls": {}})
    assert told(upstreams=both) == [
        "gateway.yaml:2: upstreams.b.services[0]: * is routed by upstreams.a.services[1] "
        "(hint: a service goes to one upstream; give that more targets)",
        "gateway.yaml:2: upstreams.b.services[2]: x.Y is routed by upstreams.a.services[0] "
        "(hint: a service goes to one upstream; give that more targets)",
    ]
