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
TYPE = "envoy.extensions.filters.http.rbac.v3.RBAC"


def rbac_filter(settings: Settings) -> Node:
    policies = dict(_policies(settings))
    rules: Node = {"action": "ALLOW", "policies": policies}
    if not settings.authorization.shadow:
        return extension(FILTER, TYPE, rules=rules)
    believed = {"permissions": [{"any": True}], "principals": _believed_or_none(settings)}
    return extension(
        FILTER,
        TYPE,
        rules={"action": "ALLOW", "policies": {"believed": said(believed, "auth.issuers")}},
        shadow_rules=said(rules, "authorization.shadow", why="counted and logged, not enforced"),
        shadow_rules_stat_prefix="shadow.",
    )


def open_route() -> Node:
    """Of a route: the filter lets everything pass."""
    return typed("envoy.extensions.filters.http.rbac.v3.RBACPerRoute")


def _policies(settings: Settings) -> Iterator[tuple[str, Said]]:
    authorization, issuers = settings.authorization, settings.auth.issuers
    if settings.auth.public_methods:
        paths = [_exact(path) for path in settings.auth.public_methods]
        yield "public", said({"permissions": paths, "principals": [{"any": True}]}, "auth.public_methods")
    exact = {method for rule in authorization.rules for method in rule.methods if not method.endswith("/*")}
    for index, rule in enumerate(authorization.rules):
        policy = {
            "permissions": [_permission(method, exact) for method in rule.methods],
            "principals": [*_with_role(rule, issuers), *map(_identity, rule.identities)],
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
    if not rule.roles:
        return []
    names = "|".join(re.escape(role) for role in rule.roles)
    return [
        {
            "and_ids": {
                "ids": [
                    *_kind(index, issuer),
                    {"or_ids": {"ids": [_claim(index, claim, names) for claim in issuer.roles_from]}},
                ]
            }
        }
        for index, issuer in enumerate(issuers)
    ]


def _believed(index: int, issuer: Issuer) -> Node:
    return {"and_ids": {"ids": _kind(index, issuer)}}


def _believed_or_none(settings: Settings) -> list[Node]:
    """Whom a shadow lets in: every believed token, and who needs none."""
    without_token = {
        "not_id": {
            "or_ids": {
                "ids": [
                    _metadata([metadata_key(index, HEADER)], {"present_match": True})
                    for index in range(len(settings.auth.issuers))
                ]
            }
        }
    }
    return [*(_believed(*each) for each in enumerate(settings.auth.issuers)), without_token]


def _kind(index: int, issuer: Issuer) -> list[Node]:
    """The token is of a type and an algorithm of `issuer`."""
    key = metadata_key(index, HEADER)
    algorithms = "|".join(map(re.escape, issuer.algorithms))
    return [
        _metadata([key, "typ"], {"string_match": {"safe_regex": {"regex": types_pattern(issuer)}}}),
        _metadata([key, "alg"], {"string_match": {"safe_regex": {"regex": algorithms}}}),
    ]


def _claim(index: int, claim: str, names: str) -> Node:
    """A text with one of the names between spaces, or a list with one of them."""
    # A name with a slash or colon is a URL, whose dots lead nowhere.
    path = [claim] if re.search("[/:]", claim) else claim.split(".")
    in_text = {"string_match": {"safe_regex": {"regex": f"(?:.* )?(?:{names})(?: .*)?"}}}
    in_list = {"list_match": {"one_of": {"string_match": {"safe_regex": {"regex": names}}}}}
    return _metadata([metadata_key(index, PAYLOAD), *path], {"or_match": {"value_matchers": [in_text, in_list]}})


def _metadata(path: Sequence[str], value: Node) -> Node:
    matcher = {"filter": JWT, "path": [{"key": step} for step in path], "value": value}
    return {"sourced_metadata": {"metadata_matcher": matcher, "metadata_source": "DYNAMIC"}}


def _identity(identity: str) -> Node:
    name = identity.removeprefix("DNS:")
    return {"authenticated": {"principal_name": {"exact": name}}}
