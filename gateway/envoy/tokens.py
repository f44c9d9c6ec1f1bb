"""`auth` -> jwt_authn: which tokens are believed, and what of them is kept for the rules (authorization.py).

Rule: what the filter itself does not judge, the type and the algorithm of a token, it leaves in dynamic metadata, and
no rule lets a token in that is of the wrong type or algorithm.
"""

import math
import re
from collections.abc import Mapping
from pathlib import Path

from gateway.envoy.clusters import OWN, fetch_cluster
from gateway.envoy.files import Files
from gateway.envoy.node import Node, Said, extension, said, seconds
from gateway.policy.jwt import normal_type
from gateway.policy.tokens import ACCEPTED, MAX_TOKEN
from gateway.settings import Issuer, Settings

FILTER = "envoy.filters.http.jwt_authn"
FETCH_TIMEOUT, REFRESH = 2.0, 300.0  # seconds
PAYLOAD, HEADER = "payload", "header"  # of a provider's metadata: issuer_0-payload

Uris = Mapping[str, str]  # issuer -> the jwks_uri that its metadata names


def provider_name(index: int) -> str:
    return f"issuer_{index}"


def metadata_key(index: int, part: str) -> str:
    """Where in the filter's metadata the payload or the header of the tokens of an issuer is."""
    return f"{provider_name(index)}-{part}"


def jwt_filter(settings: Settings, files: Files, uris: Uris) -> Node | None:
    """None: no token is believed."""
    if not settings.auth.issuers:
        return None
    return extension(
        FILTER,
        "envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
        providers={
            provider_name(index): said(_provider(index, issuer, settings, files, uris), f"auth.issuers[{index}]")
            for index, issuer in enumerate(settings.auth.issuers)
        },
        rules=_rules(settings),
        bypass_cors_preflight=True,
        strip_failure_response=said(True, why="the client learns that it was refused, not why"),
    )


def jwks_clusters(settings: Settings, uris: Uris) -> list[Said]:
    """Where remote key sets come from."""
    clusters = []
    for index, issuer in enumerate(settings.auth.issuers):
        if (uri := _uri(issuer, uris)) is None:
            continue
        clusters.append(said(fetch_cluster(_cluster_name(index), uri), f"auth.issuers[{index}].jwks"))
    return clusters


def _provider(index: int, issuer: Issuer, settings: Settings, files: Files, uris: Uris) -> Node:
    key = f"auth.issuers[{index}]"
    provider: Node = {
        "issuer": said(issuer.issuer, f"{key}.issuer"),
        "audiences": said(list(issuer.audiences), f"{key}.audiences"),
        **_keys(index, issuer, files, uris),
        "from_headers": said(
            [{"name": "authorization", "value_prefix": f"{scheme} "} for scheme in ("Bearer", "bearer", "BEARER")],
            why="else a token in the query counts, too; the scheme has no case, Envoy's prefix has",
        ),
        "forward": said(settings.auth.forward_authorization, "auth.forward_authorization"),
        "require_expiration": True,
        "max_lifetime": said(seconds(issuer.max_lifetime), f"{key}.max_lifetime"),
        "clock_skew_seconds": said(clock_skew(issuer), f"{key}.leeway", why="0 would mean 60"),
        "subjects": {"safe_regex": {"regex": ".+"}},
        "payload_in_metadata": said(metadata_key(index, PAYLOAD), f"{key}.roles_from", why="for the rules"),
        "header_in_metadata": said(
            metadata_key(index, HEADER), f"{key}.token_types", f"{key}.algorithms", why="for the rules"
        ),
        "jwt_cache_config": {"jwt_cache_size": ACCEPTED, "jwt_max_token_size": MAX_TOKEN},
    }
    if settings.auth.forward_claims:
        provider["claim_to_headers"] = said(
            [{"header_name": name, "claim_name": claim} for name, claim in settings.auth.forward_claims.items()],
            "auth.forward_claims",
        )
    return provider


def clock_skew(issuer: Issuer) -> int:
    """In seconds, at least one."""
    return max(1, math.ceil(issuer.leeway))


def _keys(index: int, issuer: Issuer, files: Files, uris: Uris) -> Node:
    key = f"auth.issuers[{index}].jwks"
    if isinstance(issuer.jwks, Path):
        return {"local_jwks": said(files.source(issuer.jwks), key)}
    uri = _uri(issuer, uris)
    assert uri is not None
    return {
        "remote_jwks": said(
            {
                "http_uri": {"uri": uri, "cluster": _cluster_name(index), "timeout": seconds(FETCH_TIMEOUT)},
                "cache_duration": seconds(REFRESH),
                "async_fetch": {"fast_listener": False},
            },
            key,
        )
    }


def _uri(issuer: Issuer, uris: Uris) -> str | None:
    if isinstance(issuer.jwks, Path):
        return None
    return uris[issuer.issuer] if issuer.jwks == "discover" else issuer.jwks


def _cluster_name(index: int) -> str:
    return f"{OWN}{provider_name(index)}"


def _rules(settings: Settings) -> list[Said | Node]:
    providers = [{"provider_name": provider_name(index)} for index in range(len(settings.auth.issuers))]
    rules: list[Said | Node] = [
        said({"match": {"path": path}}, "auth.public_methods", why="no token is read")
        for path in settings.auth.public_methods
    ]
    for index, rule in enumerate(settings.authorization.rules):
        if rule.identities:
            rules += [
                said(
                    {
                        "match": match_method(method),
                        "requires": {"requires_any": {"requirements": [*providers, {"allow_missing": {}}]}},
                    },
                    f"authorization.rules[{index}].identities",
                    why="a certificate may stand for the token",
                )
                for method in rule.methods
            ]
    token = providers[0] if len(providers) == 1 else {"requires_any": {"requirements": providers}}
    rules.append({"match": {"prefix": "/"}, "requires": token})
    return rules


def match_method(method: str) -> Node:
    """A RouteMatch for `/pkg.Service/Method` or `/pkg.Service/*`."""
    return {"prefix": method.removesuffix("*")} if method.endswith("/*") else {"path": method}


def types_pattern(issuer: Issuer) -> str:
    """A regular expression for the whole of `typ` (RFC 7515, section 4.1.9)."""
    names = "|".join(re.escape(normal_type(name)) for name in issuer.token_types)
    return f"(?i)(?:application/)?(?:{names})"
