"""Which headers cross: what belongs to the browser's bookkeeping, or to the gateway alone, does not reach a backend.

Rule: what could be taken for the gateway's own word goes first of all, before any filter looks at a request; what the
filters themselves still need goes last, before the router.
"""

import math

from gateway.envoy.node import Node, Said, extension, said
from gateway.settings import Settings

FILTER = "envoy.filters.http.header_mutation"
EARLY = "envoy.http.early_header_mutation.header_mutation"
TYPE = "envoy.extensions.filters.http.header_mutation.v3.HeaderMutation"
EARLY_TYPE = "envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation"

SPOOFED_PREFIXES = ("x-forwarded-", "x-envoy-")
SPOOFED = ("forwarded", "x-real-ip")
# Removed where the request is sent on: until then the origin decides how Envoy's own answers look.
BROWSERS = (
    "accept",
    "content-encoding",
    "cookie",
    "grpc-internal-encoding-request",
    "grpc-message",
    "grpc-status",
    "origin",
    "proxy-authorization",
    "priority",
    "referer",
    "user-agent",
    "x-grpc-web",
)
BROWSERS_PREFIXES = ("accept-", "sec-", "access-control-", "x-envoy-")
# A backend's word on what browsers may do, or on who it is, is not the gateway's.
BACKENDS = (
    "access-control-allow-credentials",
    "access-control-allow-headers",
    "access-control-allow-methods",
    "access-control-allow-origin",
    "access-control-allow-private-network",
    "access-control-expose-headers",
    "access-control-max-age",
    "alt-svc",
    "content-encoding",
    "location",
    "server",
    "via",
)


def early_mutation(settings: Settings) -> Node:
    """Of the connection manager: before x-forwarded-for is set and before any filter."""
    mutations: list[Node | Said] = [
        *(_without_prefix(prefix) for prefix in SPOOFED_PREFIXES),
        *(_without(name) for name in SPOOFED),
        *(said(_without(name), "auth.forward_claims") for name in settings.auth.forward_claims),
    ]
    return extension(EARLY, EARLY_TYPE, mutations=mutations)


def vary_filter() -> Node:
    """The first filter, and so the last to see an answer, Envoy's own included."""
    return extension(
        FILTER, TYPE, mutations={"response_mutations": [_add("vary", "Origin", "APPEND_IF_EXISTS_OR_ADD")]}
    )


def last_mutation(settings: Settings) -> Node:
    """The filter before the router."""
    requests: list[Node | Said] = [
        _add("x-user-agent", "%REQ(user-agent)%", "APPEND_IF_EXISTS_OR_ADD"),
        _add("x-forwarded-host", "%REQ(:authority)%", "OVERWRITE_IF_EXISTS_OR_ADD"),
        *(_without_prefix(prefix) for prefix in BROWSERS_PREFIXES),
    ]
    deadline = settings.limits.default_deadline or settings.limits.max_deadline
    if deadline is not None:
        timeout = _add("grpc-timeout", f"{math.ceil(deadline * 1000)}m", "ADD_IF_ABSENT")
        requests.append(said(timeout, "limits.default_deadline", "limits.max_deadline", why="the backend is told"))
    trailers = [_without(name) for name in BACKENDS]
    return extension(FILTER, TYPE, mutations={"request_mutations": requests, "response_trailers_mutations": trailers})


def _add(name: str, value: str, action: str) -> Node:
    return {"append": {"header": {"key": name, "value": value}, "append_action": action}}


def _without(name: str) -> Node:
    return {"remove": name}


def _without_prefix(prefix: str) -> Node:
    return {"remove_on_match": {"key_matcher": {"prefix": prefix}}}
