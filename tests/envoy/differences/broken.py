"""Replies that break, and those that are broken."""

from tests.envoy.differences.row import At, Fields, Right, Row

GATEWAY, ENVOY, BOTH, NEITHER = Right.GATEWAY, Right.ENVOY, Right.BOTH, Right.NEITHER

CUT_OFF: Fields = {"ended": ("whole", "cut off"), "connection": ("kept", "-"), "grpc-status": ("*", "none")}
MALFORMED = (
    "metadata/reply: connection-level headers",
    "metadata/reply: transfer-encoding",
    "metadata/reply: a header that splits",
)
MIDWAY = ("endings/* after the head", "endings/* after a message*")
LOST = ("endings/connection lost before the head", "endings/GOAWAY *", "endings/RST_STREAM Refused before the head")

ROWS = (
    Row(
        what="RST_STREAM before the reply",
        gateway="the status that the error code means: CANCEL 1, ENHANCE_YOUR_CALM 8, INADEQUATE_SECURITY 7, others 13",
        envoy="14",
        why="There is a table for it. 14 says that the call may be tried again.",
        right=GATEWAY,
        source="PROTOCOL-HTTP2, Errors",
        at=(
            At(
                "endings/RST_STREAM * before the head",
                {"grpc-status": ("*", "14 (in the headers)"), "grpc-message": ("there", "there (in the headers)")},
                but=LOST,
            ),
        ),
    ),
    Row(
        what="The stream or the connection to the backend breaks after the reply has begun",
        gateway="the messages so far, then a trailer frame: 14, or what the error code of RST_STREAM means",
        envoy="cuts the answer off: no status, the connection is closed",
        why="Each call ends with a status. Without, a page cannot tell a dead backend from a dead network.",
        right=GATEWAY,
        source="PROTOCOL-WEB; PROTOCOL-HTTP2, Errors",
        at=(At(MIDWAY, {**CUT_OFF, "grpc-message": ("there", "-")}),),
    ),
    Row(
        what="A deadline that passes after the reply has begun",
        gateway="the messages so far, then a trailer frame with 4",
        envoy="cuts the answer off: no status, the connection is closed",
        why="`grpcweb-gateway envoy` warns of it.",
        right=GATEWAY,
        source="PROTOCOL-HTTP2, Timeout",
        at=(At("deadlines/it passes in mid-stream*", {**CUT_OFF, "grpc-message": ("there", "-")}),),
    ),
    Row(
        what="Frames of a reply that are cut off or carry unknown flags",
        gateway="are lost: grpcio says nothing of them, the status is the backend's",
        envoy="are there as they came, the trailer frame after them",
        why="To the gateway's page the call looks well, to Envoy's the body is broken, which it is.",
        right=ENVOY,
        source="PROTOCOL-HTTP2, Length-Prefixed-Message",
        at=(
            At(
                ("answers/half a prefix", "answers/garbage"), {"frames": ("-", "cut off"), "grpc-status": ("0", "none")}
            ),
            At(
                "answers/a message cut short",
                {"frames": ("-", "cut off"), "grpc-status": ("0", "none"), "messages": ("-", "*")},
            ),
            At("answers/an unknown flag", {"messages": ("-", "flag 2: hello")}),
            At("answers/a trailer frame from the backend", {"trailer frames": ("-", "2")}),
        ),
    ),
    Row(
        what="Compressed messages that cannot be opened",
        gateway="13",
        envoy="as they came, with 0",
        why="13 is what a client would say.",
        right=BOTH,
        source="gRPC, compression",
        at=(
            At(
                "answers/compressed *",
                {
                    "grpc-status": ("13", "0"),
                    "grpc-message": ("there", "-"),
                    "messages": ("-", "flag 1: hello"),
                },
            ),
            At("answers/compressed by *", {"metadata": ("-", "grpc-encoding: snappy")}),
        ),
    ),
    Row(
        what="A message over `limits.max_response_message`, and 4 GiB announced",
        gateway="8, after the messages before it",
        envoy="has no limit of messages",
        why="`grpcweb-gateway envoy` warns of it.",
        right=GATEWAY,
        source="gateway.yaml, `limits.max_response_message`",
        at=(
            At(
                "answers/a message over the limit*",
                {"grpc-status": ("8", "0"), "grpc-message": ("there", "-"), "messages": ("*", "*")},
            ),
            At(
                "answers/4 GiB announced",
                {"grpc-status": ("8", "none"), "grpc-message": ("there", "-"), "frames": ("-", "cut off")},
            ),
        ),
    ),
    Row(
        what="A reply that is malformed in HTTP/2: connection-level headers, CR or LF in a value",
        gateway="the header is left out, the call goes on",
        envoy="14, or cuts the answer off where it is in the trailers",
        why="It has to be treated as an error of the stream. grpc-core is lenient; nothing can split here either.",
        right=ENVOY,
        source="RFC 9113, sections 8.1.1, 8.2.1 and 8.2.2",
        at=(
            At(
                MALFORMED,
                {
                    "grpc-status": ("0", "14 (in the headers)"),
                    "grpc-message": ("-", "there (in the headers)"),
                    "messages": ("hello", "-"),
                },
            ),
            At(
                ("metadata/reply: connection-level headers", "metadata/reply: a header that splits"),
                {"metadata": ("x-own: 1", "-"), "the page may read": ("x-own", "-")},
            ),
            At("metadata/reply: a trailer that splits", {**CUT_OFF, "trailers": ("x-own: 1", "-")}),
        ),
    ),
    Row(
        what="A Content-Length of the backend that is wrong",
        gateway="counts for nothing",
        envoy="cuts the answer off",
        why="It has to be treated as an error of the stream.",
        right=ENVOY,
        source="RFC 9113, section 8.1.1",
        at=(At("metadata/reply: a content-length that is wrong", {**CUT_OFF, "messages": ("hello", "-")}),),
    ),
    Row(
        what="A control character in a value of the backend's",
        gateway="the header is left out",
        envoy="14",
        why="It is invalid, and may be kept or refused.",
        right=BOTH,
        source="RFC 9110, section 5.5",
        at=(
            At(
                "metadata/reply: a control character",
                {
                    "grpc-status": ("0", "14 (in the headers)"),
                    "grpc-message": ("-", "there (in the headers)"),
                    "messages": ("hello", "-"),
                    "metadata": ("x-own: 1", "-"),
                    "the page may read": ("x-own", "-"),
                },
            ),
        ),
    ),
    Row(
        what="A message over the limit that is only announced",
        gateway="8 at once",
        envoy="waits for the body",
        why="The gateway decides on the prefix.",
        right=GATEWAY,
        source="gateway.yaml, `limits.max_request_message`",
        at=(
            At(
                "frames/over the limit, announced",
                {
                    "ended": ("whole", "hung"),
                    "http": ("200", "-"),
                    "content-type": ("application/grpc-web+proto", "-"),
                    "connection": ("kept", "-"),
                    "vary": ("origin", "-"),
                    "grpc-status": ("8", "-"),
                    "grpc-message": ("there", "-"),
                    "access-control-allow-origin": ("http://page.test", "-"),
                    "access-control-expose-headers": ("*", "-"),
                },
            ),
        ),
    ),
)
