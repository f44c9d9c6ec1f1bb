"""The cases of the matrix as data: what is sent, and what must come back, whichever cell carries it."""

import base64
import gzip
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from gateway.demo.pb.demo_pb2 import CollectReply, CountReply, CountRequest, EchoReply, EchoRequest, FailRequest
from tests.contract.backends import DETAILS, KINDS, MANY_REPLIES, MANY_REQUESTS, reply_to
from tests.support.backends import SCRIPT
from tests.support.frames import message
from tests.support.gateway import DEMO, ORIGIN

MAX_MESSAGE = 2 * 1024 * 1024  # bytes, of the gateways' limits
LARGE = 1024 * 1024

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Grpc:
    """The end of a call. What is None is not looked at here, only compared with the other cells'."""

    code: int = 0
    replies: bytes | None = None  # message frames
    message: bytes | None = None  # raw grpc-message
    trailers: tuple[tuple[bytes, bytes], ...] | None = None  # but for grpc-status and grpc-message


@dataclass(frozen=True, slots=True)
class Plain:
    """An HTTP answer to what is no call."""

    status: int


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    path: str
    body: bytes  # gRPC frames
    expect: Grpc | Plain
    metadata: Pairs = ()
    changes: Mapping[str, str | None] = field(
        default_factory=dict
    )  # of the headers that all calls have; None: left out
    role: str | None = "reader"
    method: str = "POST"
    calls: int | None = 1  # that the backend sees; None: either, for its stream may be open before the fault is seen
    received: int | None = None  # messages that the scripted backend is given
    told: Pairs | None = None  # metadata that arrives: all there is under these names, in order
    left: tuple[float, float] | None = None  # seconds that the backend has

    @property
    def rule(self) -> dict[str, object]:
        """As an observation, as far as it is said here."""
        expect = self.expect
        if isinstance(expect, Plain):
            return {"http": expect.status}
        trailers = None if expect.trailers is None else list(expect.trailers)
        said = {"body": expect.replies, "grpc-message": expect.message, "trailers": trailers}
        rule = {"http": 200, "grpc-status": expect.code, **said}
        return {field: value for field, value in rule.items() if value is not None}

    @property
    def tells(self) -> bool:
        return self.path.endswith("Tell")


def _refused(name: str, path: str, body: bytes, expect: Grpc | Plain, **more: object) -> Case:
    """By what stands in the head: no backend hears of it."""
    return Case(name, path, body, expect, calls=0, **more)  # type: ignore[arg-type]


# -- messages --------------------------------------------------------------------------------------------------------


def echo(*texts: str) -> bytes:
    return b"".join(message(EchoRequest(text=text)) for text in texts)


def echoed(*texts: str) -> bytes:
    return b"".join(message(EchoReply(text=text)) for text in texts)


def counted(count: int, size: int = 0) -> bytes:
    return b"".join(message(CountReply(number=number, payload=bytes(size))) for number in range(1, count + 1))


def frames(*messages: bytes) -> bytes:
    return b"".join(message(each) for each in messages)


# What each kind is sent, and what it answers, by the demo's service.
DEMO_CALLS = {
    "Unary": (DEMO + "Echo", echo("grüß dich"), echoed("grüß dich")),
    "ServerStream": (DEMO + "Count", message(CountRequest(count=3, interval_ms=1)), counted(3)),
    "ClientStream": (DEMO + "Collect", echo("a", "", "ü"), message(CollectReply(count=3, text="a  ü"))),
    "Bidi": (DEMO + "Chat", echo("a", "", "ü"), echoed("a", "", "ü")),
}
_LARGE = EchoRequest(payload=bytes(range(256)) * (LARGE // 256)).SerializeToString()
_PIECES = ["x" * (LARGE // 4 - number) for number in range(4)]
LARGE_CALLS = {
    "Unary": (DEMO + "Echo", message(_LARGE), message(_LARGE)),
    "ServerStream": (DEMO + "Count", message(CountRequest(count=5, payload_bytes=LARGE // 2)), counted(5, LARGE // 2)),
    "ClientStream": (DEMO + "Collect", echo(*_PIECES), message(CollectReply(count=4, text=" ".join(_PIECES)))),
    "Bidi": (DEMO + "Chat", message(_LARGE) * 2, message(_LARGE) * 2),
}


def sent(kind: str) -> list[bytes]:
    """To a scripted method of this kind."""
    return [b"one", b"", b"three"] if kind in MANY_REQUESTS else [b"one"]


def _replies(kind: str) -> bytes:
    return frames(*reply_to(kind, sent(kind)))


# -- the cases -------------------------------------------------------------------------------------------------------


def _each(kind: str) -> Iterator[Case]:
    """Those that there are of every kind."""
    script, body, replies = SCRIPT + kind, frames(*sent(kind)), _replies(kind)
    escaped = b"sch%C3%B6n: 100 %25%0A%F0%9F%9B%91"
    path, request, answer = DEMO_CALLS[kind]
    yield Case("success", path, request, Grpc(0, answer, trailers=()))
    path, request, answer = LARGE_CALLS[kind]
    yield Case("large", path, request, Grpc(0, answer, trailers=()))
    yield Case("decorated", script + "Decorated", body, Grpc(0, replies, trailers=(
        (b"x-late", b"1"), (b"x-late", b"2"), (b"x-late-bin", b"AQ"), (b"set-x", b"a:b"),
    )))  # fmt: skip
    yield Case("an empty message", script + "Echo", frames(b""), Grpc(0, frames(*reply_to(kind, [b""])), trailers=()))
    if kind in MANY_REQUESTS:
        yield Case("no message", script + "Echo", b"", Grpc(0, frames(*reply_to(kind, [])), trailers=()), received=0)
    first = frames(b"one") if kind in MANY_REPLIES else b""
    details = base64.b64encode(DETAILS).rstrip(b"=")
    ends = ((b"grpc-status-details-bin", details), (b"x-why", b"gone"))
    yield Case("failure", script + "Fail", body, Grpc(9, first, escaped, ends))
    ends = ((b"x-why", b"gone"), (b"x-why-bin", b"/w"))
    yield Case("refused by the backend", script + "Refuse", body, Grpc(5, b"", escaped, ends))

    # Metadata in.
    yield Case(
        "metadata",
        script + "Tell",
        body,
        Grpc(0),
        (
            ("x-a", "1"), ("x-b", "two words"), ("x-a", "2"), ("x-a", "3, 4"), ("x.dot-9", "~!"), ("x-empty", ""),
            ("x-raw-bin", "AP8="), ("x-raw-bin", "AP8"), ("x-raw-bin", "AQ,Ag== , Aw"), ("x-empty-bin", ""),
            # What belongs to the browser, to a connection or to the gateway.
            ("cookie", "a=1"), ("referer", "http://page.test/x"), ("accept-language", "de"), ("sec-fetch-mode", "cors"),
            ("x-grpc-web", "1"), ("x-forwarded-for", "203.0.113.1"), ("x-forwarded-host", "evil.test"),
            ("x-envoy-retry-on", "5xx"), ("forwarded", "for=203.0.113.1"), ("grpc-status", "0"), ("x-user-id", "root"),
            ("user-agent", "Mozilla/5.0"),
        ),
        told=(
            ("x-a", "1"), ("x-a", "2"), ("x-a", "3, 4"), ("x-b", "two words"), ("x.dot-9", "~!"), ("x-empty", ""),
            ("x-raw-bin", "AP8="), ("x-raw-bin", "AP8="), ("x-raw-bin", "AQ=="), ("x-raw-bin", "Ag=="),
            ("x-raw-bin", "Aw=="), ("x-empty-bin", ""), ("x-user-id", "reader@demo"), ("x-user-agent", "Mozilla/5.0"),
            ("x-forwarded-for", "127.0.0.1"), ("x-forwarded-proto", "https"), ("x-forwarded-host", "gateway.test"),
        ),
    )  # fmt: skip
    yield Case("deadline told", script + "Tell", body, Grpc(0), (("grpc-timeout", "7S"),), left=(6.0, 7.07))
    yield Case("no deadline told", script + "Tell", body, Grpc(0))

    # Compressed messages.
    packed = message(gzip.compress(b"m" * 1000, mtime=0), flags=1)
    gzipped = (("grpc-encoding", "gzip"),)
    opened = frames(*reply_to(kind, [b"m" * 1000]))
    yield Case("gzip", script + "Echo", packed, Grpc(0, opened), gzipped, received=1)
    yield Case("gzip among others", script + "Tell", packed + frames(b"plain"), Grpc(0), gzipped)
    deflated = message(zlib.compress(b"m" * 1000), flags=1)
    yield Case("deflate", script + "Echo", deflated, Grpc(0, opened), (("grpc-encoding", "deflate"),), received=1)
    yield Case("an encoding not used", script + "Echo", body, Grpc(0, replies), gzipped)
    yield Case("replies could be packed", script + "Packed", body, Grpc(0, replies))
    accepted = (("grpc-accept-encoding", "gzip"),)
    yield Case("replies are packed", script + "Packed", frames(b"m" * 1000), Grpc(0), accepted)

    # Frames that are none, and messages that cannot be opened: none reaches the backend.
    bomb = message(gzip.compress(bytes(MAX_MESSAGE + 1), mtime=0), flags=1)
    for name, broken, code, metadata in (
        ("compressed without an encoding", packed, 13, ()),
        ("compressed, identity", packed, 13, (("grpc-encoding", "identity"),)),
        ("an encoding nobody knows", packed, 12, (("grpc-encoding", "x"),)),
        ("not gzip", message(b"not gzip", flags=1), 13, gzipped),
        ("a bomb", bomb, 8, gzipped),
    ):
        yield Case(name, script + "Echo", broken, Grpc(code, b""), metadata, calls=None, received=0)
    for name, broken, code in (
        ("flags 0x80", message(b"grpc-status:0\r\n", flags=0x80), 3),
        ("flags 0x02", message(b"m", flags=2), 3),
        ("flags 0xff", message(b"", flags=0xFF), 3),
        ("a prefix cut", b"\0\0\0", 3),
        ("a message cut", message(b"message")[:-1], 3),
        ("noise", b"garbage", 3),
        ("over the limit", struct.pack(">BI", 0, MAX_MESSAGE + 1), 8),
        ("far over the limit", struct.pack(">BI", 0, 2**32 - 1) + b"m", 8),
    ):
        yield Case(name, script + "Echo", broken, Grpc(code, b"", trailers=()), calls=None, received=0)

    # Who may not, and what is not.
    path, request, _ = DEMO_CALLS[kind]
    yield _refused("no token", path, request, Grpc(16, b"", trailers=()), role=None)
    rubbish = {"authorization": "Bearer rubbish"}
    yield _refused("a bad token", path, request, Grpc(16, b"", trailers=()), changes=rubbish)
    yield _refused("a role missing", script + "Admin", body, Grpc(7, b"", trailers=()))
    yield Case("a role given", script + "Admin", body, Grpc(0, replies, trailers=()), role="admin")
    begun = frames(b"first") if kind in MANY_REPLIES else b""
    yield Case("deadline", script + "Silent", body, Grpc(4, begun, trailers=()), (("grpc-timeout", "150m"),))


def _once() -> Iterator[Case]:
    """Those whose kind makes no difference."""
    hello = echo("hello")
    for code in range(1, 17):
        body = message(FailRequest(code=code, message=f"code {code}"))
        yield Case(f"status {code}", DEMO + "Fail", body, Grpc(code, b"", b"code %d" % code, ()))
    for name, text, raw in (
        ("none", "", None),
        ("escapes", "%41 100%", b"%2541 100%25"),
        ("control characters", "a\r\nb\0c\x7f", b"a%0D%0Ab%00c%7F"),
        ("long", "x" * 9000, b"x" * 8192),
        ("long, of three bytes each", "€" * 3000, b"%E2%82%AC" * 910),
    ):
        body = message(FailRequest(code=9, message=text))
        yield Case(f"grpc-message: {name}", DEMO + "Fail", body, Grpc(9, b"", raw, ()))
    body = message(FailRequest(code=9, message="no", detail="NOT_READY"))
    yield Case("details", DEMO + "Fail", body, Grpc(9, b"", b"no"))

    yield Case("several to a unary method", DEMO + "Echo", echo("a", "b"), Grpc(0, echoed("a"), trailers=()))
    count = message(CountRequest(count=2))
    yield Case("several to a server stream", DEMO + "Count", count * 2, Grpc(0, counted(2), trailers=()))
    yield Case("none to a unary method", DEMO + "Echo", b"", Grpc(4, b""), (("grpc-timeout", "150m"),))
    yield Case("a method the backend lacks", SCRIPT + "Nope", hello, Grpc(12, b"", trailers=()), calls=0)
    yield Case("a method the demo lacks", DEMO + "Nope", hello, Grpc(12, b"", trailers=()), role="admin")

    # Refused by the gateway, as gRPC.
    yield _refused("no route", "/no.such.Service/Do", hello, Grpc(12, b"", trailers=()))
    yield _refused("a role missing at the demo", DEMO + "Shout", hello, Grpc(7, b"", trailers=()))
    for value in ("", "5", "5s", "-5S", "5.0S", "5SS", "5S, 5S"):
        malformed = (("grpc-timeout", value),)
        yield _refused(f"grpc-timeout {value!r}", DEMO + "Echo", hello, Grpc(3, b"", trailers=()), metadata=malformed)
    twice = (("grpc-timeout", "5S"), ("grpc-timeout", "5S"))
    yield _refused("grpc-timeout twice", DEMO + "Echo", hello, Grpc(3, b"", trailers=()), metadata=twice)
    yield Case(
        "a deadline passed", DEMO + "Echo", hello, Grpc(4, b"", trailers=()), (("grpc-timeout", "0S"),), calls=None
    )
    long = (("grpc-timeout", "123456789m"),)
    yield Case("a deadline of nine digits", SCRIPT + "UnaryTell", hello, Grpc(0), long, left=(123_400.0, 125_000.0))
    for name, field_ in (
        ("with an underscore", ("x_user_id", "root")),
        ("with obs-text", ("x-a", "caf\xe9")),
        ("with a tab", ("x-a", "a\tb")),
        ("not base64", ("x-raw-bin", "A*")),
    ):
        yield _refused(f"metadata {name}", DEMO + "Echo", hello, Grpc(3, b"", trailers=()), metadata=(field_,))
    much = tuple((f"x-{number}", "v" * 1000) for number in range(9))
    yield _refused("too much metadata", DEMO + "Echo", hello, Grpc(8, b"", trailers=()), metadata=much)

    # What is no call.
    def plain(name: str, status: int, path: str = DEMO + "Echo", **more: object) -> Case:
        body = hello if more.get("method", "POST") == "POST" else b""
        return _refused(name, path, body, Plain(status), **more)

    asks = (("access-control-request-method", "POST"), ("access-control-request-headers", "x-grpc-web,content-type"))
    page: dict[str, str | None] = {"content-type": None, "authorization": None}
    yield plain("preflight", 204, method="OPTIONS", metadata=asks, changes=page)
    yield plain("preflight of nothing", 204, "/nothing", method="OPTIONS", metadata=asks, changes=page)
    evil = {"origin": "http://evil.test"}
    yield plain("foreign preflight", 403, method="OPTIONS", metadata=asks, changes=page | evil)
    yield plain("foreign origin", 403, changes=evil)
    yield plain("foreign origin at nothing", 403, "/nothing", changes=evil)
    yield plain("origin null", 403, changes={"origin": "null"})
    yield plain("origin twice", 400, metadata=(("origin", ORIGIN),))
    for path in ("/", "/nothing", "//demo.v1.Demo/Echo", DEMO + "Echo/", DEMO + "Ech%6F", "/./Echo", DEMO + "Echo;x=1"):
        yield plain(f"path {path}", 404, path)
    yield plain("a query", 400, DEMO + "Echo?x=1")
    for method in ("GET", "PUT", "DELETE", "OPTIONS"):
        yield plain(f"method {method}", 405, method=method)
    for kind in ("text/plain", "text/plain;application/grpc-web", "application/json", "application/grpcx", ""):
        yield plain(f"content type {kind!r}", 415, changes={"content-type": kind})
    yield plain("no content type", 415, changes={"content-type": None})
    yield plain("content type twice", 400, metadata=(("content-type", "application/grpc-web+proto"),))
    for coding in ("gzip", "identity, gzip"):
        yield plain(f"content-encoding {coding}", 415, metadata=(("content-encoding", coding),))
    yield plain("a host that is none", 400, metadata=(("host", "gateway!test"),))


def _grouped() -> dict[str, dict[str, Case]]:
    groups: dict[str, dict[str, Case]] = {case.name: {case.name: case} for case in _once()}
    for kind in KINDS:
        for case in _each(kind):
            groups.setdefault(case.name, {})[f"{case.name}.{kind}"] = case
    return groups


CASES = _grouped()  # the cases of one name, which differ in kind alone, are played at once
