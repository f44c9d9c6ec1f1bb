"""Envoy's own answers to calls, as gRPC-Web clients read them: HTTP 200 and a status.

Rule: only what is a call gets one; everything else keeps its HTTP status. Envoy alone would answer a refused token with
HTTP 401. The status stands in the headers, without a body, as backends' Trailers-Only answers do (PROTOCOL-HTTP2,
"Responses"); in a trailer frame the access log would not see it, and in text mode Envoy could not send it.
"""

from gateway.envoy.node import Node, said
from gateway.protocol.status import Code

# RFC 6750, section 3: what the page is to do about it. Who sent no token is not told an error.
CHALLENGES = {401: 'Bearer error="invalid_token"', 403: 'Bearer error="insufficient_scope"'}
INVALID = 422  # what a route answers to a call with a deadline that is none

# Of routes, filters and router: what they answer, and what it means to a gRPC client.
ANSWERS = (
    (401, Code.UNAUTHENTICATED, "the access token is missing, or was refused"),
    (403, Code.PERMISSION_DENIED, "not permitted"),
    (404, Code.UNIMPLEMENTED, "no such method"),
    (408, Code.DEADLINE_EXCEEDED, "the deadline has passed"),
    (413, Code.RESOURCE_EXHAUSTED, "the request is too long"),
    (INVALID, Code.INVALID_ARGUMENT, "bad grpc-timeout"),
    (429, Code.RESOURCE_EXHAUSTED, "too many calls"),
    (500, Code.INTERNAL, "internal error"),
    (502, Code.UNAVAILABLE, "the backend cannot be reached"),
    (503, Code.UNAVAILABLE, "the backend cannot be reached"),
    (504, Code.DEADLINE_EXCEEDED, "the deadline has passed"),
)
NO_TOKEN = {"name": "authorization", "present_match": True, "invert_match": True}


def local_replies(call: list[Node], origins: list[Node]) -> Node:
    """Matchers of headers: `call` for what is one, after the gRPC-Web filter has seen it; `origins`, each of which may
    call: a foreign one keeps its 403.
    """
    mappers = [said(_mapper(*ANSWERS[0], [*call, NO_TOKEN], "Bearer"), why="no token")]
    for http, code, message in ANSWERS:
        variants = [[*call, origin] for origin in origins] if http == 403 else [call]
        mappers += [
            said(_mapper(http, code, message, variant, CHALLENGES.get(http)), why=code.name) for variant in variants
        ]
    return {"mappers": mappers}


def _mapper(http: int, code: Code, message: str, call: list[Node], challenge: str | None) -> Node:
    status = {"comparison": {"op": "EQ", "value": {"default_value": http, "runtime_key": f"local_reply.{http}"}}}
    headers = {"grpc-status": str(int(code)), "grpc-message": message}
    if challenge is not None:
        headers["www-authenticate"] = challenge
    return {
        "filter": {
            "and_filter": {
                "filters": [{"status_code_filter": status}, *({"header_filter": {"header": each}} for each in call)]
            }
        },
        "status_code": 200,
        "body_format_override": {"text_format_source": {"inline_string": ""}},
        "headers_to_add": [
            {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
            for name, value in headers.items()
        ],
    }
