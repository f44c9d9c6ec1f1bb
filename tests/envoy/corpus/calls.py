"""Valid calls: unary and streams, binary and text, plaintext and TLS, whole and in pieces."""

import base64

from tests.envoy.corpus.case import BINARY, HELLO, IN_TEXT, TEXT, Case, call, chunks
from tests.envoy.script import message

VALID = [
    call("a unary call"),
    call("a unary call over TLS", tls=True),
    call("a message of no bytes", body=message(b"")),
    call("a large message", body=message(bytes(60_000))),
    call(
        "a large message in chunks",
        body=chunks(message(bytes(60_000))),
        framed=False,
        add=[("transfer-encoding", "chunked")],
    ),
    call(
        "a body in crumbs",
        body=chunks(*(HELLO[at : at + 1] for at in range(len(HELLO)))),
        framed=False,
        add=[("transfer-encoding", "chunked")],
    ),
    call("several messages", body=HELLO + message(b"two") + message(b"")),
    call("no message", body=b""),
    call("no message in chunks", body=chunks(), framed=False, add=[("transfer-encoding", "chunked")]),
    call("a POST without any framing", body=b"", framed=False),
    call("a reply without a message", "None"),
    call("a reply of an empty message", "Empty"),
    call("a large reply", "Large"),
    call("trailers alone", "Refuse"),
    call("a backend that answers before it was asked in full", "Early", races="what the backend sees"),
    call(
        "a backend that refuses before it was asked in full",
        "EarlyRefusal",
        message(bytes(50_000)),
        races="what the backend sees",
    ),
    call(
        "the same, and it resets the stream",
        "EarlyRefusalThenReset",
        message(bytes(50_000)),
        races="what the backend sees",
    ),
    call("content type without codec", change={"content-type": "application/grpc-web"}),
    call("content type with parameters", change={"content-type": "application/grpc-web+proto; charset=utf-8"}),
    call("content type in other case", change={"content-type": "Application/GRPC-Web+Proto"}),
    call("content type with another codec", change={"content-type": "application/grpc-web+json"}),
    call("a codec in the backend's answer", "Codec"),
    call("a codec of which the backend says nothing", change={"content-type": "application/grpc-web+thrift"}),
    call("content-encoding identity", add=[("content-encoding", "identity")]),
    call("every origin is allowed", configuration="anywhere", change={"origin": "https://whoever.test"}),
    call("without x-grpc-web", change={"x-grpc-web": None}),
    call("HTTP/1.0", version="HTTP/1.0"),
    call("HTTP/1.0, a stream", "Three", version="HTTP/1.0"),
    call("HTTP/1.0, kept alive", version="HTTP/1.0", add=[("connection", "keep-alive")]),
    call("connection: close", add=[("connection", "close")]),
    call("expect: 100-continue", add=[("expect", "100-continue")], awaits_continue=True),
    call("expect: 100-continue, not waited for", add=[("expect", "100-continue")]),
    call("a public method without a token", "Public", credentials=lambda _: ()),
    call("health", "/grpc.health.v1.Health/Check", message(b""), credentials=lambda _: ()),
]

STREAMS = [
    call("three messages", "Three"),
    call("three messages over TLS", "Three", tls=True),
    call("messages of one byte", "Tiny"),
    call("a message that comes in pieces", "Split"),
    call("a status after the first message", "FailMidway"),
    call("the client leaves in mid-stream", "Stay", leaves="after the first message"),
    call("the client leaves before the reply", "Silent", leaves="when the backend has the call"),
    call(
        "the client leaves in mid-body",
        "Silent",
        HELLO[:7],
        framed=False,
        add=[("content-length", "100")],
        leaves="in mid-body",
    ),
    call("the client leaves in mid-stream over TLS", "Stay", tls=True, leaves="after the first message"),
]


def text(name: str, body: bytes, method: str = "Echo", accept: str | None = TEXT, kind: str = TEXT) -> Case:
    return call(name, method, body, change={"content-type": kind, "accept": accept})


ENCODED = base64.b64encode(HELLO)
SEGMENTS = b"".join(base64.b64encode(HELLO[at : at + 4]) for at in range(0, len(HELLO), 4))
URL_SAFE = base64.b64encode(message(b"\xff\xfe\xfd")).replace(b"/", b"_")
TEXT_MODE = [
    text("a unary call", ENCODED),
    text("a stream", ENCODED, "Three"),
    text("messages of one byte", ENCODED, "Tiny"),
    text("a refusal by the backend", ENCODED, "Refuse"),
    text("several messages", base64.b64encode(HELLO * 3)),
    text("no message", b""),
    text("padding in mid-stream", base64.b64encode(HELLO) + base64.b64encode(message(b"two"))),
    text("segments of four bytes", SEGMENTS),
    text("without codec", ENCODED, accept="application/grpc-web-text", kind="application/grpc-web-text"),
    text("without accept", ENCODED, accept=None),
    text("accept is without codec", ENCODED, accept="application/grpc-web-text"),
    text("accept asks for binary", ENCODED, accept=BINARY),
    text("accept asks for text", HELLO, accept=TEXT, kind=BINARY),
    text("accept asks for anything", ENCODED, accept="*/*"),
    text("cut by one character", ENCODED[:-1]),
    text("cut by two", ENCODED[:-2]),
    text("cut by three", ENCODED[:-3]),
    text("cut by a whole quantum", ENCODED[:-4]),
    text("a line break at the end", ENCODED + b"\n"),
    text("a line break in the middle", ENCODED[:8] + b"\r\n" + ENCODED[8:]),
    text("a space in front", b" " + ENCODED),
    text("the url-safe alphabet", URL_SAFE),
    text("another alphabet", ENCODED[:-4] + b"!!!!"),
    text("too much padding", ENCODED + b"===="),
    text("padding in front", b"=" + ENCODED),
    text("binary in a text call", HELLO),
    text("text in a binary call", ENCODED, accept=BINARY, kind=BINARY),
    call(
        "chunks that cut a quantum",
        body=chunks(*(ENCODED[at : at + 3] for at in range(0, len(ENCODED), 3))),
        framed=False,
        change=IN_TEXT,
        add=[("transfer-encoding", "chunked")],
    ),
]
