"""HTTP itself: methods, paths, content types, and bytes that are not quite HTTP (RFC 9110, RFC 9112)."""

from collections.abc import Sequence

from tests.envoy.corpus.case import BROWSER, HELLO, SCRIPT, Case, call, chunks, nobody

METHODS = [
    *(call(verb, verb=verb, body=b"") for verb in ("GET", "HEAD", "TRACE")),
    *(call(verb, verb=verb) for verb in ("PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND")),
    call("GET with a body", verb="GET"),
    call("GET without a token", verb="GET", body=b"", credentials=nobody),
    call("POST, overridden to GET", add=[("x-http-method-override", "GET")]),
    call("GET, overridden to POST", verb="GET", add=[("x-http-method-override", "POST")]),
    call("in lower case", verb="post"),
    call("unknown", verb="BREW"),
    call("CONNECT", "Echo", verb="CONNECT", body=b"", framed=False),
]

TARGETS = (
    "/", "/test.v1.Script", "/test.v1.Script/", "/test.v1.Script/Echo/", "/test.v1.Script/Echo/x",
    "//test.v1.Script/Echo", "/test.v1.Script//Echo", "/./test.v1.Script/Echo", "/x/../test.v1.Script/Echo",
    "/test.v1.Script/.", "/test.v1.Script/..", "/test.v1.Script/Ech%6F", "/test.v1.Script%2FEcho",
    "/test.v1.Script/%2e%2e/Echo", "/test.v1.Script/Echo%00", "/test.v1.Script/Echo%20", "/test.v1.Script/Echo;x=1",
    "/test.v1.Script\\Echo", "/test.v1.Script/Echo+x", "/test.v1.Script/Echo?", "/test.v1.Script/Echo?x=1",
    "/test.v1.Script/Echo?$httpHeaders=authorization:Bearer%20x", "/test.v1.Script/Echo#", "/test.v1.Script/Echo#x",
    "http://gateway.test/test.v1.Script/Echo", "http://evil.test/test.v1.Script/Echo",
    "https://gateway.test/test.v1.Script/Echo",
)  # fmt: skip
PATHS = [
    *(call(target, target) for target in TARGETS),
    call("asterisk", "*"),
    call("no service of this name", "/no.such.Service/Do"),
    call("no method of this name", "Nothing"),
    call("no method of this name, without a token", "Nothing", credentials=nobody),
    call("a service that is allowed and not routed", "/test.v1.Nowhere/Do", configuration="credentials"),
    call("a service in other case", "/test.v1.script/Echo"),
    call("a method in other case", "echo"),
    call("8 KiB long", "/test.v1.Script/" + "a" * 8192),
    call("beyond ASCII", "/test.v1.Script/Ech\xf6"),
]

KINDS = (
    "text/plain", "text/plain;application/grpc-web", "application/json", "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x", "application/grpc", "application/grpc+proto", "application/grpc-webx",
    "application/grpc-web-texts", "application/grpc-web-json", "application/grpc-web+", "application/grpc-web proto",
    "application/grpc-web, application/grpc-web", "application/grpc-web,text/plain", "application/connect+proto",
    "application/proto", "",
)  # fmt: skip
TYPES = [
    *(call(kind or "empty", change={"content-type": kind}) for kind in KINDS),
    call("none", change={"content-type": None}),
    call("none, and no token", change={"content-type": None}, credentials=nobody),
    call("text/plain, and no token", change={"content-type": "text/plain"}, credentials=nobody),
    call("application/grpc, and no token", change={"content-type": "application/grpc"}, credentials=nobody),
    call("application/grpc with te", change={"content-type": "application/grpc"}, add=[("te", "trailers")]),
    call("twice the same", add=[("content-type", "application/grpc-web+proto")]),
    call("two that differ", add=[("content-type", "text/plain")]),
    call(
        "two that differ, the other first",
        change={"content-type": "text/plain"},
        add=[("content-type", "application/grpc-web+proto")],
    ),
    *(
        call(f"content-encoding {coding}", add=[("content-encoding", coding)])
        for coding in ("gzip", "deflate", "br", "x")
    ),
]


LENGTH = f"content-length: {len(HELLO)}".encode()
CHUNKED = b"transfer-encoding: chunked"


def raw(
    name: str,
    *more: bytes,
    body: bytes = HELLO,
    line: bytes = b"POST " + SCRIPT.encode() + b"Echo HTTP/1.1",
    host: Sequence[bytes] = (b"host: gateway.test",),
    eol: bytes = b"\r\n",
) -> Case:
    """A request in which one thing is wrong: `more` are its last header lines, framing included."""
    browser = (f"{field}: {value}".encode() for field, value in BROWSER.items() if field != "host")
    return Case(name, (line, *host, *browser, *more), body, eol=eol)


def smuggled(*, last: bytes = HELLO) -> bytes:
    """A second request, which must not be taken for one."""
    line = b"POST " + SCRIPT.encode() + b"Public HTTP/1.1\r\n"
    fields = b"host: gateway.test\r\norigin: http://page.test\r\ncontent-type: application/grpc-web+proto\r\n"
    return line + fields + LENGTH + b"\r\n\r\n" + last


WHOLE = chunks(HELLO)
MALFORMED = [
    raw("length and chunks", LENGTH, CHUNKED, body=WHOLE),
    raw("chunks and length", CHUNKED, LENGTH, body=WHOLE),
    raw("a length of 0 and chunks, a request inside", b"content-length: 0", CHUNKED, body=b"0\r\n\r\n" + smuggled()),
    raw(
        "a length and chunks, a request inside",
        b"content-length: %d" % (5 + len(smuggled())),
        CHUNKED,
        body=b"0\r\n\r\n" + smuggled(),
    ),
    raw("two lengths", LENGTH, LENGTH),
    raw("two lengths that differ", LENGTH, b"content-length: 3"),
    raw("a list of lengths", b"content-length: 10, 10"),
    raw("length with a sign", b"content-length: +10"),
    raw("length below zero", b"content-length: -1"),
    raw("length in hex", b"content-length: 0xa"),
    raw("length beyond 64 bits", b"content-length: 99999999999999999999"),
    raw("length empty", b"content-length: "),
    raw("space before the colon", b"content-length : 10"),
    raw("coding unknown", b"transfer-encoding: xyz", body=WHOLE),
    raw("coding after chunked", b"transfer-encoding: chunked, identity", body=WHOLE),
    raw("coding before chunked", b"transfer-encoding: gzip, chunked", body=WHOLE),
    raw("chunked twice", b"transfer-encoding: chunked, chunked", body=WHOLE),
    raw("coding with a vertical tab", b"transfer-encoding: \x0bchunked", body=WHOLE),
    raw("chunks in HTTP/1.0", CHUNKED, body=WHOLE, line=b"POST " + SCRIPT.encode() + b"Echo HTTP/1.0"),
    raw("chunk size no number", CHUNKED, body=b"xyz\r\n" + WHOLE),
    raw("chunk size with a sign", CHUNKED, body=b"-1\r\n" + WHOLE),
    raw("chunk size with 0x", CHUNKED, body=b"0xa\r\n" + HELLO + b"\r\n0\r\n\r\n"),
    raw("chunk size beyond 64 bits", CHUNKED, body=b"f" * 17 + b"\r\n" + WHOLE),
    raw("chunk longer than it says", CHUNKED, body=b"9\r\n" + HELLO + b"\r\n0\r\n\r\n"),
    raw("chunk lines with bare LF", CHUNKED, body=b"a\n" + HELLO + b"\n0\n\n"),
    raw("chunk extension", CHUNKED, body=b"a;x=1\r\n" + HELLO + b"\r\n0\r\n\r\n"),
    raw("chunk extension with LF", CHUNKED, body=b"a;x\ny\r\n" + HELLO + b"\r\n0\r\n\r\n"),
    raw("trailers of HTTP", CHUNKED, body=WHOLE[:-2] + b"x-late: 1\r\n\r\n"),
    raw(
        "trailers of HTTP that name a token",
        CHUNKED,
        body=WHOLE[:-2] + b"authorization: Bearer x\r\nx-user-id: root\r\n\r\n",
    ),
    raw("bare LF everywhere", LENGTH, eol=b"\n"),
    raw("bare LF in one line", b"x-a: 1\n" + LENGTH),
    raw("bare CR", b"x-a: 1\rx-b: 2", LENGTH),
    raw("folded line", b"x-a: 1\r\n 2", LENGTH),
    raw("NUL in a value", b"x-a: 1\x002", LENGTH),
    raw("NUL in a name", b"x\0a: 1", LENGTH),
    raw("NUL in the path", LENGTH, line=b"POST " + SCRIPT.encode() + b"Echo\0 HTTP/1.1"),
    raw("control character in a value", b"x-a: 1\x012", LENGTH),
    raw("DEL in a value", b"x-a: 1\x7f2", LENGTH),
    raw("name empty", b": 1", LENGTH),
    raw("name with a space", b"x a: 1", LENGTH),
    raw("line without a colon", b"xyz", LENGTH),
    raw("tabs in the request line", LENGTH, line=b"POST\t" + SCRIPT.encode() + b"Echo\tHTTP/1.1"),
    raw("two spaces in the request line", LENGTH, line=b"POST  " + SCRIPT.encode() + b"Echo HTTP/1.1"),
    raw("HTTP/2.0", LENGTH, line=b"POST " + SCRIPT.encode() + b"Echo HTTP/2.0"),
    raw("HTTP/1.2", LENGTH, line=b"POST " + SCRIPT.encode() + b"Echo HTTP/1.2"),
    raw("http/1.1", LENGTH, line=b"POST " + SCRIPT.encode() + b"Echo http/1.1"),
    raw("no version", LENGTH, line=b"POST " + SCRIPT.encode() + b"Echo"),
    raw("no host", LENGTH, host=()),
    raw("no host in HTTP/1.0", LENGTH, host=(), line=b"POST " + SCRIPT.encode() + b"Echo HTTP/1.0"),
    raw("two hosts", LENGTH, host=(b"host: gateway.test", b"host: evil.test")),
    raw("host empty", LENGTH, host=(b"host: ",)),
    raw("host with user information", LENGTH, host=(b"host: x@gateway.test",)),
    raw("host with a path", LENGTH, host=(b"host: gateway.test/x",)),
    raw("host with a comma", LENGTH, host=(b"host: a.test,b.test",)),
    raw("host with a port that is none", LENGTH, host=(b"host: gateway.test:port",)),
    raw("host by another name", LENGTH, host=(b"host: evil.test:1",)),
    raw("200 headers", *(b"x-%d: 1" % number for number in range(200)), LENGTH),
    raw("a header of 17 KiB", b"x-a: " + b"a" * 17_000, LENGTH),
    raw("70 KiB of headers", *(b"x-%d: " % number + b"a" * 7000 for number in range(10)), LENGTH),
    raw("empty lines in front", LENGTH, line=b"\r\n\r\nPOST " + SCRIPT.encode() + b"Echo HTTP/1.1"),
    raw("the preface of HTTP/2", line=b"PRI * HTTP/2.0", body=b"SM\r\n\r\n"),
    raw("a body after a length of 0", b"content-length: 0", body=smuggled()),
    raw("two requests at once", LENGTH, body=HELLO + smuggled()),
    raw("expect something else", LENGTH, b"expect: 200-ok"),
]
