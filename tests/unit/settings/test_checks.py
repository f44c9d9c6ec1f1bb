"""What takes more than one key to judge."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from tests.unit.settings.reading import ISSUER, told

FILES = {"certificate": "/dev/null", "private_key": "/dev/null"}
ROLE_RULE = "authorization: {rules: [{methods: [/a.B/*], roles: [r]}]}\n"
IDENTITY_RULE = "authorization: {rules: [{methods: [/a.B/*], identities: ['CN:x']}]}\n"
INTROSPECTION = "auth: {introspection: {url: 'https://a.example/', client_id: a, client_secret: b}}\n"


def listeners(*listeners: Mapping[str, object]) -> str:
    return "listeners: " + json.dumps(list(listeners)) + "\n"


def upstreams(**upstreams: Mapping[str, object]) -> str:
    whole = {name: {"services": [f"{name}.S"], "targets": ["a:1"], **upstream} for name, upstream in upstreams.items()}
    return "upstreams: " + json.dumps(whole) + "\n"


# -- listeners -------------------------------------------------------------------------------------------------------


def test_plaintext_on_a_public_address() -> None:
    assert told(listeners=listeners({"bind": "0.0.0.0:8080"})) == [
        "gateway.yaml:1: listeners[0].bind: plaintext on 0.0.0.0:8080, which other machines can reach "
        "(hint: give it tls, bind it to 127.0.0.1, or write allow_plaintext: true behind something that does TLS)"
    ]


@pytest.mark.parametrize(
    "listener",
    [
        {"bind": "0.0.0.0:8080", "allow_plaintext": True},
        {"bind": "0.0.0.0:8080", "tls": FILES},
        {"bind": "127.0.0.1:8080"},
        {"bind": "[::1]:8080"},
        {"bind": "localhost:8080"},
    ],
)
def test_where_plaintext_may_be(listener: Mapping[str, object]) -> None:
    assert told(listeners=listeners(listener)) == []


@pytest.mark.parametrize("client_auth", ["optional", "required"])
def test_client_auth_needs_client_ca(client_auth: str) -> None:
    assert told(listeners=listeners({"bind": "127.0.0.1:1", "tls": FILES | {"client_auth": client_auth}})) == [
        f"gateway.yaml:1: listeners[0].tls.client_auth: client_auth: {client_auth} needs client_ca "
        "(hint: name the certificates that may sign those of clients)"
    ]


def test_a_client_ca_that_nobody_asks_about() -> None:
    assert told(listeners=listeners({"bind": "127.0.0.1:1", "tls": FILES | {"client_ca": "/dev/null"}})) == [
        "gateway.yaml:1: listeners[0].tls.client_ca: has no effect: no client is asked for a certificate "
        "(hint: write client_auth: optional or required, or remove client_ca)"
    ]


def test_an_address_twice() -> None:
    both = listeners({"bind": "127.0.0.1:1"}, {"bind": "127.0.0.1:0"}, {"bind": "127.0.0.1:0"}, {"bind": "127.0.0.1:1"})
    assert told(listeners=both) == [
        "gateway.yaml:1: listeners[3].bind: 127.0.0.1:1 is taken by listeners[0].bind (hint: choose another port)"
    ]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("0.0.0.0:1", "127.0.0.1:1"),
        ("127.0.0.1:1", "0.0.0.0:1"),
        ("[::]:1", "[::1]:1"),
        ("localhost:1", "127.0.0.1:1"),
        ("0.0.0.0:1", "localhost:1"),
    ],
)
def test_every_address_takes_in_each(one: str, other: str) -> None:
    both = listeners({"bind": one, "allow_plaintext": True}, {"bind": other, "allow_plaintext": True})
    assert told(listeners=both) == [
        f"gateway.yaml:1: listeners[1].bind: {other} is taken by listeners[0].bind, {one} (hint: choose another port)"
    ]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("0.0.0.0:1", "[::]:1"),
        ("0.0.0.0:1", "[::1]:1"),
        ("[::]:1", "127.0.0.1:1"),
        ("0.0.0.0:1", "127.0.0.1:2"),
        ("0.0.0.0:0", "127.0.0.1:0"),
        ("127.0.0.1:1", "127.0.0.2:1"),
        ("0.0.0.0:1", "a.example:1"),
    ],
)
def test_addresses_beside_each_other(one: str, other: str) -> None:
    both = listeners({"bind": one, "allow_plaintext": True}, {"bind": other, "allow_plaintext": True})
    assert told(listeners=both) == []


@pytest.mark.parametrize("bind", ["0.0.0.0:9901", "127.0.0.1:9901"])
def test_the_address_of_the_operators_pages_is_taken(bind: str) -> None:
    taken = "admin.bind" if bind == "127.0.0.1:9901" else "admin.bind, 127.0.0.1:9901"
    listener = listeners({"bind": bind, "allow_plaintext": True})
    assert told(listeners=listener) == [
        f"gateway.yaml:1: listeners[0].bind: {bind} is taken by {taken} "
        "(hint: choose another port, or write another for admin.bind)"
    ]
    assert told("admin: null\n", listeners=listener) == []
    written = listeners({"bind": "127.0.0.1:1"})
    assert told("admin: {bind: '0.0.0.0:1'}\n", listeners=written) == [
        "gateway.yaml:3: admin.bind: 0.0.0.0:1 is taken by listeners[0].bind, 127.0.0.1:1 (hint: choose another port)"
    ]
    assert told("admin: {bind: '[::]:9901'}\n", listeners=listener) == []


# -- transports ------------------------------------------------------------------------------------------------------


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
    more = {"idempotent_methods": ["/a.B/C"], "health_check": True}
    assert told(upstreams=upstreams(shop={"tls": {}, **more, **section})) == []


# -- origins ---------------------------------------------------------------------------------------------------------


def test_any_origin_with_credentials() -> None:
    assert told("cors:\n  allow_credentials: true\n  allow_origins:\n    - https://a.example\n    - '*'\n") == [
        'gateway.yaml:7: cors.allow_origins[1]: "*" with allow_credentials: true would let every page act as its user '
        "(hint: name the origins, or remove allow_credentials)"
    ]
    assert told("cors: {allow_origins: ['*']}\n") == []
    assert told("cors: {allow_origins: ['https://*.a.example'], allow_credentials: true}\n") == []


# -- tokens and rules ------------------------------------------------------------------------------------------------


def test_an_issuer_twice() -> None:
    one = {"issuer": "https://a.example", "audiences": ["a"]}
    assert told("auth: " + json.dumps({"issuers": [one, one]}) + "\n") == [
        "gateway.yaml:3: auth.issuers[1].issuer: is the same as auth.issuers[0].issuer (hint: join the two)"
    ]


def test_a_rule_that_lets_nobody_in() -> None:
    assert told(ISSUER + "authorization: {rules: [{methods: [/a.B/*]}]}\n") == [
        "gateway.yaml:4: authorization.rules[0]: lets nobody in "
        "(hint: name roles or identities; methods for everyone go to auth.public_methods)"
    ]


def test_roles_without_tokens() -> None:
    assert told(ROLE_RULE) == [
        "gateway.yaml:3: authorization.rules[0].roles: no token is believed, so nobody has a role "
        "(hint: add auth.issuers)"
    ]
    assert told(ISSUER + ROLE_RULE) == []
    assert told(INTROSPECTION + ROLE_RULE) == []


def test_identities_without_client_certificates() -> None:
    assert told(IDENTITY_RULE) == [
        "gateway.yaml:3: authorization.rules[0].identities: no listener asks clients for a certificate "
        "(hint: set client_ca and client_auth under the tls of a listener)"
    ]
    mtls = {"bind": "127.0.0.1:1", "tls": FILES | {"client_ca": "/dev/null", "client_auth": "optional"}}
    assert told(IDENTITY_RULE, listeners=listeners({"bind": "127.0.0.1:2"}, mtls)) == []


def test_authenticated_by_nothing() -> None:
    default = "authorization: {default: authenticated}\n"
    assert told(default) == [
        "gateway.yaml:3: authorization.default: authenticated, but no token is believed, so nobody is "
        "(hint: add auth.issuers)"
    ]
    assert told(ISSUER + default) == []


def test_nothing_is_allowed_by_default_and_that_is_fine() -> None:
    assert told() == []


# -- upstreams -------------------------------------------------------------------------------------------------------


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


def test_a_default_beyond_the_longest_deadline() -> None:
    assert told("limits: {default_deadline: 10s, max_deadline: 5s}\n") == [
        "gateway.yaml:3: limits.default_deadline: is longer than max_deadline, 5s"
    ]
    assert told("limits: {default_deadline: 5s, max_deadline: 5s}\n") == []


# -- rates -----------------------------------------------------------------------------------------------------------


def test_more_calls_of_one_address_than_of_all() -> None:
    assert told("limits: {max_calls: 5, max_calls_per_peer: 6}\n") == [
        "gateway.yaml:3: limits.max_calls_per_peer: has no effect: max_calls is 5"
    ]
    assert told("limits: {max_calls: 5, max_calls_per_peer: 5}\n") == []


@pytest.mark.parametrize(
    ("rate", "least", "most"),
    [
        ({"limit": "100/second", "burst": 9}, 10, 8_640_000),
        ({"limit": "999999999/second", "burst": 1_000_000}, 100_000_000, 86_399_999_913_600),
        ({"limit": "1/hour", "burst": 25}, 1, 24),
        ({"limit": "20/minute", "burst": 28_801}, 1, 28_800),
    ],
)
def test_a_burst_that_is_worth_no_time_or_too_much(rate: dict[str, object], least: int, most: int) -> None:
    assert told("limits: " + json.dumps({"rate": [{"key": "peer", **rate}]}) + "\n") == [
        f"gateway.yaml:3: limits.rate[0].burst: must be from {least} to {most}, "
        f"which {rate['limit']} allows in 100ms and in a day"
    ]
    if most <= 1_000_000:
        for burst in (least, most):
            assert told("limits: " + json.dumps({"rate": [{"key": "peer", **rate, "burst": burst}]}) + "\n") == []


def test_a_rate_twice() -> None:
    rates = "{key: peer, limit: 1/second}, {key: subject, limit: 1/second}, {key: peer, limit: 1/second}"
    assert told(f"limits: {{rate: [{rates}]}}\n") == [
        "gateway.yaml:3: limits.rate[2]: is the same as limits.rate[0] (hint: remove one of them)"
    ]
    assert told("limits: {rate: [{key: peer, limit: 1/second}, {key: peer, limit: 20/minute}]}\n") == []


def test_a_storage_without_rates() -> None:
    assert told("limits: {rate_storage: 'redis://:hunter2@cache'}\n") == [
        "gateway.yaml:3: limits.rate_storage: has no effect: no rate is counted (hint: remove it, or add limits.rate)"
    ]


def test_memory_does_not_fail() -> None:
    assert told("limits: {rate: [{key: peer, limit: 1/second}], rate_storage_failure: allow}\n") == [
        "gateway.yaml:3: limits.rate_storage_failure: has no effect: memory does not fail (hint: remove it)"
    ]
    redis = "rate_storage: 'redis://cache', rate_storage_failure: allow"
    assert told(f"limits: {{rate: [{{key: peer, limit: 1/second}}], {redis}}}\n") == []


# -- with bad values -------------------------------------------------------------------------------------------------


def test_a_bad_value_hides_no_other_problem() -> None:
    problems = told(
        "cors: {allow_origins: ['*'], allow_credentials: true, max_age: soon}\n" + ROLE_RULE + "drain: ${UNSET}\n",
        listeners=listeners({"bind": "0.0.0.0:1", "htp2": False}, {"bind": 5}, {"bind": "0.0.0.0:2"}, {}),
        upstreams=upstreams(a={"targets": ["a"]}, b={"services": ["a.S"], "tls": {"ca": "nowhere.pem"}}),
    )
    assert [problem.partition(" (hint")[0] for problem in problems] == [
        "gateway.yaml:1: listeners[0].htp2: unknown key",
        "gateway.yaml:1: listeners[1].bind: must be HOST:PORT, like 127.0.0.1:8080",
        "gateway.yaml:1: listeners[3].bind: is missing",
        "gateway.yaml:1: listeners[0].bind: plaintext on 0.0.0.0:1, which other machines can reach",
        "gateway.yaml:1: listeners[2].bind: plaintext on 0.0.0.0:2, which other machines can reach",
        "gateway.yaml:2: upstreams.a.targets[0]: must be HOST:PORT or [V6]:PORT, like a:8080",
        "gateway.yaml:2: upstreams.b.tls.ca: no such file: nowhere.pem",
        "gateway.yaml:2: upstreams.a: says neither tls nor plaintext",
        "gateway.yaml:2: upstreams.b.services[0]: a.S is routed by upstreams.a.services[0]",
        "gateway.yaml:3: cors.max_age: must be a duration like 500ms, 10s, 5m or 2h",
        'gateway.yaml:3: cors.allow_origins[0]: "*" with allow_credentials: true would let every page act as its user',
        "gateway.yaml:4: authorization.rules[0].roles: no token is believed, so nobody has a role",
        "gateway.yaml:5: drain: the environment variable UNSET is not set",
    ]


BAD_VALUES: list[tuple[str, str, dict[str, Any]]] = [
    ("admin", "admin: 5\n", {"listeners": listeners({"bind": "127.0.0.1:9901"})}),
    ("listeners[0].tls", "", {"listeners": listeners({"bind": "0.0.0.0:1", "tls": "yes"})}),
    ("listeners[0].allow_plaintext", "", {"listeners": listeners({"bind": "0.0.0.0:1", "allow_plaintext": "x"})}),
    (
        "listeners[0].tls.client_auth",
        IDENTITY_RULE,
        {"listeners": listeners({"bind": "127.0.0.1:1", "tls": FILES | {"client_auth": 1}})},
    ),
    ("listeners", "", {"listeners": "listeners: 5\n"}),
    ("upstreams.a.tls", "", {"upstreams": upstreams(a={"tls": "yes"})}),
    ("upstreams.a.plaintext", "", {"upstreams": upstreams(a={"plaintext": "maybe"})}),
    (
        "upstreams.a.allow_insecure_tokens",
        "",
        {"upstreams": upstreams(a={"plaintext": True, "allow_insecure_tokens": "?"})},
    ),
    (
        "upstreams.a.tls.certificate",
        "",
        {"upstreams": upstreams(a={"tls": {"certificate": "nowhere", "private_key": "/dev/null"}})},
    ),
    (
        "upstreams.a.services[1]",
        "",
        {"upstreams": upstreams(a={"services": ["x.Y", "/"], "tls": {}}, b={"services": ["any.Service"], "tls": {}})},
    ),
    ("upstreams", "", {"upstreams": "upstreams: []\n"}),
    ("auth.issuers[0].issuer", "auth: {issuers: [{}, 5]}\n" + ROLE_RULE, {}),
    ("auth.issuers", "auth: {issuers: 5}\n" + ROLE_RULE, {}),
    ("auth", "auth: 5\n" + ROLE_RULE, {}),
    ("authorization.rules[0].roles", "authorization: {rules: [{methods: [/a.B/*], roles: 5}]}\n", {}),
    ("cors.allow_origins[0]", "cors: {allow_origins: [x, '*'], allow_credentials: true}\n", {}),
    ("limits.max_deadline", "limits: {default_deadline: 10s, max_deadline: 5}\n", {}),
    ("limits.max_calls", "limits: {max_calls: 5s, max_calls_per_peer: 100000}\n", {}),
    ("limits.rate[0].limit", "limits: {rate: [{key: peer, limit: 1/day, burst: 100}]}\n", {}),
    ("limits.rate", "limits: {rate: 5, rate_storage: 'redis://cache'}\n", {}),
    ("limits.rate_storage", "limits: {rate_storage: 'redis://', rate_storage_failure: allow}\n", {}),
]
CONCLUSIONS = (
    "is taken",
    "plaintext on",
    "neither",
    "clear",
    "nobody",
    "routed",
    "asks",
    "credentials:",
    "longer",
    "beside",
    "effect",
    "in a day",
)


@pytest.mark.parametrize(("key", "rest", "sections"), BAD_VALUES, ids=[key for key, _, _ in BAD_VALUES])
def test_nothing_is_concluded_from_a_bad_value(key: str, rest: str, sections: dict[str, Any]) -> None:
    problems = told(rest, **sections)
    assert f" {key}: " in problems[0]
    assert [problem for problem in problems if any(words in problem for words in CONCLUSIONS)] == []
