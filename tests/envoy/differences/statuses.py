"""Where statuses stand, and what becomes of odd ones."""

from tests.envoy.differences.row import At, Fields, Right, Row

GATEWAY, ENVOY, BOTH, NEITHER = Right.GATEWAY, Right.ENVOY, Right.BOTH, Right.NEITHER

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
)
LOST = ("endings/connection lost before the head", "endings/GOAWAY *", "endings/RST_STREAM Refused before the head")
PAGES = ("answers/HTTP *", "answers/a redirect")

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
            At(("deadlines/it passes before the reply", "deadlines/it passes during the body"), IN_HEADERS),
            At("deadlines/it passes during the body", {"connection": ("kept", "closed")}),
        ),
    ),
    Row(
        what="A backend, or a proxy before it, that answers with an HTTP error",
        gateway="200, and the status that gRPC makes of it in a trailer frame",
        envoy="the HTTP status as it came, what gRPC makes of it among the headers, the body as grpc-message",
        why="Both map alike. Clients that want 200 look no further; and the text may not be meant for strangers.",
        right=GATEWAY,
        source="PROTOCOL-HTTP2, HTTP-Status; http-grpc-status-mapping",
        at=(
            At(PAGES, {**IN_HEADERS, "http": ("200", "*")}, but=("answers/HTTP 200 *", "answers/HTTP 204")),
            At("answers/HTTP 200 and a page", IN_HEADERS),
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
            At(("statuses/NoStatus", "statuses/HeadAlone"), {"grpc-status": ("2", "none"), "grpc-message": ("*", "-")}),
        ),
    ),
    Row(
        what="A status that is none: `abc`, `-1`, `00`, `17`",
        gateway="13, or 2 for `17`",
        envoy="as it came",
        why="Clients make of it what they like.",
        right=GATEWAY,
        source="PROTOCOL-HTTP2, Status",
        at=(
            At(
                ("statuses/StatusWord", "statuses/StatusNegative", "statuses/Status00"),
                {"grpc-status": ("13", "*"), "grpc-message": ("there", "-")},
            ),
            At("statuses/Status17", {"grpc-status": ("2", "17")}),
        ),
    ),
    Row(
        what="Two statuses",
        gateway="one: the last trailer, or the trailer where the head has one, too",
        envoy="both",
        why="A status stands once. Of `5` and `0` in the trailers grpcio takes the `0`: the wrong one.",
        right=NEITHER,
        source="PROTOCOL-HTTP2, Responses",
        at=(
            At("statuses/TwoStatuses", {"grpc-status": ("0", "5,0")}),
            At("statuses/StatusTwice", {"grpc-status": ("5", "5, 0 (in the headers)")}),
        ),
    ),
    Row(
        what="A grpc-message beside status 0",
        gateway="is left out",
        envoy="is there",
        why="It says nothing to anyone.",
        right=BOTH,
        source="PROTOCOL-HTTP2, Status-Message",
        at=(At("statuses/OkWithMessage", {"grpc-message": ("-", "all well")}),),
    ),
    Row(
        what="A grpc-message that is not percent-encoded: UTF-8, Latin-1, a lone `%`",
        gateway="is, then",
        envoy="as it came",
        why="Bytes outside of printable ASCII, and `%`, are to be encoded.",
        right=GATEWAY,
        source="PROTOCOL-HTTP2, Status-Message",
        at=(At(("statuses/Utf8", "statuses/Latin1", "statuses/PercentLoose"), {"grpc-message": ("*%*", "*")}),),
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
