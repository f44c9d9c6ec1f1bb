"""What the gateway lets through to the backend and Envoy does not."""

from tests.envoy.differences.patterns import AGAIN, RESET_BY_ENVOY
from tests.envoy.differences.row import At, Fields, Right, Row

GATEWAY, ENVOY, BOTH = Right.GATEWAY, Right.ENVOY, Right.BOTH

CALL_REFUSED: Fields = {"backend calls": ("1", "0"), "messages": ("*", "-")}
AS_HTTP: Fields = {**CALL_REFUSED, "grpc-status": ("0", "-")}

ROWS = (
    Row(
        what="Native gRPC (`application/grpc`) over HTTP/2",
        gateway="is served, as gRPC-Web is",
        envoy="200 with 2: what is rendered for it takes gRPC-Web only",
        why="`grpcweb-gateway envoy` warns of it. With a route for it Envoy does what is told of native gRPC below.",
        right=GATEWAY,
        source="gateway.yaml, `listeners[].http2`",
        at=(
            At(
                "native/where Envoy has no route for it",
                {
                    **CALL_REFUSED,
                    "grpc-status": ("0", "2 (in the headers)"),
                    "grpc-message": ("-", "there (in the headers)"),
                },
            ),
        ),
    ),
    Row(
        what="HTTP/1.0",
        gateway="answers, without chunks",
        envoy="426",
        why="Envoy can (`accept_http_10`), and does not by default. No browser needs it; proxies of old do.",
        right=GATEWAY,
        source="RFC 9110, section 2.5",
        at=(
            At(
                ("calls/HTTP/1.0*", "malformed/no host in HTTP/1.0"),
                {
                    **AS_HTTP,
                    "http": ("200", "426"),
                    "content-type": ("application/grpc-web+proto", "text/plain"),
                    "access-control-allow-origin": ("http://page.test", "-"),
                    "access-control-expose-headers": ("*", "-"),
                },
            ),
        ),
    ),
    Row(
        what="A content type with parameters or in other case, or with a codec other than `+proto`",
        gateway="understands it",
        envoy="415: its filter knows four spellings",
        why="Types are compared without case and parameters, and `+json` and `+thrift` are named by the protocol.",
        right=GATEWAY,
        source="RFC 9110, section 8.3.1; PROTOCOL-WEB, Content-Type",
        at=(
            At(
                (
                    "calls/content type with parameters",
                    "calls/content type in other case",
                    "calls/content type with another codec",
                    "calls/a codec of which the backend says nothing",
                ),
                {
                    **AS_HTTP,
                    "http": ("200", "415"),
                    "content-type": ("application/grpc-web*", "text/plain"),
                    "connection": ("kept", "closed"),
                },
            ),
            At(
                "native/a parameter",
                {**AS_HTTP, "http": ("200", "415"), "content-type": ("application/grpc", "text/plain")},
            ),
        ),
    ),
    Row(
        what="Base64 with padding in mid-stream",
        gateway="decodes each segment",
        envoy="400 with 13",
        why="Streams of text are encoded piece by piece, each with its padding.",
        right=GATEWAY,
        source="PROTOCOL-WEB, Text-encoded streams",
        at=(
            At(
                ("text/padding in mid-stream", "text/segments of four bytes"),
                {
                    "backend messages": ("*", "-"),
                    "backend stream": ("end", "reset INTERNAL_ERROR"),
                    "http": ("200", "400"),
                    "grpc-status": ("0", "13 (in the headers)"),
                    "grpc-message": ("-", "there (in the headers)"),
                    "messages": ("*", "-"),
                    "connection": ("kept", "closed"),
                },
            ),
        ),
    ),
    Row(
        what="`Connection: authorization`",
        gateway="reads the token, then takes the header off: it does not reach the backend",
        envoy="takes the header off first: 16",
        why="The header may not be named there, and who meets it has to take it off.",
        right=BOTH,
        source="RFC 9110, section 7.6.1",
        at=(
            At(
                "metadata/connection names authorization",
                {
                    **CALL_REFUSED,
                    "grpc-status": ("0", "16 (in the headers)"),
                    "grpc-message": ("-", "there (in the headers)"),
                    "www-authenticate": ("-", "Bearer"),
                    "the page may read": ("-", "www-authenticate"),
                    "connection": ("kept", "closed"),
                },
            ),
        ),
    ),
    Row(
        what="A call that offers an upgrade to WebSocket",
        gateway="answers the call",
        envoy="403",
        why="A server may ignore an upgrade that it does not want.",
        right=GATEWAY,
        source="RFC 9110, section 7.8",
        at=(
            At(
                "metadata/an upgrade to WebSocket",
                {
                    **AS_HTTP,
                    "http": ("200", "403"),
                    "content-type": ("application/grpc-web+proto", "none"),
                    "access-control-allow-origin": ("http://page.test", "-"),
                    "access-control-expose-headers": ("*", "-"),
                },
            ),
        ),
    ),
    Row(
        what="More than 100 headers",
        gateway="takes 128, over HTTP/2 256",
        envoy="431; RST_STREAM over HTTP/2",
        why="A limit.",
        right=BOTH,
        source="RFC 6585, section 5",
        at=(
            At(
                "metadata/100 headers",
                {
                    **AS_HTTP,
                    "http": ("200", "431"),
                    "content-type": ("application/grpc-web+proto", "text/plain"),
                    "access-control-allow-origin": ("http://page.test", "-"),
                    "access-control-expose-headers": ("*", "-"),
                    "connection": ("kept", "closed"),
                },
                but=AGAIN,
            ),
            At(("metadata/100 headers over HTTP/2", "http2/200 headers"), {**AS_HTTP, **RESET_BY_ENVOY}),
        ),
    ),
)
