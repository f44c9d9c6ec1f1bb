"""What is concluded where a value is bad: all that does not rest on it, and nothing that does."""

from typing import Any

import pytest

from tests.unit.settings.reading import FILES, IDENTITY_RULE, ISSUER, ROLE_RULE, listeners, told, upstreams

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
    (
        "upstreams.a",
        ISSUER + ROLE_RULE,
        {"upstreams": "upstreams: {a: 5, b: {services: [a.B], targets: ['b:1'], tls: {}}}\n"},
    ),
    ("upstreams.a b", ISSUER + ROLE_RULE, {"upstreams": upstreams(**{"a b": {"tls": {}}, "b": {"tls": {}}})}),
    ("upstreams.a.services[0]", ISSUER + ROLE_RULE, {"upstreams": upstreams(a={"services": ["/"], "tls": {}})}),
    (
        "upstreams.a.services[0]",
        "",
        {"upstreams": upstreams(a={"services": ["/"], "tls": {}, "idempotent_methods": ["/a.B/C"]})},
    ),
    ("auth.public_methods[0]", "auth: {public_methods: [/a.B/, /a.B/C]}\n", {}),
    ("auth.issuers[0].issuer", "auth: {issuers: [{}, 5]}\n" + ROLE_RULE, {}),
    ("auth.issuers", "auth: {issuers: 5}\n" + ROLE_RULE, {}),
    ("auth", "auth: 5\n" + ROLE_RULE, {}),
    ("authorization.rules[0].roles", "authorization: {rules: [{methods: [/shop.v1.Orders/*], roles: 5}]}\n", {}),
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
    "serves",
    "to this upstream",
)


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
        "gateway.yaml:4: authorization.rules[0].methods[0]: no upstream serves shop.v1.Orders",
        "gateway.yaml:5: drain: the environment variable UNSET is not set",
    ]


@pytest.mark.parametrize(("key", "rest", "sections"), BAD_VALUES, ids=[key for key, _, _ in BAD_VALUES])
def test_nothing_is_concluded_from_a_bad_value(key: str, rest: str, sections: dict[str, Any]) -> None:
    problems = told(rest, **sections)
    assert f" {key}: " in problems[0]
    assert [problem for problem in problems if any(words in problem for words in CONCLUSIONS)] == []
