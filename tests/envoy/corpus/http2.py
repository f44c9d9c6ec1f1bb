"""HTTP/2 from the browser: the cases of the other sections again, native gRPC, and what is malformed there (RFC 9113).

Rule: what can be asked over HTTP/2 is asked over it, too.
"""

import base64
from collections.abc import Iterable, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase

from gateway.protocol.metadata import Header
from tests.envoy.corpus.case import (
    BROWSER,
    HELLO,
    OVER_HTTP2,
    SCRIPT,
    Case,
    Credentials,
    Leave,
    Pairs,
    call,
    nobody,
    over_http2,
    reader,
)
from tests.envoy.corpus.frames import OVER, PACKED
from tests.envoy.script import message

HTTP1_ONLY = (b"connection", b"keep-alive", b"proxy-connection", b"upgrade", b"expect")  # RFC 9113, section 8.2.2
LEFT_OUT = (
    "malformed/*",
    "methods/CONNECT",
    "paths/http*",
    "types/application/grpc",  # is native gRPC here
    "types/application/grpc[+, ]*",
    "metadata/te: gzip",
    "tokens/in another case of the header",
    "frames/over the limit, announced",  # which Envoy waits for
)


def repeated(cases: Iterable[Case]) -> list[Case]:
    """Those that can be played over HTTP/2."""
    return [over_http2(case) for case in cases if _can_be(case)]


def _can_be(case: Case) -> bool:
    names = {line.partition(b":")[0].lower() for line in case.lines[1:]}
    return (
        not case.is_http2
        and case.lines[0].endswith(b" HTTP/1.1")
        and names.isdisjoint(HTTP1_ONLY)
        and not any(fnmatchcase(str(case), pattern) for pattern in LEFT_OUT)
    )


NATIVE_CLIENT: Mapping[str, str | None] = {
    "user-agent": "grpc-test/1.0",
    "origin": None,
    "x-grpc-web": None,
    "content-type": "application/grpc",
    "te": "trailers",
}


def native(
    name: str,
    method: str = "Echo",
    body: bytes = HELLO,
    *,
    add: Pairs = (),
    change: Mapping[str, str | None] | None = None,
    verb: str = "POST",
    credentials: Credentials = reader,
    configuration: str = "native",
    tls: bool = False,
    leaves: Leave = "",
) -> Case:
    """A call of gRPC itself (PROTOCOL-HTTP2)."""
    made = call(
        name,
        method,
        body,
        add=add,
        change={**NATIVE_CLIENT, **(change or {})},
        verb=verb,
        framed=False,
        credentials=credentials,
        configuration=configuration,
        tls=tls,
        leaves=leaves,
    )
    return replace(over_http2(made), name=name)


NATIVE = [
    native("a unary call"),
    native("a unary call over TLS", tls=True),
    native("where Envoy has no route for it", configuration="usual"),
    native("a codec", change={"content-type": "application/grpc+proto"}),
    native("another codec", change={"content-type": "application/grpc+json"}),
    native("a parameter", change={"content-type": "application/grpc; charset=utf-8"}),
    native("another type that begins so", change={"content-type": "application/grpcx"}),
    native("without te", change={"te": None}),
    native("no message", body=b""),
    native("several messages", body=HELLO + message(b"two")),
    native("a stream", "Three"),
    native("a large reply", "Large"),
    native("a reply without a message", "None"),
    native("trailers alone", "Refuse"),
    native("a status after the first message", "FailMidway"),
    native("a status with details", "FailWithDetails"),
    native("a message that is not ASCII", "Utf8"),
    native("a backend without a status", "NoStatus"),
    native("a backend that is not gRPC", "Http503"),
    native("a reply cut short", "Truncated"),
    native("a reply of garbage", "Garbage"),
    native("a reset before the reply", "ResetCancel"),
    native("a lost connection", "Lose"),
    native("nobody listens", "/test.v1.Dead/Echo"),
    native("metadata both ways", "Decorated", add=[("x-a", "1"), ("x-raw-bin", "AP8"), ("x-a", "2")]),
    native("a claim's header of the client's making", add=[("x-user-id", "root")]),
    native("compressed", "Plain", message(PACKED, flags=1), add=[("grpc-encoding", "gzip")]),
    native("the client takes gzip", "Packed", add=[("grpc-accept-encoding", "gzip")]),
    native("the backend compresses, unasked", "Packed"),
    native("a frame cut short", body=HELLO[:-1]),
    native("a trailer frame", body=message(b"x:1\r\n", flags=0x80)),
    native("a message over the limit", body=OVER),
    native("in text", body=base64.b64encode(HELLO)),
    native("a deadline", add=[("grpc-timeout", "5S")]),
    native("a deadline that passes", "Silent", add=[("grpc-timeout", "200m")]),
    native("a deadline that is none", add=[("grpc-timeout", "5s")]),
    native("without a token", credentials=nobody),
    native("without the role", "Closed"),
    native("a public method", "Public", credentials=nobody),
    native("no service of this name", "/no.such.Service/Do"),
    native("no path of gRPC", "/"),
    native("by GET", body=b"", verb="GET"),
    native("from a page", change={"origin": BROWSER["origin"]}),
    native("from a foreign page", change={"origin": "http://evil.test"}),
    native("no origin where one is required", configuration="credentials"),
    native("the client leaves in mid-stream", "Stay", leaves="after the first message"),
    native("the client leaves before the reply", "Silent", leaves="when the backend has the call"),
]


def asked(
    name: str,
    *more: Header,
    change: Mapping[bytes, bytes | None] | None = None,
    first: Iterable[Header] = (),
    body: bytes = HELLO,
    trailers: tuple[Header, ...] = (),
) -> Case:
    """A browser's call in which one thing is odd. `change` is of its headers, None takes one away; `first` and `more`
    stand before and after them.
    """
    usual = over_http2(call(name, framed=False))
    fields = [(field, (change or {}).get(field, value)) for field, value in usual.fields]
    kept = [(field, value) for field, value in fields if value is not None]
    return replace(usual, name=name, fields=(*first, *kept, *more), body=body, pieces=(body,), trailers=trailers)


METHOD, SCHEME, AUTHORITY, PATH = b":method", b":scheme", b":authority", b":path"
ECHO = SCRIPT.encode() + b"Echo"
HTTP2 = [
    *(asked(f"no {name.decode()}", change={name: None}) for name in (METHOD, SCHEME, PATH)),
    asked("no :authority", change={AUTHORITY: None}),
    asked("host in place of :authority", (b"host", b"gateway.test"), change={AUTHORITY: None}),
    asked("host and :authority", (b"host", b"gateway.test")),
    asked("host is another than :authority", (b"host", b"evil.test")),
    asked(":authority with user information", change={AUTHORITY: b"x@gateway.test"}),
    asked(":authority empty", change={AUTHORITY: b""}),
    asked(":path empty", change={PATH: b""}),
    asked(":path without a slash", change={PATH: ECHO[1:]}),
    asked(":path with a space", change={PATH: ECHO + b" x"}),
    asked(":path with NUL", change={PATH: ECHO + b"\0"}),
    asked(":path twice", first=[(PATH, SCRIPT.encode() + b"Closed")]),
    asked(":path after a header", (PATH, ECHO), change={PATH: None}),
    asked(":scheme of another kind", change={SCHEME: b"gopher"}),
    asked(":scheme https without TLS", change={SCHEME: b"https"}),
    asked(":status", first=[(b":status", b"200")]),
    asked("a pseudo-header that is none", first=[(b":evil", b"1")]),
    asked("CONNECT", change={METHOD: b"CONNECT", SCHEME: None, PATH: None}),
    asked("extended CONNECT", change={METHOD: b"CONNECT"}, first=[(b":protocol", b"websocket")]),
    asked("a name in upper case", (b"X-A", b"1")),
    asked("a name that is empty", (b"", b"1")),
    asked("a name with a space", (b"x a", b"1")),
    asked("a name with a colon", (b"x:a", b"1")),
    asked("a name with LF", (b"x\na", b"1")),
    asked("a value with CR and LF", (b"x-a", b"1\r\nx-user-id: root")),
    asked("a value with NUL", (b"x-a", b"1\x002")),
    asked("a value with a control character", (b"x-a", b"1\x012")),
    asked("a value with spaces around", (b"x-a", b" 1 ")),
    asked("connection", (b"connection", b"x-a"), (b"x-a", b"1")),
    asked("transfer-encoding", (b"transfer-encoding", b"chunked")),
    asked("keep-alive", (b"keep-alive", b"timeout=5")),
    asked("upgrade", (b"upgrade", b"h2c")),
    asked("te: gzip", (b"te", b"gzip")),
    asked("expect: 100-continue", (b"expect", b"100-continue")),
    asked("a length that is too small", (b"content-length", b"3")),
    asked("a length that is too large", (b"content-length", b"100")),
    asked("a length that is no number", (b"content-length", b"x")),
    asked("two lengths that differ", (b"content-length", b"10"), (b"content-length", b"3")),
    asked("cookies in crumbs", (b"cookie", b"a=1"), (b"cookie", b"b=2")),
    asked("a priority", (b"priority", b"u=1, i")),
    asked("200 headers", *((b"x-%d" % number, b"1") for number in range(200))),
    asked("a header of 17 KiB", (b"x-a", b"a" * 17_000)),
    asked("70 KiB of headers", *((b"x-%d" % number, b"a" * 7000) for number in range(10))),
    asked("trailers of HTTP", trailers=((b"x-late", b"1"),)),
    asked("trailers of HTTP that name a token", trailers=((b"authorization", b"Bearer x"), (b"x-user-id", b"root"))),
    asked("trailers of HTTP with a pseudo-header", trailers=((PATH, SCRIPT.encode() + b"Closed"),)),
    replace(
        over_http2(call("a body in crumbs")),
        name="a body in crumbs",
        pieces=tuple(HELLO[at : at + 1] for at in range(len(HELLO))),
    ),
]
assert not any(case.name.endswith(OVER_HTTP2) for case in (*NATIVE, *HTTP2))
