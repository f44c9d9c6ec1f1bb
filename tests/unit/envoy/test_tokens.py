"""jwt_authn: which tokens are believed, where keys come from, and who needs none."""

from typing import Any

import pytest

from gateway.envoy.tokens import types_pattern
from gateway.policy.tokens import MAX_TOKEN
from gateway.settings import Issuer
from tests.unit.envoy.model import string_matches
from tests.unit.envoy.reading import ISSUER, LEAST, MUTUAL, Node, http_filter, listener, read, rendered, rendering

GET = "/shop.v1.Orders/Get"
OTHER = {
    **ISSUER,
    "issuer": "https://other.example.com/",
    "audiences": ["a", "b"],
    "jwks": "https://other.example.com/keys",
}
ONE, ANY = {"provider_name": "issuer_0"}, [{"provider_name": "issuer_0"}, {"provider_name": "issuer_1"}]


def jwt(**sections: Any) -> Node:
    found = http_filter(rendered(**sections), "jwt_authn")
    assert found is not None
    return found


def provider(**changes: Any) -> Node:
    """Of the first issuer."""
    found: Node = jwt(auth={"issuers": [ISSUER | changes]})["providers"]["issuer_0"]
    return found


def test_a_provider() -> None:
    assert provider() == {
        "issuer": "https://login.example.com/",
        "audiences": ["api"],
        "local_jwks": {"filename": "/dev/null"},
        "from_headers": [
            {"name": "authorization", "value_prefix": f"{scheme} "} for scheme in ("Bearer", "bearer", "BEARER")
        ],
        "forward": True,
        "require_expiration": True,
        "max_lifetime": "86400s",
        "clock_skew_seconds": 30,
        "subjects": {"safe_regex": {"regex": ".+"}},
        "payload_in_metadata": "issuer_0-payload",
        "header_in_metadata": "issuer_0-header",
        "jwt_cache_config": {"jwt_cache_size": 10000, "jwt_max_token_size": MAX_TOKEN},
    }


def test_tokens_come_in_a_header_and_nowhere_else() -> None:
    """Without from_headers Envoy takes the query parameter access_token, too."""
    assert provider()["from_headers"]
    assert not {"from_params", "from_cookies"} & set(provider())


@pytest.mark.parametrize(
    ("leeway", "skew"), [("0s", 1), ("1ms", 1), ("1s", 1), ("1500ms", 2), ("30s", 30), ("5m", 300)]
)
def test_the_leeway_is_never_zero_which_would_mean_a_minute(leeway: str, skew: int) -> None:
    assert provider(leeway=leeway)["clock_skew_seconds"] == skew


def test_several_issuers_have_a_provider_each_and_a_token_of_any_will_do() -> None:
    found = jwt(auth={"issuers": [ISSUER, OTHER]})
    assert [each["issuer"] for each in found["providers"].values()] == [ISSUER["issuer"], OTHER["issuer"]]
    assert found["providers"]["issuer_1"]["audiences"] == ["a", "b"]
    assert found["rules"][-1] == {"match": {"prefix": "/"}, "requires": {"requires_any": {"requirements": ANY}}}
    metadata = [each[f"{part}_in_metadata"] for each in found["providers"].values() for part in ("payload", "header")]
    assert len(set(metadata)) == 4


def test_no_issuer_no_filter() -> None:
    assert http_filter(rendered(), "jwt_authn") is None


def test_keys_from_afar_are_there_before_the_first_call() -> None:
    remote = provider(jwks="https://login.example.com/keys?x=1")["remote_jwks"]
    assert remote["http_uri"]["uri"] == "https://login.example.com/keys?x=1"
    assert remote["async_fetch"] == {"fast_listener": False}
    config = rendered(auth={"issuers": [{**ISSUER, "jwks": "https://login.example.com/keys"}]})
    assert remote["http_uri"]["cluster"] in [each["name"] for each in config["static_resources"]["clusters"]]


def test_a_discovered_key_set_is_where_discovery_says() -> None:
    discover = {**ISSUER, "jwks": "discover"}
    text = rendering(None, {ISSUER["issuer"]: "https://keys.example.com/k"}, auth={"issuers": [discover]}).text
    found = http_filter(read(text), "jwt_authn")
    assert found is not None
    assert found["providers"]["issuer_0"]["remote_jwks"]["http_uri"]["uri"] == "https://keys.example.com/k"


def test_every_path_needs_a_token_but_the_public_ones() -> None:
    found = jwt(auth={"issuers": [ISSUER], "public_methods": [GET, "/grpc.health.v1.Health/Check"]})
    assert found["rules"] == [
        {"match": {"path": GET}},
        {"match": {"path": "/grpc.health.v1.Health/Check"}},
        {"match": {"prefix": "/"}, "requires": ONE},
    ]
    assert found["bypass_cors_preflight"] is True
    assert found["strip_failure_response"] is True


def test_where_a_certificate_may_stand_for_the_token_it_may_be_missing_but_not_bad() -> None:
    rules = [
        {"methods": [GET, "/shop.v1.Catalog/*"], "identities": ["DNS:a.b"]},
        {"methods": ["/shop.v1.Stock/*"], "roles": ["reader"]},
    ]
    shop = {**LEAST["upstreams"]["shop"], "services": ["shop.v1.*"]}
    sections = {"authorization": {"rules": rules}, "upstreams": {"shop": shop}}
    found = jwt(listeners=[MUTUAL], auth={"issuers": [ISSUER]}, **sections)
    requires = {"requires_any": {"requirements": [ONE, {"allow_missing": {}}]}}
    assert found["rules"][1:] == [
        {"match": {"path": GET}, "requires": requires},
        {"match": {"prefix": "/shop.v1.Catalog/"}, "requires": requires},
        {"match": {"prefix": "/"}, "requires": ONE},
    ]
    assert "allow_missing_or_failed" not in str(found)


def test_claims_for_the_backend() -> None:
    found = jwt(auth={"issuers": [ISSUER, OTHER], "forward_claims": {"x-user-id": "sub", "x-tenant": "org.id"}})
    for each in found["providers"].values():
        assert each["claim_to_headers"] == [
            {"header_name": "x-user-id", "claim_name": "sub"},
            {"header_name": "x-tenant", "claim_name": "org.id"},
        ]


@pytest.mark.parametrize("forward", [True, False])
def test_the_token_goes_on_or_stays(forward: bool) -> None:
    found = jwt(auth={"issuers": [ISSUER], "forward_authorization": forward})
    assert found["providers"]["issuer_0"]["forward"] is forward


def test_every_listener_asks_for_the_same() -> None:
    config = rendered(listeners=[{"bind": "127.0.0.1:1"}, MUTUAL], auth={"issuers": [ISSUER]})
    first, second = (listener(config, index)["filter_chains"][0]["filters"][0]["typed_config"] for index in (0, 1))
    for part in ("http_filters", "route_config", "local_reply_config", "early_header_mutation_extensions"):
        assert first[part] == second[part]


@pytest.mark.parametrize(
    ("types", "kind", "good"),
    [
        (["at+jwt"], "at+jwt", True),
        (["at+jwt"], "application/at+JWT", True),
        (["application/at+jwt"], "at+jwt", True),
        (["at+jwt"], "JWT", False),
        (["at+jwt"], "atjwt", False),
        (["at+jwt"], "attjwt", False),
        (["at.jwt"], "atxjwt", False),
        (["a", "b"], "b", True),
        (["a", "b"], "ab", False),
        (["a"], "a\n", False),
        (["a"], "", False),
    ],
)
def test_types(types: list[str], kind: str, good: bool) -> None:
    issuer = Issuer(issuer="https://a.example", audiences=("a",), token_types=tuple(types))
    assert string_matches({"safe_regex": {"regex": types_pattern(issuer)}}, kind) is good
