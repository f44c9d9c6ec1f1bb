"""Routes: what is a gRPC-Web call of an allowed origin goes through the gate to its backend; all else is answered here.

Rule: first what a foreign page sends is refused, then the routes to backends say all that makes a call: path, method,
type. So nothing that is not one can reach a backend, whatever stands below: the other refusals.
"""

import re
from collections.abc import Iterator

from gateway.envoy import authorization, cors, headers, replies, tokens
from gateway.envoy.clusters import OWN, authority
from gateway.envoy.node import Node, Said, said, seconds, typed
from gateway.front.reception import HOST, NOT_FOUND
from gateway.settings import Settings
from gateway.settings.route import HEALTH_SERVICE

NAME = "[A-Za-z0-9_~-][A-Za-z0-9_.~-]*"  # of a service or method; without a dot in front there is no /../
METHOD_PATH = f"/{NAME}/{NAME}"
GRPC_WEB_TYPE = "application/grpc-web(?:-text)?(?:\\+proto)?"  # what the filter translates; it passes on all else
TIMEOUT = "[0-9]{1,8}[HMSmun]|[0-9]{9,18}m"  # clients send milliseconds with more digits than there may be
NOBODY = f"{OWN}nobody"
RETRIES = 2
FOREIGN = "this origin may not call here"
BAD_TYPE = "the content type is not application/grpc-web or application/grpc-web-text"


def route_configuration(settings: Settings) -> Node:
    return {
        "name": "calls",
        "request_headers_to_remove": list(headers.BROWSERS),
        "response_headers_to_remove": list(headers.BACKENDS),
        "most_specific_header_mutations_wins": said(True, why="what the routes below add is not removed"),
        "validate_clusters": False,  # NOBODY is none
        "virtual_hosts": [
            {
                "name": "calls",
                "domains": ["*"],
                "typed_per_filter_config": {cors.FILTER: said(cors.cors_policy(settings.cors), "cors")},
                "routes": [
                    *_strangers(settings),
                    _preflights(settings),
                    _bad_deadline(settings),
                    *_public(settings),
                    *_bad_authorization(settings),
                    *_idempotent(settings),
                    *_services(settings),
                    _unknown(),
                    *_refusals(settings),
                ],
            }
        ],
    }


def _preflights(settings: Settings) -> Said:
    """The filter answers them; but it looks only at routes that lead to a cluster, even one that is not there."""
    match = {
        "prefix": "/",
        "headers": [
            {"name": ":method", "string_match": {"exact": "OPTIONS"}},
            {"name": "access-control-request-method", "present_match": True},
            {"name": "origin", "string_match": {"safe_regex": {"regex": cors.allowed_origins(settings.cors)}}},
        ],
    }
    return said({"match": match, **_to_nobody()}, "cors", why="preflights, which the filter answers")


def _public(settings: Settings) -> Iterator[Said]:
    for path in settings.auth.public_methods:
        if (name := _owner(path, settings)) is not None:
            route = _route(settings, name, {"path": path})
            route["request_headers_to_remove"] = said(["authorization"], why="nobody has verified it")
            yield said(route, "auth.public_methods", *_retry(route, path, name, settings))


def _idempotent(settings: Settings) -> Iterator[Said]:
    for name, upstream in settings.upstreams.items():
        for path in upstream.idempotent_methods:
            service = path.removesuffix("/*").removeprefix("/")
            whole = path.endswith("/*")
            if (
                _owner(f"/{service}/_" if whole else path, settings) == name
                and path not in settings.auth.public_methods
            ):
                match: Node = {"safe_regex": {"regex": _paths(service)}} if whole else {"path": path}
                route = _route(settings, name, match)
                yield said(route, *_retry(route, path, name, settings))


def _retry(route: Node, path: str, name: str, settings: Settings) -> list[str]:
    """Lets an idempotent method be sent again; the key that says so."""
    if not {path, f"{path.rpartition('/')[0]}/*"} & set(settings.upstreams[name].idempotent_methods):
        return []
    route["route"]["retry_policy"] = {
        "retry_on": "connect-failure,refused-stream,reset-before-request,unavailable",
        "num_retries": RETRIES,
    }
    return [f"upstreams.{name}.idempotent_methods"]


def _bad_authorization(settings: Settings) -> Iterator[Said]:
    """Where a certificate may stand for the token, what is no token must not go on as if there were none."""
    if settings.auth.issuers and not any(rule.identities for rule in settings.authorization.rules):
        return
    bad: Node = {"name": "authorization", "present_match": True}
    if settings.auth.issuers:
        bad = _differs("authorization", safe_regex={"regex": "(?:Bearer|bearer|BEARER) [A-Za-z0-9._~+/-]+=*"})
    match = {"safe_regex": {"regex": METHOD_PATH}, "headers": [*call_headers(), bad]}
    yield said(_refuse(settings, match, 401, "bad authorization"), "auth", why="what is not one Bearer token")


def _services(settings: Settings) -> Iterator[Said]:
    """The most particular first: services, then packages, the longer before the shorter, then `*`."""
    listed = [
        (service, name, f"upstreams.{name}.services[{index}]")
        for name, upstream in settings.upstreams.items()
        for index, service in enumerate(upstream.services)
    ]
    if len(settings.upstreams) == 1 and not any(service in (HEALTH_SERVICE, "*") for service, _, _ in listed):
        name = next(iter(settings.upstreams))
        listed.append((HEALTH_SERVICE, name, f"upstreams.{name}"))
    for service, name, key in sorted(listed, key=lambda each: (each[0].endswith("*"), -len(each[0]))):
        yield said(_route(settings, name, {"safe_regex": {"regex": _paths(service)}}), key)


def _owner(path: str, settings: Settings) -> str | None:
    """The upstream of a method: the one whose most particular service has it."""
    best: tuple[bool, int, str] | None = None
    for name, upstream in settings.upstreams.items():
        for service in upstream.services:
            if re.fullmatch(_paths(service), path):
                rank = (not service.endswith("*"), len(service), name)
                best = rank if best is None else max(best, rank)
    if best is None and path.startswith(f"/{HEALTH_SERVICE}/") and len(settings.upstreams) == 1:
        return next(iter(settings.upstreams))
    return best[2] if best else None


def _paths(service: str) -> str:
    if service == "*":
        return METHOD_PATH
    if service.endswith(".*"):
        return f"/{re.escape(service[:-1])}{NAME}/{NAME}"
    return f"/{re.escape(service)}/{NAME}"


def _route(settings: Settings, upstream: str, path: Node) -> Node:
    limits = settings.limits
    host = authority(settings.upstreams[upstream])
    return {
        "match": {**path, "headers": call_headers()},
        "route": {
            "cluster": upstream,
            **({"host_rewrite_literal": host} if host is not None else {"auto_host_rewrite": True}),
            "timeout": said("0s", why="Envoy's own is 15 s, for streams too"),
            "max_stream_duration": said(
                {
                    "max_stream_duration": seconds(limits.default_deadline or limits.max_deadline),
                    "grpc_timeout_header_max": seconds(limits.max_deadline),
                },
                "limits.default_deadline",
                "limits.max_deadline",
                why="0s is no limit",
            ),
        },
    }


def call_headers(*, translated: bool = False) -> list[Node]:
    """What makes a request a call, besides its path; `translated`: after the gRPC-Web filter has changed its type."""
    content_type = {"exact": "application/grpc"} if translated else {"safe_regex": {"regex": GRPC_WEB_TYPE}}
    return [
        {"name": ":method", "string_match": {"exact": "POST"}},
        {"name": "content-type", "string_match": content_type},
        {"name": ":path", "string_match": {"contains": "?"}, "invert_match": True},
        {
            "name": "content-encoding",
            "string_match": {"safe_regex": {"regex": "(?:identity)?"}},
            "treat_missing_header_as_empty": True,
        },
    ]


def _unknown() -> Said:
    """A call of a service that nobody has: UNIMPLEMENTED, but only for those who have a token."""
    route = {"match": {"safe_regex": {"regex": METHOD_PATH}, "headers": call_headers()}, **_to_nobody()}
    route["typed_per_filter_config"] = {authorization.FILTER: authorization.open_route()}
    return said(route, "upstreams.*.services", why="what is not among them")


def _to_nobody() -> Node:
    """A route to a cluster that does not exist. A direct response would get no CORS headers."""
    return {"route": {"cluster": NOBODY, "cluster_not_found_response_code": "NOT_FOUND"}}


def _strangers(settings: Settings) -> Iterator[Said]:
    """Who may not call at all."""
    foreign = _differs("origin", safe_regex={"regex": cors.allowed_origins(settings.cors)})
    yield said(
        _refuse(settings, {"prefix": "/", "headers": [foreign]}, 403, FOREIGN),
        "cors.allow_origins",
        why="Envoy alone would pass on what a foreign page sends, preflights included",
    )
    if settings.cors.require_origin:
        missing = {"name": "origin", "present_match": True, "invert_match": True}
        yield said(_refuse(settings, {"prefix": "/", "headers": [missing]}, 403, FOREIGN), "cors.require_origin")
    host = _differs(":authority", safe_regex={"regex": HOST.pattern.decode()})
    yield said(_refuse(settings, {"prefix": "/", "headers": [host]}, 400, "bad host"), why="two hosts, or none")


def _bad_deadline(settings: Settings) -> Said:
    """Envoy would pass it on, and set no deadline."""
    bad = _differs("grpc-timeout", safe_regex={"regex": TIMEOUT})
    match = {"safe_regex": {"regex": METHOD_PATH}, "headers": [*call_headers(), bad]}
    return said(_refuse(settings, match, replies.INVALID, "bad grpc-timeout"), why="a deadline that is none")


def _refusals(settings: Settings) -> Iterator[Said]:
    path = {"safe_regex": {"regex": METHOD_PATH}}
    query = {"name": ":path", "string_match": {"contains": "?"}}
    yield said(_refuse(settings, {**path, "headers": [query]}, 400, "a gRPC method path takes no query"), why="a query")
    not_post = {**path, "headers": [_differs(":method", exact="POST")]}
    other = _refuse(settings, not_post, 405, "gRPC-Web calls are POST requests")
    other["response_headers_to_add"].append({"header": {"key": "allow", "value": "POST, OPTIONS"}})
    yield said(other, why="not a POST")
    yield said(_refuse(settings, path, 415, BAD_TYPE), why="not the type, or encoded")
    yield said(_refuse(settings, {"prefix": "/"}, 404, NOT_FOUND), why="not the path of a method")


def _refuse(settings: Settings, match: Node, status: int, text: str) -> Node:
    """An answer of Envoy's own, without asking for a token."""
    gate: Node = {authorization.FILTER: authorization.open_route()}
    if settings.auth.issuers:
        gate[tokens.FILTER] = typed("envoy.config.route.v3.FilterConfig", disabled=True)
    return {
        "match": match,
        "direct_response": {"status": status, "body": {"inline_string": text}},
        # The filter gives a direct response none; and 403 shall have none.
        "response_headers_to_add": [] if status == 403 else cors.answer_headers(settings.cors),
        "typed_per_filter_config": gate,
    }


def _differs(name: str, **matcher: object) -> Node:
    """Where there is no such header it does not match."""
    return {"name": name, "string_match": matcher, "invert_match": True}
