"""Who may call, where it takes more than one key to judge: origins, issuers, rules."""

import json

from tests.unit.settings.reading import FILES, IDENTITY_RULE, ISSUER, ROLE_RULE, listeners, told

INTROSPECTION = "auth: {introspection: {url: 'https://a.example/', client_id: a, client_secret: b}}\n"


def test_any_origin_with_credentials() -> None:
    assert told("cors:\n  allow_credentials: true\n  allow_origins:\n    - https://a.example\n    - '*'\n") == [
        'gateway.yaml:7: cors.allow_origins[1]: "*" with allow_credentials: true would let every page act as its user '
        "(hint: name the origins, or remove allow_credentials)"
    ]
    assert told("cors: {allow_origins: ['*']}\n") == []
    assert told("cors: {allow_origins: ['https://*.a.example'], allow_credentials: true}\n") == []


def test_an_issuer_twice() -> None:
    one = {"issuer": "https://a.example", "audiences": ["a"]}
    assert told("auth: " + json.dumps({"issuers": [one, one]}) + "\n") == [
        "gateway.yaml:3: auth.issuers[1].issuer: is the same as auth.issuers[0].issuer (hint: join the two)"
    ]


def test_a_rule_that_lets_nobody_in() -> None:
    assert told(ISSUER + "authorization: {rules: [{methods: [/shop.v1.Orders/*]}]}\n") == [
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
