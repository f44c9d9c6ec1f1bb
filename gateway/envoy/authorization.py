"""`authorization` -> RBAC: who may call what.

Rule: default deny, as there. A policy names the methods of one rule and who may call them; of two rules the more
particular decides alone, so a policy for `/pkg.Service/*` leaves out what another rule names exactly.
"""

import re
from collections.abc import Iterator, Sequence

from gateway.envoy.node import Node, Said, extension, said, typed
from gateway.envoy.tokens import FILTER as JWT
from gateway.envoy.tokens import HEADER, PAYLOAD, metadata_key, types_pattern
from gateway.settings import Issuer, Rule, Settings

FILTER = "envoy.filters.http.rbac"
CERTIFICATE = "envoy.rbac.principals.mtls_authenticated"
TYPE = "envoy.extensions.filters.http.rbac.v3.RBAC"
SAN_TYPES = {"DNS": "DNS", "IP": "IP_ADDRESS", "email": "EMAIL"}
NOBODY: Node = {"not_id": {"any": True}}


def rbac_filter(settings: Settings) -> Node:
    policies = dict(_policies(settings))
    rules: Node = {"action": "ALLOW", "policies": policies}
    if not settings.authorization.shadow:
        return extension(FILTER, TYPE, rules=rules)
    return extension(
        FILTER,
        TYPE,
        rules={"action": "ALLOW", "policies": dict(_shadow_policies(settings))},
        shadow_rules=said(rules, "authorization.shadow", why="counted and logged, not enforced"),
        shadow_rules_stat_prefix="shadow.",
    )


def open_route() -> Node:
    """Of a route: the filter lets everything pass."""
    return typed("envoy.extensions.filters.http.rbac.v3.RBACPerRoute")


def _shadow_policies(settings: Settings) -> Iterator[tuple[str, Said]]:
    """What a shadow enforces: a caller is believed, or needs no token, or shows the certificate that a rule names."""
    everything: Node = {"permissions": [{"any": True}]}
    if settings.auth.issuers:
        believed = [_believed(*each) for each in enumerate(settings.auth.issuers)]
        yield "believed", said({**everything, "principals": believed}, "auth.issuers")
    yield from _public(settings)
    for index, rule in enumerate(settings.authorization.rules):
        if rule.identities:
            policy = {
                "permissions": [_covers(method) for method in rule.methods],
                "principals": [_identity(identity) for identity in rule.identities],
            }
            yield f"rule_{index}", said(policy, f"authorization.rules[{index}].identities")


def _public(settings: Settings) -> Iterator[tuple[str, Said]]:
    if settings.auth.public_methods:
        paths = [_exact(path) for path in settings.auth.public_methods]
        yield "public", said({"permissions": paths, "principals": [{"any": True}]}, "auth.public_methods")


def _policies(settings: Settings) -> Iterator[tuple[str, Said]]:
    authorization, issuers = settings.authorization, settings.auth.issuers
    yield from _public(settings)
    exact = {method for rule in authorization.rules for method in rule.methods if not method.endswith("/*")}
    for index, rule in enumerate(authorization.rules):
        policy = {
            "permissions": [_permission(method, exact) for method in rule.methods],
            "principals": [*_with_role(rule, issuers), *map(_identity, rule.identities)] or [NOBODY],
        }
        yield f"rule_{index}", said(policy, f"authorization.rules[{index}]")
    if authorization.default == "authenticated":
        named = [_covers(method) for rule in authorization.rules for method in rule.methods]
        permission: Node = {"not_rule": {"or_rules": {"rules": named}}} if named else {"any": True}
        policy = {"permissions": [permission], "principals": [_believed(*each) for each in enumerate(issuers)]}
        yield "default", said(policy, "authorization.default")


def _exact(path: str) -> Node:
    return {"url_path": {"path": {"exact": path}}}


def _covers(method: str) -> Node:
    return {"url_path": {"path": {"prefix": method.removesuffix("*")}}} if method.endswith("/*") else _exact(method)


def _permission(method: str, exact: set[str]) -> Node:
    within = sorted(path for path in exact if method.endswith("/*") and path.startswith(method.removesuffix("*")))
    if not within:
        return _covers(method)
    others = {"not_rule": {"or_rules": {"rules": [_exact(path) for path in within]}}}
    return {"and_rules": {"rules": [_covers(method), others]}}


def _with_role(rule: Rule, issuers: Sequence[Issuer]) -> list[Node]:
    """A principal for each issuer: its token is believed, and a claim names one of the roles."""
    principals: list[Node] = []
    for index, issuer in enumerate(issuers):
        claims = [_claim(index, path, rule.roles) for path in map(claim_path, issuer.roles_from) if all(path)]
        if rule.roles and claims:
            principals.append({"and_ids": {"ids": [*_kind(index, issuer), {"or_ids": {"ids": claims}}]}})
    return principals


def _believed(index: int, issuer: Issuer) -> Node:
    return {"and_ids": {"ids": _kind(index, issuer)}}


def _kind(index: int, issuer: Issuer) -> list[Node]:
    """The token is of a type and an algorithm of `issuer`."""
    key = metadata_key(index, HEADER)
    return [
        _metadata([key, "typ"], {"string_match": {"safe_regex": {"regex": types_pattern(issuer)}}}),
        _metadata([key, "alg"], {"string_match": {"safe_regex": {"regex": _any_of(issuer.algorithms)}}}),
    ]


def claim_path(claim: str) -> list[str]:
    """A name with a slash or colon is a URL, whose dots lead nowhere."""
    return [claim] if re.search("[/:]", claim) else claim.split(".")


def _claim(index: int, path: list[str], roles: Sequence[str]) -> Node:
    """A text with one of the roles between spaces, or a list with one of them."""
    in_list = {"list_match": {"one_of": {"string_match": {"safe_regex": {"regex": _any_of(roles)}}}}}
    value: Node = in_list
    if words := [role for role in roles if " " not in role]:
        in_text = {"string_match": {"safe_regex": {"regex": f"(?:.* )?(?:{_any_of(words)})(?: .*)?"}}}
        value = {"or_match": {"value_matchers": [in_text, in_list]}}
    return _metadata([metadata_key(index, PAYLOAD), *path], value)


def _any_of(names: Sequence[str]) -> str:
    return "|".join(map(re.escape, names))


def _metadata(path: Sequence[str], value: Node) -> Node:
    matcher = {"filter": JWT, "path": [{"key": step} for step in path], "value": value}
    return {"sourced_metadata": {"metadata_matcher": matcher, "metadata_source": "DYNAMIC"}}


def _identity(identity: str) -> Node:
    kind, _, name = identity.partition(":")
    san = {"san_type": SAN_TYPES.get(kind, "URI"), "matcher": {"exact": name if kind in SAN_TYPES else identity}}
    config = typed("envoy.extensions.rbac.principals.mtls_authenticated.v3.Config", san_matcher=san)
    return {"custom": {"name": CERTIFICATE, "typed_config": config}}
