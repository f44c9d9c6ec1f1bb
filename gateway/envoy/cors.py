"""`cors`: what pages of allowed origins are told, and how the rest are known.

Rule: Envoy's filter answers origins that it allows and lets all others pass. They are refused by routes (routes.py).
"""

import re

from gateway.envoy.node import Node, extension, said, typed
from gateway.policy.cors import CLIENT_HEADERS, STATUS_HEADERS
from gateway.settings import Cors

FILTER = "envoy.filters.http.cors"
LABEL = "[a-z0-9-]+"
NO_ORIGIN = "\\b\\B"  # never matches
ANY_ORIGIN = "https?://.+"  # any but `null`, which is no origin at all


def allowed_origins(settings: Cors) -> str:
    """A regular expression (RE2) for the whole Origin header; of none it matches nothing."""
    patterns = [ANY_ORIGIN if origin == "*" else _pattern(origin) for origin in settings.allow_origins]
    return "|".join(patterns) or NO_ORIGIN


def origin_headers(settings: Cors) -> list[Node]:
    """Matchers, each of which matches an origin that may call, or none where none is needed."""
    allowed = {"name": "origin", "string_match": {"safe_regex": {"regex": allowed_origins(settings)}}}
    missing = {"name": "origin", "present_match": True, "invert_match": True}
    return [allowed] if settings.require_origin else [allowed, missing]


def cors_filter() -> Node:
    """It answers preflights of allowed origins; what it allows stands with the routes."""
    return extension(FILTER, "envoy.extensions.filters.http.cors.v3.Cors")


def cors_policy(settings: Cors) -> Node:
    """For the virtual host."""
    allow = [*CLIENT_HEADERS, *(name.lower() for name in settings.allow_headers)]
    return typed(
        "envoy.extensions.filters.http.cors.v3.CorsPolicy",
        allow_origin_string_match=said(
            [{"safe_regex": {"regex": allowed_origins(settings)}}], "cors.allow_origins", why="compared whole"
        ),
        allow_methods="POST",
        allow_headers=said(", ".join(dict.fromkeys(allow)), "cors.allow_headers"),
        expose_headers=said(_exposed(settings), "cors.expose_headers"),
        allow_credentials=said(settings.allow_credentials, "cors.allow_credentials"),
        max_age=said(str(int(settings.max_age)), "cors.max_age"),
    )


def answer_headers(settings: Cors) -> list[Node]:
    """For a direct response to an allowed origin; without an Origin there is none."""
    names = {
        "access-control-allow-origin": "%REQ(origin)%",
        "access-control-expose-headers": _exposed(settings),
        **({"access-control-allow-credentials": "true"} if settings.allow_credentials else {}),
    }
    return [{"header": {"key": name, "value": value}} for name, value in names.items()]


def _exposed(settings: Cors) -> str:
    names = (*STATUS_HEADERS, "www-authenticate", *(name.lower() for name in settings.expose_headers))
    return ", ".join(dict.fromkeys(names))


def _pattern(origin: str) -> str:
    scheme, star, host = origin.partition("*")
    return re.escape(scheme) + LABEL + re.escape(host) if star else re.escape(origin)
