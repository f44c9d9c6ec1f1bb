"""`observability.log` -> one line for each request, with the fields that the gateway's own event `call` has.

Rule: the gRPC status of a backend's answer is known before the gRPC-Web filter turns it into a frame, so what a backend
answered is logged by the router, and only the rest by the connection manager. No token, cookie or query is in it.
"""

from gateway.envoy.node import Node, extension
from gateway.settings import Settings

STREAM = "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog"
CEL = "envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter"
FIELDS = {
    "event": "call",
    "timestamp": "%START_TIME(%Y-%m-%dT%H:%M:%S.%6fZ)%",
    "method": "%PATH(NQ)%",
    "code": "%GRPC_STATUS(SNAKE_STRING)%",
    "http_status": "%RESPONSE_CODE%",
    "reason": "%RESPONSE_CODE_DETAILS%",
    "flags": "%RESPONSE_FLAGS%",
    "peer": "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%",
    "upstream": "%UPSTREAM_CLUSTER%",
    "target": "%UPSTREAM_HOST%",
    "ms": "%DURATION%",
    "request_bytes": "%BYTES_RECEIVED%",
    "reply_bytes": "%BYTES_SENT%",
}


def access_log(settings: Settings) -> list[Node]:
    """Of the connection manager: what ended here, whether a backend had been chosen or not."""
    return _log(settings, '!has(response.code_details) || response.code_details != "via_upstream"')


def upstream_log(settings: Settings) -> list[Node]:
    """Of the router: what a backend has answered."""
    return _log(settings, "response.code != 0")


def _log(settings: Settings, condition: str) -> list[Node]:
    log = settings.observability.log
    if not log.access:
        return []
    if log.format == "json":
        written: Node = {"json_format": FIELDS}
    else:
        text = "".join(f" {name}={value}" for name, value in FIELDS.items() if name not in ("event", "timestamp"))
        written = {"text_format_source": {"inline_string": f"{FIELDS['timestamp']} call{text}\n"}}
    only = extension("envoy.access_loggers.extension_filters.cel", CEL, expression=condition)
    log_to_stdout = extension("envoy.access_loggers.stdout", STREAM, log_format=written)
    return [{**log_to_stdout, "filter": {"extension_filter": only}}]
