"""RBAC lets in whom the gateway's own gate would let in, and nobody else."""

from functools import cache
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import settings as profile
from hypothesis import strategies as st

from gateway.envoy.authorization import rbac_filter
from gateway.envoy.node import plain
from gateway.permit import NOBODY, Subject
from gateway.policy.authorize import Permissions
from gateway.policy.claims import roles as roles_of
from gateway.settings import Authorization, Settings
from tests.unit.envoy.model import allows
from tests.unit.envoy.reading import ISSUER, MUTUAL, Node, settings

ROLES = ["a", "b", "a.b", "a|b", "a b", "admin", "admin.read", ".*", "a+", "", "A"]
SERVICES = ["a.B", "a.B.C", "a"]
PATHS = [f"/{service}/{method}" for service in SERVICES for method in ("M", "N", "M.N", "*")]
IDENTITIES = ["spiffe://a/b", "spiffe://a/b/c", "DNS:a.b", "IP:192.0.2.1", "email:a@b.test"]
OTHER = {
    **ISSUER,
    "issuer": "https://other.example.com/",
    "roles_from": ["https://x.test/roles", "deep.er"],
    "algorithms": ["PS512"],
}
GOOD = ({"typ": "at+jwt", "alg": "RS256"}, {"typ": "application/AT+JWT", "alg": "PS512"})


@cache
def usual() -> Settings:
    return settings(listeners=[MUTUAL], auth={"issuers": [ISSUER, OTHER]})


def configured(rules: list[Node], **authorization: Any) -> Settings:
    section = Authorization.model_validate({"rules": rules, **authorization})
    return usual().model_copy(update={"authorization": section})


def rbac(made: Settings) -> Node:
    node: Node = plain(rbac_filter(made))["typed_config"]
    return node


def metadata(index: int, claims: Node, header: Node | None = None) -> Node:
    """As jwt_authn leaves it for a token of an issuer."""
    return {f"issuer_{index}-payload": claims, f"issuer_{index}-header": header or GOOD[index]}


RULES = st.lists(
    st.builds(
        lambda methods, roles, identities: {"methods": methods, "roles": roles, "identities": identities},
        st.lists(st.sampled_from(PATHS), min_size=1, max_size=3),
        st.lists(st.sampled_from([role for role in ROLES if role]), min_size=1, max_size=3),
        st.lists(st.sampled_from(IDENTITIES), max_size=2),
    ),
    max_size=4,
)
ROLE_VALUES = st.one_of(
    st.lists(st.sampled_from(ROLES), max_size=3).map(" ".join),
    st.lists(st.sampled_from([*ROLES, 5, None, True]), max_size=3),
    st.sampled_from([None, 5, True, {"a": "a"}, ["a b"], "a  b", " a", "xa", "ax", "a,b", [["a"]]]),
)
CLAIMS = st.fixed_dictionaries(
    {},
    optional={
        "scope": ROLE_VALUES,
        "roles": ROLE_VALUES,
        "realm_access": st.one_of(st.fixed_dictionaries({"roles": ROLE_VALUES}), st.just("a")),
        "https://x.test/roles": ROLE_VALUES,
        "deep": st.fixed_dictionaries({"er": ROLE_VALUES}),
    },
)


ONE_FOR_ALL = {"methods": ["/a.B/*"], "roles": ["a"], "identities": ["DNS:a.b"]}
ONE_FOR_M = {"methods": ["/a.B/M", "/a/*"], "roles": ["b"], "identities": []}
WITH_A_SPACE = {"methods": ["/a.B/*"], "roles": ["a b"], "identities": []}


@profile(deadline=None, max_examples=400)
@example([ONE_FOR_ALL, ONE_FOR_M], "deny", "/a.B/M", (0, {"scope": "a"}), [])
@example([ONE_FOR_M, ONE_FOR_ALL], "deny", "/a.B/M", None, ["DNS:a.b"])
@example([ONE_FOR_ALL, ONE_FOR_M], "deny", "/a.B/N", (0, {"scope": "a"}), [])
@example([ONE_FOR_ALL], "authenticated", "/a.B/M", (0, {"scope": "b"}), [])
@example([WITH_A_SPACE], "deny", "/a.B/M", (0, {"scope": "a b"}), [])
@example([WITH_A_SPACE], "deny", "/a.B/M", (0, {"roles": ["a b"]}), [])
@given(
    RULES,
    st.sampled_from(["deny", "authenticated"]),
    st.sampled_from([path for path in PATHS if not path.endswith("*")] + ["/x.Y/M"]),  # routes let no other pass
    st.none() | st.tuples(st.integers(0, 1), CLAIMS),
    st.lists(st.sampled_from([*IDENTITIES, "DNS:x"]), max_size=2),
)
def test_it_lets_in_whom_the_gate_would(
    rules: list[Node], default: str, path: str, token: tuple[int, Node] | None, names: list[str]
) -> None:
    made = configured(rules, default=default)
    subject, shown = NOBODY, {}
    if token is not None:
        index, claims = token
        found = roles_of(claims, made.auth.issuers[index].roles_from)
        subject, shown = Subject(id="alice", issuer="x", roles=found), metadata(index, claims)
    expected = Permissions(made.authorization).allows(path.encode(), subject, tuple(names))
    assert allows(rbac(made)["rules"], path, shown, tuple(names)) == expected


@pytest.mark.parametrize(
    "header",
    [
        {"typ": "JWT+x", "alg": "RS256"},
        {"typ": "xJWT", "alg": "RS256"},
        {"typ": "dpop+jwt", "alg": "RS256"},
        {"alg": "RS256"},
        {"typ": None, "alg": "RS256"},
        {"typ": ["JWT"], "alg": "RS256"},
        {"typ": "JWT", "alg": "PS512"},
        {"typ": "JWT", "alg": "RS2567"},
        {"typ": "JWT", "alg": "none"},
        {"typ": "JWT"},
    ],
)
@pytest.mark.parametrize("default", ["deny", "authenticated"])
def test_a_token_of_the_wrong_kind_opens_nothing(header: Node, default: str) -> None:
    rules = rbac(configured([{"methods": ["/a.B/M"], "roles": ["a"]}], default=default))["rules"]
    for path in ("/a.B/M", "/x.Y/M"):
        assert not allows(rules, path, metadata(0, {"scope": "a"}, header))


@pytest.mark.parametrize("kind", ["JWT", "jwt", "application/jwt", "Application/JWT", "at+jwt", "AT+JWT"])
def test_types_have_no_case_and_may_say_application(kind: str) -> None:
    rules = rbac(configured([{"methods": ["/a.B/M"], "roles": ["a"]}]))["rules"]
    assert allows(rules, "/a.B/M", metadata(0, {"scope": "a"}, {"typ": kind, "alg": "ES256"}))


def test_the_roles_of_one_issuer_are_read_from_its_claims_alone() -> None:
    rules = rbac(configured([{"methods": ["/a.B/M"], "roles": ["a"]}]))["rules"]
    assert allows(rules, "/a.B/M", metadata(1, {"https://x.test/roles": ["a"]}))
    assert not allows(rules, "/a.B/M", metadata(0, {"https://x.test/roles": ["a"]}))
    assert not allows(rules, "/a.B/M", metadata(1, {"scope": "a"}))
    both = metadata(0, {"scope": "x"}) | {"issuer_1-payload": {"deep": {"er": "a"}}}
    assert not allows(rules, "/a.B/M", both)  # a payload without its own header is no believed token


def test_public_methods_are_open_and_nothing_beside_them_is() -> None:
    made = settings(auth={"public_methods": ["/grpc.health.v1.Health/Check"]})
    rules = rbac(made)["rules"]
    assert allows(rules, "/grpc.health.v1.Health/Check", {})
    for path in ("/grpc.health.v1.Health/Watch", "/grpc.health.v1.Health/Check/", "/grpc.health.v1.Health/check", "/"):
        assert not allows(rules, path, {})


def test_nothing_is_open_by_default() -> None:
    rules = rbac(settings(auth={"public_methods": []}))["rules"]
    assert rules == {"action": "ALLOW", "policies": {}}


# -- shadow ------------------------------------------------------------------------------------------------------------


def test_a_shadow_enforces_that_callers_are_believed_and_counts_the_rest() -> None:
    rules = [{"methods": ["/a.B/M"], "roles": ["a"], "identities": ["DNS:a.b"]}]
    shadow, strict = rbac(configured(rules, shadow=True)), rbac(configured(rules))
    assert shadow["shadow_rules"] == strict["rules"]
    enforced = shadow["rules"]
    assert allows(enforced, "/a.B/M", metadata(0, {"scope": "other"}))
    assert allows(enforced, "/x.Y/Z", metadata(1, {}))
    assert allows(enforced, "/grpc.health.v1.Health/Check", {})
    assert allows(enforced, "/a.B/M", {}, ("DNS:a.b",))
    assert not allows(enforced, "/a.B/M", {})
    assert not allows(enforced, "/a.B/M", {}, ("DNS:x",))
    assert not allows(enforced, "/x.Y/Z", {}, ("DNS:a.b",))
    assert not allows(enforced, "/a.B/M", metadata(0, {"scope": "a"}, {"typ": "x", "alg": "RS256"}))


def test_a_shadow_without_tokens_opens_nothing() -> None:
    enforced = rbac(settings(authorization={"shadow": True}, auth={"public_methods": []}))["rules"]
    assert not allows(enforced, "/a.B/M", {})
