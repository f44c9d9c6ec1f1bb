"""What stops the rendering, all at once, and what is told: each exactly when it applies."""

from pathlib import Path
from typing import Any

import pytest

from gateway.envoy import Files
from gateway.envoy.render import render
from gateway.settings import SettingsError, parse
from tests.unit.envoy.reading import FILES, ISSUER, LEAST, MUTUAL, Node, refused, rendering, told

DISCOVERED = {**ISSUER, "jwks": "discover"}
RULE = {"methods": ["/shop.v1.Orders/*"], "roles": ["reader"]}


def shop(**changes: Any) -> dict[str, Any]:
    return {"shop": LEAST["upstreams"]["shop"] | changes}


# -- obstacles ---------------------------------------------------------------------------------------------------------


def test_every_obstacle_is_told_at_once_with_its_line_and_what_to_do() -> None:
    text = """\
listeners:
  - bind: gateway.internal:8443
    tls: {certificate: /dev/null, private_key: /dev/null, client_ca: /dev/null, client_auth: optional}
admin: {bind: 0.0.0.0:0}
auth:
  issuers:
    - issuer: https://login.example.com/tenant/
      audiences: [api]
  introspection: {url: 'https://login.example.com/introspect', client_id: gateway, client_secret: hunter2}
authorization:
  rules:
    - methods: [/shop.v1.Orders/*]
      identities: [DNS:ops.internal, CN:batch]
upstreams:
  shop:
    services: [shop.v1.Orders]
    targets:
      - shop.internal:50051
      - unix:/run/shop.sock
    tls: {server_name: shop.internal}
  more:
    services: [more.v1.*]
    targets: [xds:///more, dns://1.1.1.1/more.internal:1]
    tls: {}
  far:
    services: [far.v1.*]
    targets: [192.0.2.1:1, far.internal:1]
    tls: {}
limits:
  rate: [{key: peer, limit: 1/second}]
  max_calls_per_peer: 5
"""
    with pytest.raises(SettingsError) as caught:
        render(parse(text, Path("/etc"), {}, "x.yaml"))
    assert [str(problem) for problem in caught.value.problems] == [
        "x.yaml:2: listeners[0].bind: Envoy listens on addresses, not on names: gateway.internal "
        "(hint: write the address)",
        "x.yaml:4: admin.bind: Envoy needs a port here that others can know (hint: choose one)",
        "x.yaml:7: auth.issuers[0].jwks: Envoy cannot discover key sets "
        "(hint: write the jwks_uri of https://login.example.com/tenant/.well-known/openid-configuration here)",
        "x.yaml:9: auth.introspection: Envoy cannot ask about opaque tokens "
        "(hint: an ext_authz service of your own can, or have the issuer give JWTs)",
        "x.yaml:13: authorization.rules[0].identities[1]: Envoy's rules know no common name: CN:batch "
        "(hint: name a URI, DNS:…, IP:… or email:…)",
        "x.yaml:17: upstreams.shop.targets: Envoy cannot mix sockets (unix:) and hosts in one cluster "
        "(hint: use one kind only)",
        "x.yaml:23: upstreams.more.targets[0]: Envoy has its own xDS and no xds: targets: xds:///more "
        "(hint: name hosts)",
        "x.yaml:23: upstreams.more.targets[1]: a name server of its own is not rendered: dns://1.1.1.1/more.internal:1 "
        "(hint: write dns:///HOST:PORT)",
        "x.yaml:28: upstreams.far.tls.server_name: is missing: Envoy checks one name, or the host names of targets, "
        "but not different addresses (hint: name one that stands in all their certificates)",
        "x.yaml:30: limits.rate: is not rendered "
        "(hint: Envoy's local_ratelimit or a rate limit service can; add it by hand and leave this out)",
        "x.yaml:31: limits.max_calls_per_peer: Envoy does not count calls of one address (hint: leave it out)",
    ]


@pytest.mark.parametrize(
    "sections",
    [
        {"listeners": [{"bind": "localhost:8080"}, {"bind": "[::1]:8080"}], "admin": {"bind": "localhost:9901"}},
        {"admin": {"bind": "127.0.0.1:0"}},
        {"admin": {"bind": "[::]:9901"}},
        {
            "listeners": [MUTUAL],
            "authorization": {"rules": [{"methods": ["/shop.v1.Orders/A"], "identities": ["urn:x:y", "IP:192.0.2.1"]}]},
        },
        {"upstreams": shop(targets=["unix:/run/a.sock", "unix:/run/b.sock"])},
        {"upstreams": shop(targets=["a.internal:1", "b.internal:2"])},
        {"upstreams": shop(targets=["192.0.2.1:1", "192.0.2.1:2"])},
        {"upstreams": shop(targets=["192.0.2.1:1", "192.0.2.2:1"], tls={"server_name": "a.internal"})},
        {
            "upstreams": shop(
                targets=["192.0.2.1:1", "a.internal:1"], tls=None, plaintext=True, allow_insecure_tokens=True
            )
        },
        {"upstreams": shop(targets=["dns:///a.internal:1", "dns:b.internal:1"])},
        {"limits": {"rate": [], "rate_storage": "memory"}},
    ],
)
def test_what_is_no_obstacle(sections: dict[str, Any]) -> None:
    assert refused(**sections) == []


def test_rates_stop_it_wherever_they_are_counted() -> None:
    rate = [{"key": "subject", "limit": "1/second"}]
    [problem] = refused(limits={"rate": rate, "rate_storage": "redis://:hunter2@cache"})
    assert "limits.rate: is not rendered" in problem
    assert "hunter2" not in problem


def test_a_discovered_key_set_is_no_obstacle_once_it_is_known() -> None:
    uris = {ISSUER["issuer"]: "https://login.example.com/keys"}
    assert rendering(None, uris, auth={"issuers": [DISCOVERED]}).text
    [problem] = refused(auth={"issuers": [DISCOVERED]})
    assert "auth.issuers[0].jwks" in problem


# -- differences -------------------------------------------------------------------------------------------------------

ALWAYS = {"limits.max_request_message", "limits.max_response_message", "limits.max_metadata", "limits.body_stall"} | {
    "listeners[0].http2",
    "limits.max_calls",
    "admin.bind",
    "drain",
    "auth.issuers",
}
OF_AN_ISSUER = {"jwks", "token_types", "algorithms", "leeway", "max_lifetime"}
TLS = {"bind": "127.0.0.1:8443", "tls": FILES}

DIFFERENCES: list[tuple[str, dict[str, Any], set[str]]] = [
    ("nothing but what is always so", {}, set()),
    (
        "a listener with TLS",
        {"listeners": [LEAST["listeners"][0], TLS]},
        {"listeners[1].http2", "listeners[1].tls.certificate"},
    ),
    ("origins", {"cors": {"allow_origins": ["https://a.example"]}}, {"cors.expose_headers"}),
    ("an issuer", {"auth": {"issuers": [ISSUER]}}, {f"auth.issuers[0].{name}" for name in OF_AN_ISSUER}),
    (
        "an issuer with a URL of keys",
        {"auth": {"issuers": [{**ISSUER, "jwks": "https://login.example.com/keys"}]}},
        {f"auth.issuers[0].{name}" for name in OF_AN_ISSUER - {"jwks"}},
    ),
    ("claims for the backend", {"auth": {"forward_claims": {"x-user-id": "sub"}}}, {"auth.forward_claims"}),
    (
        "identities",
        {
            "listeners": [MUTUAL],
            "authorization": {"rules": [{"methods": ["/shop.v1.Orders/Get"], "identities": ["DNS:a.b"]}]},
        },
        {"listeners[0].tls.certificate", "authorization.rules"},
    ),
    ("a shadow", {"authorization": {"shadow": True}}, {"authorization.shadow"}),
    ("descriptors", {"authorization": {"descriptors": "/dev/null"}}, {"authorization.descriptors"}),
    ("reflection", {"authorization": {"descriptors": "reflection"}}, {"authorization.descriptors"}),
    ("a transport", {"upstreams": shop(transport="grpcio")}, {"upstreams.shop.transport"}),
    ("connections", {"upstreams": shop(connections=2)}, {"upstreams.shop.connections"}),
    ("a client certificate", {"upstreams": shop(tls={"ca": "/dev/null", **FILES})}, {"upstreams.shop.tls.certificate"}),
    ("no authority", {"upstreams": shop(tls={})}, {"upstreams.shop.tls.ca"}),
    ("idle streams", {"limits": {"stream_idle": "1m"}}, {"limits.stream_idle"}),
    ("a default deadline", {"limits": {"default_deadline": "1m"}}, {"limits.default_deadline"}),
    ("a longest deadline", {"limits": {"default_deadline": "1m", "max_deadline": "2m"}}, {"limits.max_deadline"}),
]


@pytest.mark.parametrize(
    ("sections", "expected"), [case[1:] for case in DIFFERENCES], ids=[case[0] for case in DIFFERENCES]
)
def test_each_difference_is_told_when_it_applies(sections: dict[str, Any], expected: set[str]) -> None:
    always = ALWAYS - {"auth.issuers"} if "authorization.rules" in expected else ALWAYS
    assert set(told(**sections)) == always | expected


def test_without_http2_there_is_no_native_grpc_to_tell_of() -> None:
    assert "native gRPC is refused" in told()["listeners[0].http2"]
    assert "listeners[0].http2" not in told(listeners=[{**LEAST["listeners"][0], "http2": False}])


def test_no_admin_address_has_no_difference() -> None:
    assert "admin.bind" not in told(admin=None)


def test_what_is_told_depends_on_what_is_set() -> None:
    assert "/healthz" in told(admin={"bind": "0.0.0.0:9901"})["admin.bind"]
    assert "/ready and /stats/prometheus" in told()["admin.bind"]
    assert told()["auth.issuers"] == "there are none, and a refusal is 7 (PERMISSION_DENIED), not 16"
    expires = told(auth={"issuers": [ISSUER]})["auth.issuers"]
    assert expires == "a stream goes on when its token expires; limits.max_deadline would end it"
    expires = told(auth={"issuers": [ISSUER]}, limits={"max_deadline": "1h"})["auth.issuers"]
    assert expires == "a stream goes on when its token expires"


@pytest.mark.parametrize(
    ("leeway", "works"), [("0s", "1s"), ("500ms", "1s"), ("1s", "1s"), ("1500ms", "2s"), ("30s", "30s")]
)
def test_for_how_long_an_expired_token_works(leeway: str, works: str) -> None:
    warnings = rendering(auth={"issuers": [{**ISSUER, "leeway": leeway}]}).warnings
    [warning] = [each for each in warnings if each.key.endswith("leeway")]
    assert warning.message == f"counts for exp, too: a token works for {works} after it has expired"
    assert (warning.hint is None) == (works == "1s")


def test_certificates_that_are_watched_are_told_of_otherwise() -> None:
    sections: Node = {"listeners": [TLS], "upstreams": shop(tls={"ca": "/dev/null", **FILES})}
    watched = rendering(Files(Path("/etc")).watching(Path("/run/secrets")), **sections)
    once = rendering(**sections)
    for rendered, words in ((watched, "moved into place"), (once, "read once")):
        told_of = {each.key: each.message for each in rendered.warnings if each.key.endswith("certificate")}
        assert set(told_of) == {"listeners[0].tls.certificate", "upstreams.shop.tls.certificate"}
        assert all(words in message for message in told_of.values())


def test_differences_are_in_the_order_of_the_file() -> None:
    lines = [warning.line or 0 for warning in rendering(auth={"issuers": [ISSUER]}, limits={"max_calls": 5}).warnings]
    assert lines == sorted(lines)
    assert max(lines) > 1
