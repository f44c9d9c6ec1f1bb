"""What Envoy lets through to the backend and the gateway does not, tokens excepted."""

from tests.envoy.differences.patterns import AGAIN
from tests.envoy.differences.row import At, Fields, Right, Row

GATEWAY, BOTH = Right.GATEWAY, Right.BOTH

PASSES: Fields = {"backend calls": ("0", "1"), "grpc-message": ("there", "-")}
NATIVE_PASSES: Fields = {
    "backend calls": ("0", "1"),
    "grpc-status": ("* (in the headers)", "0"),
    "grpc-message": ("there (in the headers)", "-"),
}
ANSWERED: Fields = {**PASSES, "grpc-status": ("*", "0"), "messages": ("-", "*")}
# The gateway's parser says a bare 400 and hangs up.
NOT_HTTP: Fields = {
    "backend calls": ("0", "1"),
    "content-type": ("text/plain", "application/grpc-web+proto"),
    "vary": ("-", "origin"),
    "access-control-allow-origin": ("-", "http://page.test"),
    "access-control-expose-headers": ("-", "*"),
}
TAKEN: Fields = {**NOT_HTTP, "http": ("400", "200"), "connection": ("closed", "kept")}
BROKEN_CHUNKS: Fields = {
    **NOT_HTTP,
    "grpc-status": ("-", "13 (in the headers)"),
    "grpc-message": ("-", "there (in the headers)"),
}


ROWS = (
    Row(
        what="Frames of a request that are cut off, carry the trailer flag or unknown flags, or are none",
        gateway="3",
        envoy="sends the bytes on as they are",
        why="Envoy does not look into requests: the backend has to refuse. Nothing says who has to check.",
        right=BOTH,
        source="PROTOCOL-HTTP2, Length-Prefixed-Message",
        at=(
            At(
                ("frames/a flag alone", "frames/half a prefix", "frames/garbage*", "text/text in a binary call"),
                {**PASSES, "grpc-status": ("3", "none"), "frames": ("-", "cut off")},
            ),
            At(
                ("frames/one byte short", "frames/a prefix alone", "frames/a byte after the message"),
                {**PASSES, "grpc-status": ("3", "none"), "frames": ("-", "cut off"), "messages": ("-", "*")},
            ),
            At(
                ("native/a frame cut short", "native/in text"),
                {**NATIVE_PASSES, "frames": ("-", "cut off")},
            ),
            At("native/a trailer frame", NATIVE_PASSES),
            At(
                ("frames/a trailer frame alone", "frames/all flags"),
                {**PASSES, "grpc-status": ("3", "0"), "trailer frames": ("-", "2")},
            ),
            At("frames/a trailer frame from the client", {**ANSWERED, "trailer frames": ("-", "2")}),
            At("frames/an unknown flag", ANSWERED),
            At("text/cut by a whole quantum", {**PASSES, "grpc-status": ("3", "0")}),
        ),
    ),
    Row(
        what="A message over `limits.max_request_message`, and 4 GiB announced",
        gateway="8, decided on the prefix",
        envoy="has no limit of messages",
        why="`grpcweb-gateway envoy` warns of it.",
        right=GATEWAY,
        source="gateway.yaml, `limits.max_request_message`",
        at=(
            At("frames/over the limit by one", ANSWERED),
            At("native/a message over the limit", {**NATIVE_PASSES, "messages": ("-", "*")}),
            At("frames/4 GiB announced", {**PASSES, "grpc-status": ("8", "none"), "frames": ("-", "cut off")}),
            At("frames/4 GiB announced, in text", {**PASSES, "grpc-status": ("8", "0")}),
        ),
    ),
    Row(
        what="A compressed message that cannot be opened: no encoding, no gzip, a bomb",
        gateway="13, 13, 8",
        envoy="sends it on",
        why="The backend has to refuse it. The gateway opens messages, so that its limit holds for what is in them.",
        right=BOTH,
        source="gRPC, compression",
        at=(At(("frames/compressed without*", "frames/compressed, *"), ANSWERED),),
    ),
    Row(
        what="Text mode that is not base64",
        gateway="3, and nothing reaches the backend",
        envoy="HTTP 400 with 13, when the call has begun at the backend already",
        why="Both refuse, as they must. Envoy sends the head on before it looks at the body.",
        right=BOTH,
        source="RFC 4648, section 3.3",
        at=(
            At(
                (
                    "text/cut by *",
                    "text/a line break *",
                    "text/a space *",
                    "text/the url-safe *",
                    "text/another *",
                    "text/too much padding",
                    "text/padding in front",
                    "text/binary in a text call",
                ),
                {
                    "backend calls": ("0", "1"),
                    "http": ("200", "400"),
                    "grpc-status": ("3", "13 (in the headers)"),
                    "grpc-message": ("there", "there (in the headers)"),
                    "connection": ("kept", "closed"),
                },
                but=("text/cut by a whole quantum",),
            ),
        ),
    ),
    Row(
        what="Metadata that gRPC does not allow: other characters in a name, a tab or letters beyond ASCII in a value, "
        "`-bin` that is not base64",
        gateway="3",
        envoy="sends it on",
        why="Names are of a-z, 0-9, `_`, `-` and `.`, values of printable ASCII.",
        right=GATEWAY,
        source="PROTOCOL-HTTP2, Custom-Metadata",
        at=(
            At(
                (
                    "metadata/binary, not base64",
                    "metadata/a name with other *",
                    "metadata/a tab in a value",
                    "metadata/beyond ASCII*",
                ),
                ANSWERED,
            ),
        ),
    ),
    Row(
        what="Metadata over `limits.max_metadata`",
        gateway="8",
        envoy="has one limit for all headers, 64 KiB",
        why="`grpcweb-gateway envoy` warns of it.",
        right=GATEWAY,
        source="gateway.yaml, `limits.max_metadata`",
        at=(At(("metadata/8 KiB of it", "metadata/one header of 9 KiB", "http2/a header of 17 KiB"), ANSWERED),),
    ),
    Row(
        what="Lines that end with LF alone, folded lines, tabs in the request line",
        gateway="400",
        envoy="takes them, and sends well-formed ones on",
        why="A server may do either. What two parsers read differently has been used for smuggling.",
        right=BOTH,
        source="RFC 9112, sections 2.2, 3 and 5.2",
        at=(
            At(
                ("malformed/bare LF *", "malformed/folded line", "malformed/tabs in the request line"),
                {**TAKEN, "grpc-status": ("-", "0"), "messages": ("-", "hello")},
            ),
        ),
    ),
    Row(
        what="A Host beside `:authority` that names another",
        gateway="400",
        envoy="drops it",
        why="It should be taken for malformed: what two servers read differently has been used for smuggling.",
        right=GATEWAY,
        source="RFC 9113, section 8.3.1",
        at=(
            At(
                "http2/host is another than :authority",
                {
                    "backend calls": ("0", "1"),
                    "http": ("400", "200"),
                    "content-type": ("text/plain", "application/grpc-web+proto"),
                    "cache-control": ("no-store", "-"),
                    "grpc-status": ("-", "0"),
                    "messages": ("-", "hello"),
                },
            ),
        ),
    ),
    Row(
        what="A value with spaces around it, in HTTP/2",
        gateway="RST_STREAM with PROTOCOL_ERROR",
        envoy="takes them off",
        why="Such a request is malformed.",
        right=GATEWAY,
        source="RFC 9113, section 8.2.1",
        at=(
            At(
                "http2/a value with spaces around",
                {
                    **NOT_HTTP,
                    "ended": ("no answer", "whole"),
                    "reset": ("PROTOCOL_ERROR", "-"),
                    "http": ("-", "200"),
                    "content-type": ("-", "application/grpc-web+proto"),
                    "grpc-status": ("-", "0"),
                    "messages": ("-", "hello"),
                },
            ),
        ),
    ),
    Row(
        what="CR alone within a header",
        gateway="400",
        envoy="takes it out, and joins what stood around it",
        why="It is invalid, or has to become a space.",
        right=GATEWAY,
        source="RFC 9112, section 2.2",
        at=(At("malformed/bare CR", {**TAKEN, "grpc-status": ("-", "0"), "messages": ("-", "hello")}),),
    ),
    Row(
        what="A chunk that is longer than it says",
        gateway="400",
        envoy="cuts it, and skips what is too much",
        why="After a chunk comes CRLF and nothing else.",
        right=GATEWAY,
        source="RFC 9112, section 7.1",
        at=(
            At(
                "malformed/chunk longer than it says",
                {**TAKEN, "grpc-status": ("-", "none"), "messages": ("-", "*"), "frames": ("-", "cut off")},
            ),
        ),
    ),
    Row(
        what="Other chunks that are none",
        gateway="400, and nothing reaches the backend",
        envoy="HTTP 400 with 13, when the call has begun at the backend already",
        why="Both refuse. Envoy sends the head on before it looks at the body.",
        right=BOTH,
        source="RFC 9112, section 7.1",
        at=(
            At(
                ("malformed/chunk size *", "malformed/chunk lines *", "malformed/chunk extension with LF"),
                BROKEN_CHUNKS,
            ),
        ),
    ),
    Row(
        what="A header of 17 KiB, a path of 8 KiB, in HTTP/1.1",
        gateway="400",
        envoy="takes up to 64 KiB in all",
        why="Limits. For the path 414 would be the right refusal.",
        right=BOTH,
        source="RFC 9112, section 3; RFC 9110, section 15.5.15",
        at=(
            At(
                "malformed/a header of 17 KiB",
                {**TAKEN, "grpc-status": ("-", "0"), "messages": ("-", "hello")},
            ),
            At(
                "paths/8 KiB long",
                {**TAKEN, "grpc-status": ("-", "12 (in the headers)"), "grpc-message": ("-", "* (in the headers)")},
                but=AGAIN,
            ),
        ),
    ),
)
