"""What both refuse because it is not quite HTTP, or before it could be a call."""

from tests.envoy.differences.patterns import (
    AGAIN,
    AS_A_CALL,
    BAD_HOSTS,
    FRAGMENTS,
    MALFORMED_HTTP2,
    NO_CORS,
    RESET_BY_ENVOY,
    TWO_TYPES,
    UNDERSCORES,
    UNPARSED,
)
from tests.envoy.differences.row import At, Right, Row, both_refuse

GATEWAY, ENVOY, BOTH, NEITHER = Right.GATEWAY, Right.ENVOY, Right.BOTH, Right.NEITHER

ROWS = (
    Row(
        what="A fragment, or a whole URL, in the request line; a Host with a path",
        gateway="400, 404, 400, as plain text that the page may read",
        envoy="400, 404, 400, with nothing",
        why="Envoy refuses before its filters see the request. No browser sends these.",
        right=BOTH,
        source="RFC 9112, section 3.2",
        at=(
            At(FRAGMENTS, {**NO_CORS, "content-type": ("text/plain", "none")}),
            At("malformed/host with a path", NO_CORS),
        ),
    ),
    Row(
        what="CONNECT",
        gateway="405; 404 over HTTP/2, where it has no path",
        envoy="400, 403 over HTTP/2; without CORS headers",
        why="No page can send it.",
        right=BOTH,
        source="RFC 9110, section 9.3.6",
        at=(
            At("methods/CONNECT", {**NO_CORS, "http": ("405", "400"), "allow": ("POST, OPTIONS", "-")}),
            At("http2/CONNECT", {**NO_CORS, "http": ("404", "403")}),
        ),
    ),
    Row(
        what="Two content types",
        gateway="400",
        envoy="415: it joins them",
        why="The field may stand once; joined they are no type.",
        right=BOTH,
        source="RFC 9110, section 5.3",
        at=(
            At(TWO_TYPES, {"http": ("400", "415")}),
            At(
                TWO_TYPES,
                {
                    **UNPARSED,
                    "access-control-allow-origin": ("-", "http://page.test"),
                    "access-control-expose-headers": ("-", "*"),
                },
                but=AGAIN,
            ),
        ),
    ),
    Row(
        what="Two Host headers",
        gateway="400 by the parser",
        envoy="400, to a call with 13 among the headers: it joins them",
        why="400 it has to be.",
        right=BOTH,
        source="RFC 9112, section 3.2",
        at=(
            At(
                "malformed/two hosts",
                {
                    **UNPARSED,
                    **AS_A_CALL,
                    "grpc-status": ("-", "13 (in the headers)"),
                    "access-control-allow-origin": ("-", "http://page.test"),
                    "access-control-expose-headers": ("-", "*"),
                },
            ),
        ),
    ),
    Row(
        what="Names of headers with an underscore",
        gateway="3, which the page can read",
        envoy="400 without CORS headers, or RST_STREAM over HTTP/2, so that the page sees a network error",
        why="Both refuse what could pass for another name. Envoy does before its filters see the request.",
        right=GATEWAY,
        source="PROTOCOL-WEB: the status of a call is for its client",
        at=(
            At(
                UNDERSCORES,
                {
                    **NO_CORS,
                    "http": ("200", "400"),
                    "content-type": ("application/grpc-web+proto", "text/plain"),
                },
                but=AGAIN,
            ),
            At(UNDERSCORES, {"grpc-status": ("3", "-"), "grpc-message": ("there", "-")}),
            At(
                ("metadata/a name with an underscore over HTTP/2", "metadata/a claim's header with an u* over HTTP/2"),
                RESET_BY_ENVOY,
            ),
        ),
    ),
    Row(
        what="70 KiB of headers",
        gateway="8, which the page can read; over HTTP/2 the connection is closed",
        envoy="431 without CORS headers; RST_STREAM over HTTP/2",
        why="A limit; the same with 200 headers over HTTP/1.1, 400 and 431.",
        right=BOTH,
        source="RFC 6585, section 5; RFC 9113, section 10.5.1",
        at=(
            At(
                "malformed/70 KiB of headers",
                {
                    **NO_CORS,
                    "http": ("200", "431"),
                    "content-type": ("application/grpc-web+proto", "text/plain"),
                    "grpc-status": ("8", "-"),
                    "grpc-message": ("there", "-"),
                },
            ),
            At("malformed/200 headers", {"http": ("400", "431")}),
            At("http2/70 KiB of headers", {"connection": ("closed", "-"), "reset": ("-", "INTERNAL_ERROR")}),
        ),
    ),
    Row(
        what="Another version of HTTP, chunks in HTTP/1.0",
        gateway="400",
        envoy="426",
        why="505 is for another major version, 1.2 may be answered as 1.1, and 426 has to name a protocol.",
        right=NEITHER,
        source="RFC 9110, sections 15.5.22 and 15.6.6",
        at=(
            At(
                ("malformed/HTTP/2.0", "malformed/HTTP/1.2", "malformed/no version", "malformed/chunks in HTTP/1.0"),
                {"http": ("400", "426")},
            ),
        ),
    ),
    Row(
        what="Transfer codings other than `chunked`",
        gateway="400",
        envoy="501",
        why="501 is for a coding that the server does not understand.",
        right=ENVOY,
        source="RFC 9112, section 6.1",
        at=(
            At(
                ("malformed/coding unknown", "malformed/coding * chunked", "malformed/chunked twice"),
                {"http": ("400", "501")},
            ),
        ),
    ),
    Row(
        what="`POST *`, no Host",
        gateway="400 as plain text",
        envoy="404, 400, with nothing",
        why="No browser sends these.",
        right=BOTH,
        source="RFC 9112, section 3.2",
        at=(
            At("paths/asterisk", {"http": ("400", "404"), "content-type": ("text/plain", "none")}, but=AGAIN),
            At("malformed/no host", {"content-type": ("text/plain", "none")}),
        ),
    ),
    Row(
        what="`Vary` on what is not HTTP",
        gateway="is not there: the answer is the same for every origin",
        envoy="`Origin`, as everywhere",
        why="It harms nobody.",
        right=BOTH,
        source="RFC 9110, section 12.5.5",
        at=(
            At(
                ("malformed/*", "methods/in lower case", "methods/unknown", "paths/beyond ASCII", "paths/asterisk"),
                UNPARSED,
                when=both_refuse,
                but=(
                    *BAD_HOSTS,
                    *AGAIN,
                    "malformed/two hosts",
                    "malformed/host with a path",
                    "malformed/70 KiB of headers",
                ),
            ),
        ),
    ),
    Row(
        what="A request that is malformed in HTTP/2",
        gateway="RST_STREAM with PROTOCOL_ERROR",
        envoy="closes the connection, and with it every other call on it",
        why="It is an error of the stream, not of the connection.",
        right=GATEWAY,
        source="RFC 9113, section 8.1.1",
        at=(
            At(
                MALFORMED_HTTP2,
                {"reset": ("PROTOCOL_ERROR", "-"), "connection": ("-", "closed")},
                but=("http2/a value with spaces around",),
            ),
        ),
    ),
    Row(
        what="What begins like the preface of HTTP/2 and goes on as HTTP/1.1",
        gateway="400",
        envoy="closes the connection",
        why="It is neither.",
        right=BOTH,
        source="RFC 9113, section 3.4",
        at=(
            At(
                "malformed/the preface of HTTP/2",
                {
                    "ended": ("whole", "no answer"),
                    "http": ("400", "-"),
                    "content-type": ("text/plain", "-"),
                    "connection": ("closed", "-"),
                },
            ),
        ),
    ),
)
