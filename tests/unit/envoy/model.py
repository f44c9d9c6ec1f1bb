"""What Envoy does with the matchers that the renderer uses, after the documentation of its API (v3).

Rule: only what is used is here, anything else raises KeyError. That the real Envoy does the same, tests/envoy shows.
"""

import re
from collections.abc import Mapping
from typing import Any

from gateway.envoy.routes import NOBODY
from tests.unit.envoy.reading import Node, virtual_host

WEB = {"content-type": "application/grpc-web+proto"}


def route_of(config: Node, path: str, method: str = "POST", **headers: str) -> Node:
    """The first route that matches; header names with _ in place of -."""
    sent = WEB | {name.replace("_", "-"): value for name, value in headers.items()}
    sent |= {":method": method, ":path": path, ":authority": sent.pop("host", "gateway.test")}
    return next(route for route in virtual_host(config)["routes"] if _routes(route["match"], sent))


def upstream_of(config: Node, path: str, method: str = "POST", **headers: str) -> str | None:
    """The cluster that such a request goes to; None where it is answered."""
    cluster = route_of(config, path, method, **headers).get("route", {}).get("cluster")
    return None if cluster == NOBODY else cluster


def _routes(match: Node, sent: Mapping[str, str]) -> bool:
    path = sent[":path"].partition("?")[0]
    rest = {name: matcher for name, matcher in match.items() if name != "headers"}
    [(kind, wanted)] = rest.items()
    matchers = {"prefix": {"prefix": wanted}, "path": {"exact": wanted}, "safe_regex": {"safe_regex": wanted}}
    return string_matches(matchers[kind], path) and all(header_matches(each, sent) for each in match.get("headers", []))


def header_matches(matcher: Node, sent: Mapping[str, str]) -> bool:
    """A header that is missing matches no value, inverted or not."""
    invert: bool = matcher.get("invert_match", False)
    value = sent.get(matcher["name"])
    if matcher.get("present_match"):
        return (value is not None) != invert
    if value is None and not matcher.get("treat_missing_header_as_empty"):
        return False
    return string_matches(matcher["string_match"], value or "") != invert


def string_matches(matcher: Node, value: str) -> bool:
    [(kind, wanted)] = matcher.items()
    if kind == "safe_regex":
        return re.fullmatch(wanted["regex"], value) is not None
    text = str(wanted)
    return {"exact": value == text, "prefix": value.startswith(text), "contains": text in value}[kind]


# -- RBAC ------------------------------------------------------------------------------------------------------------


def allows(rules: Node, path: str, metadata: Node, names: tuple[str, ...] = ()) -> bool:
    """`metadata` is what jwt_authn leaves; `names` are those of the client certificate, as gateway.yaml writes them."""
    assert rules["action"] == "ALLOW"
    return any(
        any(_permits(each, path) for each in policy["permissions"])
        and any(_is(each, metadata, names) for each in policy["principals"])
        for policy in rules["policies"].values()
    )


def _permits(permission: Node, path: str) -> bool:
    match permission:
        case {"any": True}:
            return True
        case {"url_path": {"path": matcher}}:
            return string_matches(matcher, path)
        case {"not_rule": rule}:
            return not _permits(rule, path)
        case {"or_rules": {"rules": rules}}:
            return any(_permits(each, path) for each in rules)
        case {"and_rules": {"rules": rules}}:
            return all(_permits(each, path) for each in rules)
    raise KeyError(*permission)


def _is(principal: Node, metadata: Node, names: tuple[str, ...]) -> bool:
    match principal:
        case {"any": True}:
            return True
        case {"not_id": other}:
            return not _is(other, metadata, names)
        case {"or_ids": {"ids": ids}}:
            return any(_is(each, metadata, names) for each in ids)
        case {"and_ids": {"ids": ids}}:
            return all(_is(each, metadata, names) for each in ids)
        case {"sourced_metadata": {"metadata_matcher": matcher}}:
            return _has(matcher, metadata)
        case {"custom": {"typed_config": {"san_matcher": san}}}:
            return _shows(san, names)
    raise KeyError(*principal)


def _shows(san: Node, names: tuple[str, ...]) -> bool:
    prefix: str = {"URI": "", "DNS": "DNS:", "IP_ADDRESS": "IP:", "EMAIL": "email:"}[san["san_type"]]
    return prefix + san["matcher"]["exact"] in names


def _has(matcher: Node, metadata: Node) -> bool:
    found: Any = metadata
    for step in matcher["path"]:
        found = found.get(step["key"]) if isinstance(found, dict) else None
    return _value_matches(matcher["value"], found)


def _value_matches(matcher: Node, value: object) -> bool:
    match matcher:
        case {"string_match": wanted}:
            return isinstance(value, str) and string_matches(wanted, value)
        case {"list_match": {"one_of": wanted}}:
            return isinstance(value, list) and any(_value_matches(wanted, each) for each in value)
        case {"or_match": {"value_matchers": matchers}}:
            return any(_value_matches(each, value) for each in matchers)
    raise KeyError(*matcher)
