"""Methods of services that no upstream serves, or another one than is said."""

import pytest

from tests.unit.settings.reading import ISSUER, told, upstreams

SHOP = upstreams(shop={"services": ["shop.v1.Orders", "stock.v1.*"], "tls": {}})
NONE_NEAR = "mend it, or add it to the services of an upstream"


def rule(method: str) -> str:
    return ISSUER + f"authorization: {{rules: [{{methods: [{method}], roles: [r]}}]}}\n"


@pytest.mark.parametrize(
    ("service", "hint"),
    [
        ("shop.v1.Order", "did you mean shop.v1.Orders?"),
        ("shop.v2.Orders", "did you mean shop.v1.Orders?"),
        ("stok.v1.Stock", "did you mean stock.v1.Stock?"),
        ("x.Y", NONE_NEAR),
    ],
)
def test_a_service_that_no_upstream_serves(service: str, hint: str) -> None:
    told_of = f"no upstream serves {service} (hint: {hint})"
    assert told(rule(f"/{service}/Get"), upstreams=SHOP) == [
        f"gateway.yaml:4: authorization.rules[0].methods[0]: {told_of}"
    ]
    assert told(rule(f"/shop.v1.Orders/Get, /{service}/*"), upstreams=SHOP) == [
        f"gateway.yaml:4: authorization.rules[0].methods[1]: {told_of}"
    ]
    assert told(f"auth: {{public_methods: [/{service}/Get]}}\n", upstreams=SHOP) == [
        f"gateway.yaml:3: auth.public_methods[0]: {told_of}"
    ]


@pytest.mark.parametrize("method", ["/shop.v1.Orders/Get", "/shop.v1.Orders/*", "/stock.v1.Stock/*", "/stock.v1.a.B/C"])
def test_services_that_an_upstream_serves(method: str) -> None:
    assert told(rule(method), upstreams=SHOP) == []


def test_an_upstream_for_all_the_rest_serves_everything() -> None:
    for others in ({}, {"shop": {"tls": {}}}):
        rest = {"services": ["*"], "tls": {}, "idempotent_methods": ["/x.Y/*"]}
        assert told(rule("/x.Y/*"), upstreams=upstreams(rest=rest, **others)) == []


def test_health_may_be_anywhere() -> None:
    health = {"tls": {}, "idempotent_methods": ["/grpc.health.v1.Health/Check"]}
    public = "auth: {public_methods: [/grpc.health.v1.Health/Check]}\n"
    assert told(public, upstreams=upstreams(a=health, b=health)) == []
    assert told(rule("/grpc.health.v1.Health/Watch"), upstreams=upstreams(a=health, b=health)) == []


@pytest.mark.parametrize(
    ("method", "hint"),
    [
        ("/a.T/Get", "did you mean a.S?"),
        ("/b.S/Get", "it goes to upstreams.b: write it there"),
        ("/x.Y/*", NONE_NEAR),
    ],
)
def test_an_idempotent_method_of_another_upstream(method: str, hint: str) -> None:
    made = upstreams(a={"tls": {}, "idempotent_methods": ["/a.S/Get", method]}, b={"tls": {}})
    service = method.split("/")[1]
    assert told(upstreams=made) == [
        f"gateway.yaml:2: upstreams.a.idempotent_methods[1]: no call of {service} goes to this upstream (hint: {hint})"
    ]


def test_the_most_particular_upstream_has_the_calls() -> None:
    made = upstreams(a={"services": ["*"], "tls": {}, "idempotent_methods": ["/b.S/Get"]}, b={"tls": {}})
    assert told(upstreams=made) == [
        "gateway.yaml:2: upstreams.a.idempotent_methods[0]: no call of b.S goes to this upstream "
        "(hint: it goes to upstreams.b: write it there)"
    ]
