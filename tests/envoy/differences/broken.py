"""Replies that break, and those that are broken."""

from tests.envoy.differences.row import At, Fields, Right, Row

GATEWAY = Right.GATEWAY

CUT_OFF: Fields = {"ended": ("whole", "cut off"), "connection": ("kept", "-"), "grpc-status": ("*", "none")}
MALFORMED = (
    "metadata/reply: connection-level headers",
    "metadata/reply: transfer-encoding",
    "metadata/reply: a header that splits",
    "metadata/reply: a control character",
)
MALFORMED_LATE = ("metadata/reply: a trailer that splits", "metadata/reply: a content-length that is wrong")
NO_FRAMES = (
    "answers/a trailer frame from the backend",
    "answers/an unknown flag",
    "answers/garbage",
    "answers/compressed without an encoding",
    "native/a reply of garbage",
)
WITH_OTHER_STATUS = ("answers/a trailer frame from the backend", "answers/garbage")
THIRTEEN: Fields = {"grpc-message": ("there", "-"), "backend stream": ("reset CANCEL", "end")}
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
            At("native/a reset before the reply", {"grpc-status": ("1 (in the headers)", "14 (in the headers)")}),
        ),
    ),
    Row(
        what="The stream or the connection to the backend breaks after the reply has begun",
        gateway="the messages so far, then a trailer frame: 14, or what the error code of RST_STREAM means",
        envoy="cuts the answer off: no status",
        why="Each call ends with a status. Without, a page cannot tell a dead backend from a dead network.",
        right=GATEWAY,
        source="PROTOCOL-WEB; PROTOCOL-HTTP2, Errors",
        at=(At(MIDWAY, {**CUT_OFF, "grpc-message": ("there", "-")}),),
    ),
    Row(
        what="A deadline that passes after the reply has begun",
        gateway="the messages so far, then a trailer frame with 4",
        envoy="cuts the answer off: no status",
        why="`grpcweb-gateway envoy` warns of it.",
        right=GATEWAY,
        source="PROTOCOL-HTTP2, Timeout",
        at=(At("deadlines/it passes in mid-stream*", {**CUT_OFF, "grpc-message": ("there", "-")}),),
    ),
    Row(
        what="A message of a reply that is cut short",
        gateway="cuts the answer off",
        envoy="sends the trailer frame after it, which so becomes part of the message",
        why="Whatever follows would be taken for the rest of the message. A page sees no status either way; an answer "
        "that breaks off looks like what it is.",
        right=GATEWAY,
        source="PROTOCOL-WEB, Message framing",
        at=(
            At(
                ("answers/a message cut short", "answers/half a prefix"),
                {"ended": ("cut off", "whole"), "connection": ("-", "kept")},
            ),
            At("answers/a message cut short", {"messages": ("-", "*")}),
            At("native/a reply cut short", {"grpc-status": ("13", "0"), "grpc-message": ("there", "-")}),
        ),
    ),
    Row(
        what="Frames of a reply that are none: unknown flags, the trailer flag, compressed without `grpc-encoding`",
        gateway="13, and the backend's stream is reset",
        envoy="are there as they came, the trailer frame after them",
        why="The flag is 0 or 1, and 1 only with an encoding. Clients make of other frames what they like.",
        right=GATEWAY,
        source="PROTOCOL-HTTP2, Length-Prefixed-Message",
        at=(
            At(NO_FRAMES, {**THIRTEEN, "grpc-status": ("13", "0")}, but=WITH_OTHER_STATUS),
            At(
                "answers/a trailer frame from the backend",
                {**THIRTEEN, "grpc-status": ("13", "5"), "grpc-message": ("*", "no")},
            ),
            At("answers/garbage", {**THIRTEEN, "grpc-status": ("13", "none")}),
            At("*/*garbage", {"frames": ("-", "cut off")}, but=("frames/*",)),
            At("answers/an unknown flag", {"messages": ("-", "flag 2: hello")}),
            At("answers/compressed without an encoding", {"messages": ("-", "flag 1: hello")}),
            At("answers/a trailer frame from the backend", {"trailer frames": ("-", "2")}),
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
        what="A reply that is malformed in HTTP/2: connection-level headers, control characters, a wrong length",
        gateway="13",
        envoy="14, or cuts the answer off where the reply has begun",
        why="It is an error of the stream, PROTOCOL_ERROR, which is 13. 14 says that the call may be tried again.",
        right=GATEWAY,
        source="RFC 9113, sections 8.1.1, 8.2.1 and 8.2.2; PROTOCOL-HTTP2, Errors",
        at=(
            At(
                MALFORMED,
                {"grpc-status": ("13", "14 (in the headers)"), "grpc-message": ("there", "there (in the headers)")},
            ),
            At(MALFORMED_LATE, {**CUT_OFF, "grpc-message": ("there", "-")}),
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
                    "backend bytes of no frame": ("-", "*"),
                },
            ),
        ),
    ),
)
