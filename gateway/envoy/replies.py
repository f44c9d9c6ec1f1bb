"""Envoy's own answers to calls, as gRPC-Web clients read them: HTTP 200 and a status.

Rule: only what is a call gets one; everything else keeps its HTTP status. Envoy alone would answer a refused token with
HTTP 401. The status stands in the headers, without a body, as backends' Trailers-Only answers do (PROTOCOL-HTTP2,
"Responses"); in a trailer frame the access log would not see it, and in text mode Envoy could not send it.
"""

from gateway.envoy.node import Node, said
from gateway.protocol.status import Code

# Of the filters and the router: what they answer, and what it means to a gRPC client.
ANSWERS = (
    (401, Code.UNAUTHENTICATED, "the access token is missing, or was refused"),
    (403, Code.PERMISSION_DENIED, "not permitted"),
    (404, Code.UNIMPLEMENTED, "no such method"),
    (408, Code.DEADLINE_EXCEEDED, "the deadline has passed"),
    (413, Code.RESOURCE_EXHAUSTED, "the request is too long"),
    (429, Code.RESOURCE_EXHAUSTED, "too many calls"),
    (500, Code.INTERNAL, "internal error"),
    (502, Code.UNAVAILABLE, "the backend cannot be reached"),
    (503, Code.UNAVAILABLE, "the backend cannot be reached"),
    (504, Code.DEADLINE_EXCEEDED, "the deadline has passed"),
)
CHALLENGES = {401: "invalid_token", 403: "insufficient_scope"}  # RFC 6750, section 3.1


def local_replies(call: list[Node]) -> Node:
    """`call`: matchers of headers for what is a call, after the gRPC-Web filter has seen it."""
    return {"mappers": [said(_mapper(*answer, call), why=answer[1].name) for answer in ANSWERS]}


def _mapper(http: int, code: Code, message: str, call: list[Node]) -> Node:
    status = {"comparison": {"op": "EQ", "value": {"default_value": http, "runtime_key": f"local_reply.{http}"}}}
    headers = {"grpc-status": str(int(code)), "grpc-message": message}
    if http in CHALLENGES:
        headers["www-authenticate"] = f'Bearer error="{CHALLENGES[http]}"'
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
