"""Frames of the request (PROTOCOL-WEB), and metadata both ways (PROTOCOL-HTTP2, Custom-Metadata)."""

import base64
import gzip
import struct

from tests.envoy.corpus.case import HELLO, IN_TEXT, call, nobody
from tests.envoy.script import message

PACKED = gzip.compress(b"hello", mtime=0)
BOMB = gzip.compress(bytes(100_000), mtime=0)
OVER = message(bytes(64 * 1024 + 1))

FRAMES = [
    call("one byte short", body=HELLO[:-1]),
    call("a flag alone", body=b"\0"),
    call("half a prefix", body=b"\0\0\0"),
    call("a prefix alone", body=b"\0\0\0\0\5"),
    call("a byte after the message", body=HELLO + b"\0"),
    call("a trailer frame from the client", body=HELLO + message(b"x:1\r\n", flags=0x80)),
    call("a trailer frame alone", body=message(b"", flags=0x80)),
    call("an unknown flag", body=message(b"hello", flags=2)),
    call("all flags", body=message(b"hello", flags=0xFF)),
    call("4 GiB announced", body=b"\0\xff\xff\xff\xff"),
    call("4 GiB announced, in text", body=base64.b64encode(b"\0\xff\xff\xff\xff"), change=IN_TEXT),
    call("over the limit by one", body=OVER),
    call(
        "over the limit, announced",
        body=struct.pack(">BI", 0, 64 * 1024 + 1),
        framed=False,
        add=[("content-length", str(len(OVER)))],
    ),
    call("at the limit", body=message(bytes(64 * 1024))),
    call("several messages, together over the limit", body=message(bytes(40_000)) * 2),
    call("garbage", body=b"garbage"),
    call("garbage that looks like HTML", body=b"<html>hello</html>"),
    call("compressed", "Plain", message(PACKED, flags=1), add=[("grpc-encoding", "gzip")]),
    call("compressed without an encoding", body=message(PACKED, flags=1)),
    call("compressed by an encoding nobody knows", "Plain", message(b"x", flags=1), add=[("grpc-encoding", "snappy")]),
    call("compressed, and it is not gzip", body=message(b"no gzip", flags=1), add=[("grpc-encoding", "gzip")]),
    call("compressed, a bomb", body=message(BOMB, flags=1), add=[("grpc-encoding", "gzip")]),
    call("an encoding, and nothing compressed", add=[("grpc-encoding", "gzip")]),
    call("the client takes gzip", add=[("grpc-accept-encoding", "gzip")]),
    call("the backend compresses", "Packed", add=[("grpc-accept-encoding", "gzip")]),
    call("the backend compresses, unasked", "Packed"),
]

FORWARDED = [
    ("x-forwarded-for", "203.0.113.1"),
    ("x-forwarded-proto", "gopher"),
    ("x-forwarded-host", "evil.test"),
    ("x-forwarded-port", "1"),
    ("x-real-ip", "203.0.113.1"),
    ("forwarded", "for=203.0.113.1"),
]
METADATA = [
    call("of one's own", add=[("x-custom", "1"), ("X-Upper", "Two Words")]),
    call("repeated", add=[("x-a", "1"), ("x-b", "2"), ("x-a", "3"), ("x-a", "4, 5")]),
    call("binary", add=[("x-raw-bin", "AP8")]),
    call("binary, padded", add=[("x-raw-bin", "AP8=")]),
    call("binary, repeated", add=[("x-raw-bin", "AP8="), ("x-raw-bin", "AQ")]),
    call("binary, a list", add=[("x-raw-bin", "AQ,Ag== , Aw")]),
    call("binary, not base64", add=[("x-raw-bin", "A*")]),
    call("empty", add=[("x-empty", "")]),
    call("with dots and dashes", add=[("x.dot-9", "~!")]),
    call("spaces around", add=[("x-a", "  1  ")]),
    call("a name with an underscore", add=[("x_user_id", "root")]),
    call("a name with other characters", add=[("x!", "1")]),
    call("a tab in a value", add=[("x-a", "a\tb")]),
    call("beyond ASCII: UTF-8", add=[("x-a", "gr\xc3\xbcn")]),
    call("beyond ASCII: Latin-1", add=[("x-a", "gr\xfcn")]),
    call("x-forwarded-* of the client's making", add=FORWARDED),
    call("x-forwarded-for twice", add=[("x-forwarded-for", "203.0.113.1"), ("x-forwarded-for", "203.0.113.2")]),
    call("over TLS", tls=True),
    call("a cookie", add=[("cookie", "session=1")]),
    call("a claim's header of the client's making", add=[("x-user-id", "root")]),
    call("a claim's header, in other case", add=[("X-User-ID", "root")]),
    call("a claim's header on a public method", "Public", add=[("x-user-id", "root")], credentials=nobody),
    call("a claim's header with an underscore", add=[("x_user_id", "root")]),
    call("te: trailers", add=[("te", "trailers")]),
    call("te: gzip", add=[("te", "gzip")]),
    call("connection names a header", add=[("connection", "x-hop"), ("x-hop", "1"), ("x-kept", "1")]),
    call("connection names authorization", add=[("connection", "authorization")]),
    call("connection names a claim's header", add=[("connection", "x-user-id")]),
    call(
        "keep-alive and proxy headers",
        add=[("keep-alive", "timeout=5"), ("proxy-connection", "keep-alive"), ("proxy-authorization", "Basic eDp5")],
    ),
    call(
        "an upgrade to HTTP/2",
        add=[
            ("connection", "upgrade, http2-settings"),
            ("upgrade", "h2c"),
            ("http2-settings", "AAMAAABkAARAAAAAAAIAAAAA"),
        ],
    ),
    call(
        "an upgrade to WebSocket",
        add=[
            ("connection", "upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("sec-websocket-version", "13"),
        ],
    ),
    call(
        "what a browser adds",
        add=[
            ("referer", "http://page.test/x"),
            ("accept", "*/*"),
            ("accept-language", "de"),
            ("accept-encoding", "gzip, br"),
            ("sec-fetch-mode", "cors"),
            ("sec-ch-ua", '"Browser"'),
        ],
    ),
    call(
        "headers of gRPC's own",
        add=[("grpc-status", "0"), ("grpc-message", "x"), ("grpc-internal-encoding-request", "x")],
    ),
    call("of gRPC's tracing", add=[("grpc-trace-bin", "AAAB"), ("grpc-tags-bin", "AAAB")]),
    call(
        "trace context",
        add=[("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), ("tracestate", "a=b")],
    ),
    call("x-request-id of the client's making", add=[("x-request-id", "mine")]),
    call(
        "headers of Envoy's own",
        add=[("x-envoy-upstream-rq-timeout-ms", "1"), ("x-envoy-retry-on", "5xx"), ("x-envoy-original-path", "/evil")],
    ),
    call("x-user-agent", add=[("x-user-agent", "grpc-web-javascript/0.1")]),
    call("without a user-agent", change={"user-agent": None}),
    call("8 KiB of it", add=[(f"x-{number}", "v" * 900) for number in range(10)]),
    call("one header of 9 KiB", add=[("x-large", "v" * 9000)]),
    call("100 headers", add=[(f"x-{number}", "v") for number in range(100)]),
    call("reply: of every kind", "Decorated"),
    call("reply: of every kind, in text mode", "Decorated", base64.b64encode(HELLO), change=IN_TEXT),
    call("reply: what names the backend", "Identifying"),
    call("reply: content-encoding", "Encoded"),
    call("reply: alt-svc", "Advertising"),
    call("reply: set-cookie", "SetCookie"),
    call("reply: www-authenticate", "Challenge"),
    call("reply: content-length", "Measured"),
    call("reply: a content-length that is wrong", "MisMeasured"),
    call("reply: connection-level headers", "ConnectionLevel"),
    call("reply: transfer-encoding", "Transferring"),
    call("reply: beyond ASCII", "Accented"),
    call("reply: a tab", "Tabbed"),
    call("reply: a control character", "Control"),
    call("reply: a header that splits", "SplittingHead"),
    call("reply: a trailer that splits", "SplittingTrailer"),
    call("reply: binary that is not base64", "NotBase64"),
    call("reply: 60 headers", "ManyHeaders"),
]

DEADLINES = [
    call("none", "Echo"),
    call("none, by default 20 s", "Echo", configuration="credentials"),
    *(call(each, add=[("grpc-timeout", each)]) for each in ("5S", "5000m", "2M", "1H", "00000007S", "3000000u")),
    call("99999999n", "Echo", add=[("grpc-timeout", "99999999n")]),
    call("9 digits of milliseconds", add=[("grpc-timeout", "123456789m")]),
    call("9 digits of seconds", add=[("grpc-timeout", "123456789S")]),
    call("20 digits", add=[("grpc-timeout", "12345678901234567890S")]),
    call("longer than the longest that is allowed", add=[("grpc-timeout", "2H")], configuration="credentials"),
    call("longer than the default", add=[("grpc-timeout", "30S")], configuration="credentials"),
    call("it passes before the reply", "Silent", add=[("grpc-timeout", "200m")]),
    call("it passes in mid-stream", "Stay", add=[("grpc-timeout", "300m")]),
    call(
        "it passes in mid-stream, in text",
        "Stay",
        base64.b64encode(HELLO),
        change=IN_TEXT,
        add=[("grpc-timeout", "300m")],
    ),
    call(
        "it passes during the body",
        "Echo",
        HELLO[:7],
        framed=False,
        add=[("grpc-timeout", "200m"), ("content-length", "100")],
    ),
    call("0", "Silent", add=[("grpc-timeout", "0S")], races="whether the backend is called"),
    call("0m", "Silent", add=[("grpc-timeout", "0m")], races="whether the backend is called"),
    *(
        call(f"malformed: {each!r}", add=[("grpc-timeout", each)])
        for each in ("", "5", "5s", "5h", "S", "-5S", "+5S", "5 S", "5.0S", "5SS", "0x5S", "5S, 5S")
    ),
    call("twice", add=[("grpc-timeout", "5S"), ("grpc-timeout", "6S")]),
]
