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
    fits = {
        "prefix": lambda: path.startswith(wanted),
        "path": lambda: path == wanted,
        "safe_regex": lambda: re.fullmatch(wanted["regex"], path) is not None,
    }[kind]()
    return fits and all(header_matches(matcher, sent) for matcher in match.get("headers", []))


def header_matches(matcher: Node, sent: Mapping[str, str]) -> bool:
    """A header that is missing matches no value, inverted or not."""
    invert = matcher.get("invert_match", False)
    value = sent.get(matcher["name"])
    if matcher.get("present_match"):
        return (value is not None) != invert
    if value is None and not matcher.get("treat_missing_header_as_empty"):
        return False
    return string_matches(matcher["string_match"], value or "") != invert


def string_matches(matcher: Node, value: str) -> bool:
    [(kind, wanted)] = matcher.items()
    return {
        "exact": lambda: value == wanted,
        "prefix": lambda: value.startswith(wanted),
        "contains": lambda: wanted in value,
        "safe_regex": lambda: re.fullmatch(wanted["regex"], value) is not None,
    }[kind]()


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
    [(kind, value)] = permission.items()
    return {
        "any": lambda: value,
        "url_path": lambda: string_matches(value["path"], path),
        "not_rule": lambda: not _permits(value, path),
        "or_rules": lambda: any(_permits(each, path) for each in value["rules"]),
        "and_rules": lambda: all(_permits(each, path) for each in value["rules"]),
    }[kind]()


def _is(principal: Node, metadata: Node, names: tuple[str, ...]) -> bool:
    [(kind, value)] = principal.items()
    return {
        "any": lambda: value,
        "not_id": lambda: not _is(value, metadata, names),
        "or_ids": lambda: any(_is(each, metadata, names) for each in value["ids"]),
        "and_ids": lambda: all(_is(each, metadata, names) for each in value["ids"]),
        "sourced_metadata": lambda: _has(value["metadata_matcher"], metadata),
        "custom": lambda: _shows(value["typed_config"]["san_matcher"], names),
    }[kind]()


def _shows(san: Node, names: tuple[str, ...]) -> bool:
    prefix = {"URI": "", "DNS": "DNS:", "IP_ADDRESS": "IP:", "EMAIL": "email:"}[san["san_type"]]
    return prefix + san["matcher"]["exact"] in names


def _has(matcher: Node, metadata: Node) -> bool:
    found: Any = metadata
    for step in matcher["path"]:
        found = found.get(step["key"]) if isinstance(found, dict) else None
    return _value_matches(matcher["value"], found)


def _value_matches(matcher: Node, value: object) -> bool:
    [(kind, wanted)] = matcher.items()
    return {
        "string_match": lambda: isinstance(value, str) and string_matches(wanted, value),
        "list_match": lambda: isinstance(value, list) and any(_value_matches(wanted["one_of"], each) for each in value),
        "or_match": lambda: any(_value_matches(each, value) for each in wanted["value_matchers"]),
    }[kind]()
