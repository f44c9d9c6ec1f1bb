"""Which headers cross: what belongs to the browser's bookkeeping, or to the gateway alone, does not reach a backend.

Rule: what could be taken for the gateway's own word goes first of all, before any filter looks at a request; what the
filters themselves still need goes last, before the router.
"""

from gateway.envoy.node import Node, Said, extension, said
from gateway.settings import Settings

FILTER = "envoy.filters.http.header_mutation"
EARLY = "envoy.http.early_header_mutation.header_mutation"
TYPE = "envoy.extensions.filters.http.header_mutation.v3.HeaderMutation"
EARLY_TYPE = "envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation"

SPOOFED_PREFIXES = ("x-forwarded-", "x-envoy-")
SPOOFED = ("forwarded", "x-real-ip")
BROWSERS_PREFIXES = ("accept-", "sec-", "access-control-", "x-envoy-")
BROWSERS = ("accept", "cookie", "referer", "x-grpc-web")  # but not origin: replies.py looks at it once more
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
    "server",
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
    vary = {"append": {"header": {"key": "vary", "value": "Origin"}, "append_action": "APPEND_IF_EXISTS_OR_ADD"}}
    return extension(FILTER, TYPE, mutations={"response_mutations": [vary]})


def last_mutation() -> Node:
    """The filter before the router."""
    agent = {
        "append": {
            "header": {"key": "x-user-agent", "value": "%REQ(user-agent)%"},
            "append_action": "APPEND_IF_EXISTS_OR_ADD",
        }
    }
    host = {
        "append": {
            "header": {"key": "x-forwarded-host", "value": "%REQ(:authority)%"},
            "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
        }
    }
    gone = [*(_without(name) for name in BROWSERS), *(_without_prefix(prefix) for prefix in BROWSERS_PREFIXES)]
    return extension(FILTER, TYPE, mutations={"request_mutations": [agent, _without("user-agent"), host, *gone]})


def _without(name: str) -> Node:
    return {"remove": name}


def _without_prefix(prefix: str) -> Node:
    return {"remove_on_match": {"key_matcher": {"prefix": prefix}}}
