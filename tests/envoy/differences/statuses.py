"""Where statuses stand, and what becomes of odd ones."""

from tests.envoy.differences.row import At, Fields, Right, Row

GATEWAY, BOTH = Right.GATEWAY, Right.BOTH

IN_HEADERS: Fields = {
    "grpc-status": ("*", "{gateway} (in the headers)"),
    "grpc-message": ("*", "{gateway} (in the headers)"),
}
TRAILERS_ALONE = (
    "calls/trailers alone",
    "calls/a backend that refuses before it was asked in full",
    "calls/the same, and it resets the stream",
    "text/a refusal by the backend",
    "cors/on a refusal by the backend",
    "statuses/Refuse*",
    "metadata/reply: www-authenticate",
    "roles/a wildcard rule, and a method that nobody knows",
    "paths/no method of this name",
    "paths/a method in other case",
    "paths/8 KiB long over HTTP/2",
)
REFUSED = ("endings/GOAWAY *", "endings/RST_STREAM Refused before the head")
LOST = ("endings/connection lost before the head", *REFUSED)
PASSED = ("deadlines/it passes before *", "deadlines/it passes during *")
PAGES = ("answers/HTTP *", "answers/a redirect", "answers/no content type")
NOT_ENCODED = ("statuses/Utf8", "statuses/Latin1", "statuses/PercentLoose", "native/a message that is not ASCII")

ROWS = (
    Row(
        what="A backend that refuses with trailers alone",
        gateway="the status in a trailer frame, its metadata beside it",
        envoy="the status among the response headers, and the metadata, too",
        why="Trailers may come with the headers where there is no message.",
        right=BOTH,
        source="PROTOCOL-WEB, Message framing",
        at=(
            At(TRAILERS_ALONE, IN_HEADERS),
            At(
                (
                    "calls/trailers alone",
                    "text/a refusal by the backend",
                    "cors/on a refusal by the backend",
                    "statuses/Refuse",
                ),
                {"metadata": ("-", "x-why: gone"), "trailers": ("x-why: gone", "-")},
            ),
            At(
                "statuses/RefuseWithDetails",
                {"grpc-status-details-bin": ("CAkSAm5v", "CAkSAm5v (in the headers)")},
            ),
            At(
                "metadata/reply: www-authenticate",
                {
                    "trailers": ("www-authenticate: Bearer", "-"),
                    "www-authenticate": ("-", "Bearer"),
                    "the page may read": ("-", "www-authenticate"),
                },
            ),
        ),
    ),
    Row(
        what="Where 4 and 14 stand when the backend has sent nothing",
        gateway="in a trailer frame",
        envoy="among the response headers",
        why="As for refusals.",
        right=BOTH,
        source="PROTOCOL-WEB, Message framing",
        at=(
            At(LOST, IN_HEADERS),
            At(PASSED, IN_HEADERS),
            At("deadlines/it passes during the body", {"connection": ("kept", "closed")}),
        ),
    ),
    Row(
        what="A backend that refuses a call before it looks at it: GOAWAY, REFUSED_STREAM",
        gateway="sends it again, once; 14 if that fails, too",
        envoy="14; only what `idempotent_methods` lists is sent again",
        why="Nobody has processed it, so it may be sent again, whatever it does.",
        right=BOTH,
        source="RFC 9113, section 8.7; gRFC A6, Transparent Retries",
        at=(At(REFUSED, {"backend calls": ("2", "1")}),),
    ),
    Row(
        what="A backend, or a proxy before it, that answers with an HTTP error",
        gateway="200, and the status that gRPC makes of it in a trailer frame",
        envoy="the HTTP status as it came, what gRPC makes of it among the headers, the body as grpc-message",
        why="Both map alike. Clients that want 200 look no further; and the text may not be meant for strangers.",
        right=GATEWAY,
        source="PROTOCOL-HTTP2, HTTP-Status; http-grpc-status-mapping",
        at=(
            At(PAGES, IN_HEADERS, but=("answers/HTTP 204",)),
            At(PAGES, {"http": ("200", "*")}, but=("answers/HTTP 20*", "answers/no content type")),
            At(
                "native/a backend that is not gRPC",
                {
                    "http": ("200", "503"),
                    "content-type": ("application/grpc", "text/html"),
                    "grpc-status": ("14 (in the headers)", "-"),
                    "grpc-message": ("there (in the headers)", "-"),
                },
            ),
            At(
                "answers/HTTP 204",
                {"http": ("200", "204"), "grpc-status": ("2", "none"), "grpc-message": ("there", "-")},
            ),
        ),
    ),
    Row(
        what="A backend that gives no status",
        gateway="2",
        envoy="none",
        why="Each call ends with a status; without one it is UNKNOWN.",
        right=GATEWAY,
        source="gRPC, statuscodes",
        at=(
            At(
                ("statuses/NoStatus", "statuses/HeadAlone", "native/a backend without a status"),
                {"grpc-status": ("2", "none"), "grpc-message": ("*", "-")},
            ),
        ),
    ),
    Row(
        what="A status that is none: `abc`, `-1`, `00`",
        gateway="2",
        envoy="as it came",
        why="Clients make of it what they like.",
        right=GATEWAY,
        source="PROTOCOL-HTTP2, Status",
        at=(
            At(
                ("statuses/StatusWord", "statuses/StatusNegative", "statuses/Status00"),
                {"grpc-status": ("2", "*")},
            ),
        ),
    ),
    Row(
        what="Two statuses",
        gateway="the first of the trailers",
        envoy="both",
        why="A status stands once. What clients make of two differs.",
        right=GATEWAY,
        source="PROTOCOL-HTTP2, Responses",
        at=(
            At("statuses/TwoStatuses", {"grpc-status": ("5", "5,0")}),
            At("statuses/StatusTwice", {"grpc-status": ("5", "5, 0 (in the headers)")}),
        ),
    ),
    Row(
        what="A grpc-message that is not percent-encoded: UTF-8, Latin-1, a lone `%`",
        gateway="is, then",
        envoy="as it came",
        why="Bytes outside of printable ASCII, and `%`, are to be encoded.",
        right=GATEWAY,
        source="PROTOCOL-HTTP2, Status-Message",
        at=(At(NOT_ENCODED, {"grpc-message": ("*%*", "*")}),),
    ),
    Row(
        what="A grpc-message of 10,000 characters",
        gateway="is cut at 8 KiB",
        envoy="as it came",
        why="A limit.",
        right=BOTH,
        source="PROTOCOL-HTTP2, Status-Message",
        at=(At("statuses/LongMessage", {"grpc-message": ("*(8192 characters,*", "*(10000 characters,*")}),),
    ),
)
