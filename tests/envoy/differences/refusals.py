"""What both refuse, each in its way. Nothing here reaches a backend."""

from tests.envoy.differences.patterns import (
    AS_A_CALL,
    BAD_HOSTS,
    ENCODED,
    FRAGMENTS,
    NATIVE,
    NATIVE_FOREIGN,
    NO_METHODS,
    NO_METHODS_AGAIN,
    ORIGINS,
    OTHER_REASONS,
    QUERIES,
    TWO_ORIGINS,
    TWO_TYPES,
    WITHOUT_BODY,
    WRONG_METHODS,
    WRONG_PATHS,
    WRONG_TYPES,
)
from tests.envoy.differences.row import At, Fields, Right, Row, both_refuse, both_refuse_as_a_call

GATEWAY, BOTH = Right.GATEWAY, Right.BOTH

NATIVE_REFUSED: Fields = {
    "content-type": ("text/plain", "application/grpc"),
    "grpc-message": ("-", "there (in the headers)"),
}

ROWS = (
    Row(
        what="Where the status of a refused call stands",
        gateway="in a trailer frame, always",
        envoy="among the response headers, without a body",
        why="Trailers may come with the headers where there is no message.",
        right=BOTH,
        source="PROTOCOL-WEB, Message framing",
        at=(
            At(
                "*",
                {
                    "grpc-status": ("*", "{gateway} (in the headers)"),
                    "grpc-message": ("there", "there (in the headers)"),
                },
                when=both_refuse_as_a_call,
                but=OTHER_REASONS,
            ),
        ),
    ),
    Row(
        what="The connection after a refusal",
        gateway="is kept; the rest of the body is read and thrown away",
        envoy="is closed, when the request has a body",
        why="Either will do. A browser opens another.",
        right=BOTH,
        source="RFC 9112, section 9.6",
        at=(
            At(
                "*",
                {"connection": ("kept", "closed")},
                when=both_refuse,
                but=(
                    *WITHOUT_BODY,
                    *TWO_TYPES,
                    *NO_METHODS,
                    "preflights/*",
                    "malformed/*",
                    "paths/asterisk",
                    "paths/beyond ASCII",
                    "endings/*",
                    "deadlines/0*",
                    "tokens/in text mode: none",
                    "native/*",
                    "http2/*",
                ),
            ),
            At("preflights/the same without a token", {"connection": ("kept", "closed")}),
            At((*BAD_HOSTS, "malformed/host with a path"), {"connection": ("kept", "closed")}),
            At("malformed/70 KiB of headers", {"connection": ("kept", "closed")}),
        ),
    ),
    Row(
        what="A token whose `aud`, `typ` or `alg` is not allowed",
        gateway="16, `invalid_token`",
        envoy="7, `insufficient_scope`",
        why="Such a token is not valid here: the page needs another. In Envoy RBAC judges these claims.",
        right=GATEWAY,
        source="RFC 6750, section 3.1",
        at=(
            At(
                OTHER_REASONS,
                {
                    "grpc-status": ("16", "7 (in the headers)"),
                    "grpc-message": ("there", "there (in the headers)"),
                    "www-authenticate": ('Bearer error="invalid_token"', 'Bearer error="insufficient_scope"'),
                },
            ),
        ),
    ),
    Row(
        what="A foreign origin",
        gateway="403 as plain text",
        envoy="403, to a call with 7 among the headers",
        why="No page may read it.",
        right=BOTH,
        source="Fetch, section 4.10",
        at=(
            At(
                ORIGINS,
                {**AS_A_CALL, "grpc-status": ("-", "7 (in the headers)")},
                when=both_refuse,
            ),
            At(TWO_ORIGINS, {"http": ("400", "403")}),
            At("preflights/two origins", {"http": ("400", "403")}),
        ),
    ),
    Row(
        what="A path that is none",
        gateway="404",
        envoy="200 with 12 (UNIMPLEMENTED), as for a method that nobody knows",
        why="The gateway says in HTTP what is not a call. A page gets 12 from both, by the mapping of 404.",
        right=BOTH,
        source="gRPC, http-grpc-status-mapping",
        at=(
            At(
                WRONG_PATHS,
                {**AS_A_CALL, "http": ("404", "200"), "grpc-status": ("-", "12 (in the headers)")},
                but=(*QUERIES, *FRAGMENTS),
            ),
        ),
    ),
    Row(
        what="A query, a Host that is none",
        gateway="400 as plain text",
        envoy="400, to a call with 13 among the headers",
        why="13 is what gRPC makes of 400.",
        right=BOTH,
        source="gRPC, http-grpc-status-mapping",
        at=(At((*QUERIES, *BAD_HOSTS), {**AS_A_CALL, "grpc-status": ("-", "13 (in the headers)")}),),
    ),
    Row(
        what="Another method than POST",
        gateway="405 as plain text",
        envoy="405, to a call with 2 among the headers",
        why="2 is what gRPC makes of 405.",
        right=BOTH,
        source="gRPC, http-grpc-status-mapping",
        at=(
            At(
                WRONG_METHODS,
                {**AS_A_CALL, "grpc-status": ("-", "2 (in the headers)")},
                but=(*NO_METHODS, "methods/HEAD"),
            ),
            At(NO_METHODS_AGAIN, {**AS_A_CALL, "grpc-status": ("-", "2 (in the headers)")}),
            At("methods/HEAD", {"content-type": AS_A_CALL["content-type"], "grpc-status": ("-", "none")}),
        ),
    ),
    Row(
        what="Native gRPC of a foreign origin, on a path that is none, or by another method",
        gateway="403, 404, 405 as plain text",
        envoy="200 with 7, 12, 2 among the headers",
        why="Clients of gRPC make 7, 12 and 2 of these.",
        right=BOTH,
        source="gRPC, http-grpc-status-mapping",
        at=(
            At(NATIVE_FOREIGN, {**NATIVE_REFUSED, "http": ("403", "200"), "grpc-status": ("-", "7 (in the headers)")}),
            At(
                "native/no path of gRPC",
                {**NATIVE_REFUSED, "http": ("404", "200"), "grpc-status": ("-", "12 (in the headers)")},
            ),
            At("native/by GET", {**NATIVE_REFUSED, "http": ("405", "200"), "grpc-status": ("-", "2 (in the headers)")}),
        ),
    ),
    Row(
        what="`Content-Encoding` on a request",
        gateway="415 as plain text",
        envoy="415, to a call with 2 among the headers",
        why="2 is what gRPC makes of 415.",
        right=BOTH,
        source="gRPC, http-grpc-status-mapping",
        at=(At(ENCODED, {**AS_A_CALL, "grpc-status": ("-", "2 (in the headers)")}),),
    ),
    Row(
        what="`application/grpc` over HTTP/1.1",
        gateway="415",
        envoy="200 with 2 (UNKNOWN)",
        why="It is no gRPC-Web, and gRPC needs HTTP/2. To Envoy the type makes it a call.",
        right=GATEWAY,
        source="RFC 9110, section 15.5.16; PROTOCOL-HTTP2, Content-Type",
        at=(
            At(
                NATIVE,
                {
                    "http": ("415", "200"),
                    "content-type": ("text/plain", "application/grpc"),
                    "grpc-status": ("-", "2 (in the headers)"),
                    "grpc-message": ("-", "there (in the headers)"),
                },
            ),
        ),
    ),
    Row(
        what="`Cache-Control: no-store` on plain refusals",
        gateway="is there",
        envoy="is not",
        why="Answers to POST are not stored anyway; those to GET could be.",
        right=BOTH,
        source="RFC 9111, section 3",
        at=(
            At(
                (
                    *ORIGINS,
                    *WRONG_PATHS,
                    *QUERIES,
                    *FRAGMENTS,
                    *WRONG_METHODS,
                    *WRONG_TYPES,
                    *BAD_HOSTS,
                    "malformed/host with a path",
                    "preflights/any origin, null",
                    "preflights/*foreign origin*",
                    "preflights/null",
                    "preflights/without *",
                    "preflights/two origins",
                    *NATIVE_FOREIGN,
                    "native/no path of gRPC",
                    "native/by GET",
                    "native/another type *",
                    "http2/CONNECT",
                ),
                {"cache-control": ("no-store", "-")},
                when=both_refuse,
                but=(*TWO_TYPES, "methods/in lower case", "methods/unknown"),
            ),
            At(("types/tw* over HTTP/2", *NO_METHODS_AGAIN), {"cache-control": ("no-store", "-")}),
        ),
    ),
)
