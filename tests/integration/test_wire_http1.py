"""What a browser can see of the gateway over HTTP/1.1, byte by byte."""

import asyncio
import base64
import contextlib
import gzip
import json
import struct
import time
import zlib
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import pytest_asyncio

from gateway.demo.pb import demo_pb2
from tests.support.backends import (
    GRPC_HEAD,
    HEADERS,
    HEADERS_END,
    SCRIPT,
    Requests,
    ScriptedBackend,
    block,
    raw_http2,
    scripted,
)
from tests.support.frames import message, take_apart
from tests.support.gateway import BINARY, DEMO, ORIGIN, TEXT, RunningGateway, running
from tests.support.wire import PATIENCE, Answer, Wire, chunked, connect, request, untext

pytestmark = pytest.mark.asyncio(loop_scope="module")

ECHO = message(demo_pb2.EchoRequest(text="hello"))
MAX_MESSAGE = 64 * 1024
CORS_NAMES = "grpc-status, grpc-message, grpc-status-details-bin"


# --- a backend that tells what it got, and replies step by step


async def tell(requests: Requests, context: Any) -> AsyncIterator[bytes]:
    """Everything that arrived, as JSON."""
    messages = [base64.b64encode(each).decode() async for each in requests]
    metadata = [
        (name, value if isinstance(value, str) else base64.b64encode(value).decode())
        for name, value in context.invocation_metadata()
    ]
    yield json.dumps({"messages": messages, "metadata": metadata, "left": context.time_remaining()}).encode()


async def decorated(requests: Requests, context: Any) -> AsyncIterator[bytes]:
    """Headers and trailers of every kind, those included that no browser may see."""
    await context.send_initial_metadata(
        (
            ("x-one", "1"),
            ("x-two", "a"),
            ("x-two", "b"),
            ("x-raw-bin", b"\x00\xff"),
            ("access-control-allow-origin", "*"),
            ("access-control-allow-credentials", "true"),
            ("server", "secret/1.0"),
            ("date", "yesterday"),
            ("content-encoding", "gzip"),
            ("www-authenticate", "Bearer"),
        )
    )
    yield b"x"
    context.set_trailing_metadata((("x-late", "1"), ("x-late", "2"), ("x-late-bin", b"\x01"), ("server", "secret/1.0")))


async def refuse(requests: Requests, context: Any) -> AsyncIterator[bytes]:
    """Fails before anything was sent: HTTP/2 trailers alone."""
    await context.abort(grpc.StatusCode.NOT_FOUND, "none: 100 % \n ü", (("x-why", "gone"),))
    yield b""


class Steps:
    """Replies when the test says so."""

    def __init__(self) -> None:
        self.replies: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def __call__(self, requests: Requests, context: Any) -> AsyncIterator[bytes]:
        await context.send_initial_metadata((("x-early", "yes"),))
        while (reply := await self.replies.get()) is not None:
            yield reply


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def backend() -> AsyncIterator[ScriptedBackend]:
    async with scripted() as backend:
        backend.methods |= {"Tell": tell, "Decorated": decorated, "Refuse": refuse}
        yield backend


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(backend: ScriptedBackend) -> AsyncIterator[RunningGateway]:
    def change(configuration: dict[str, Any]) -> None:
        configuration["upstreams"]["script"] = backend.section()
        configuration["authorization"]["default"] = "authenticated"
        configuration["limits"] = {"max_request_message": "64KiB", "max_response_message": "1MiB"}

    async with running(change) as gateway:
        yield gateway


@pytest.fixture
def steps(backend: ScriptedBackend) -> Steps:
    backend.methods["Steps"] = steps = Steps()
    return steps


Pairs = list[tuple[str, str]]


def fields(gateway: RunningGateway, *more: tuple[str, str], role: str | None = "reader", **changes: str) -> Pairs:
    """A browser's headers; `changes` replace one by name, `more` are added."""
    return [*gateway.headers(role, **changes).items(), *more]


async def told(gateway: RunningGateway, *more: tuple[str, str], **changes: str) -> dict[str, Any]:
    answer = await gateway.ask(request(SCRIPT + "Tell", fields(gateway, *more, **changes), message(b"m")))
    messages, status, _ = answer.grpc()
    assert status.code == 0, status
    found: dict[str, Any] = json.loads(messages[0])
    return found


async def arrived(gateway: RunningGateway, *more: tuple[str, str], **changes: str) -> list[tuple[str, str]]:
    return [(name, value) for name, value in (await told(gateway, *more, **changes))["metadata"]]


@contextlib.asynccontextmanager
async def untouched(gateway: RunningGateway, backend: ScriptedBackend) -> AsyncIterator[None]:
    """No call reaches a backend inside."""
    before = gateway.backend_calls, backend.calls.total()
    yield
    assert (gateway.backend_calls, backend.calls.total()) == before


def assert_cors(answer: Answer) -> None:
    assert answer.value("access-control-allow-origin") == ORIGIN
    assert (answer.value("access-control-expose-headers") or "").startswith(CORS_NAMES)
    assert answer.value("access-control-allow-credentials") is None
    assert "Origin" in answer.values("vary")


# --- is it a call?


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"])
async def test_a_call_is_a_post(gateway: RunningGateway, backend: ScriptedBackend, method: str) -> None:
    async with untouched(gateway, backend):
        answer = await gateway.ask(request(DEMO + "Echo", fields(gateway), ECHO, method))
    assert (answer.status, answer.value("allow")) == (405, "POST, OPTIONS")
    assert_cors(answer)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/demo.v1.Demo",
        "/demo.v1.Demo/",
        "/demo.v1.Demo/Echo/",
        "/demo.v1.Demo/Echo/x",
        "//demo.v1.Demo/Echo",
        "/demo.v1.Demo//Echo",
        "/./demo.v1.Demo/Echo",
        "/demo.v1.Demo/.",
        "/demo.v1.Demo/..",
        "/../Echo",
        "/./Echo",
        "/demo.v1.Demo/Ech%6F",
        "/demo.v1.Demo%2FEcho",
        "/demo.v1.De%4Do/Echo",
        "/demo.v1.Demo/Echo;x=1",
        "/demo.v1.Demo;x=1/Echo",
        "/demo.v1.Demo\\Echo",
        "/demo.v1.Demo/Echo%00",
        "/demo.v1.Demo/Ec:ho",
        "/demo.v1.Demo/Ec+ho",
    ],
)
async def test_there_is_one_spelling_of_a_path(gateway: RunningGateway, backend: ScriptedBackend, path: str) -> None:
    async with untouched(gateway, backend):
        answer = await gateway.ask(request(path, fields(gateway), ECHO))
    assert answer.status == 404
    assert_cors(answer)


@pytest.mark.parametrize("tail", ["?", "?x=1", "#x", "?$httpHeaders=authorization:Bearer%20x", "#?x"])
async def test_a_path_takes_no_query(gateway: RunningGateway, backend: ScriptedBackend, tail: str) -> None:
    async with untouched(gateway, backend):
        answer = await gateway.ask(request(DEMO + "Echo" + tail, fields(gateway), ECHO))
    assert answer.status == 400
    assert_cors(answer)


async def test_a_method_that_nobody_knows_is_a_grpc_answer(gateway: RunningGateway, backend: ScriptedBackend) -> None:
    async with untouched(gateway, backend):
        unrouted = await gateway.ask(request("/no.such.Service/Do", fields(gateway), ECHO))
    assert unrouted.code == 12
    assert_cors(unrouted)
    unknown_there = await gateway.ask(request(DEMO + "Nope", fields(gateway), ECHO))
    assert unknown_there.code == 12
    case_matters = await gateway.ask(request("/demo.v1.demo/Echo", fields(gateway), ECHO))
    assert case_matters.code == 12


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "text/plain;application/grpc-web",
        "application/json",
        "application/grpc",
        "application/grpc+proto",
        "application/grpc-webx",
        "application/grpc-web-texts",
        "application/grpc-web-json",
        "application/grpc-web+",
        "application/grpc-web proto",
        "application/grpc-web, application/grpc-web",
        "application/grpc-web,text/plain",
        "",
    ],
)
async def test_other_content_types(gateway: RunningGateway, backend: ScriptedBackend, kind: str) -> None:
    async with untouched(gateway, backend):
        answer = await gateway.ask(request(DEMO + "Echo", fields(gateway, content_type=kind), ECHO))
    assert answer.status == 415
    assert_cors(answer)


async def test_no_content_type(gateway: RunningGateway, backend: ScriptedBackend) -> None:
    without = [pair for pair in fields(gateway) if pair[0] != "content-type"]
    async with untouched(gateway, backend):
        assert (await gateway.ask(request(DEMO + "Echo", without, ECHO))).status == 415


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "identity, gzip", "x"])
async def test_a_request_takes_no_content_encoding(
    gateway: RunningGateway, backend: ScriptedBackend, coding: str
) -> None:
    packed = fields(gateway, ("content-encoding", coding))
    async with untouched(gateway, backend):
        answer = await gateway.ask(request(DEMO + "Echo", packed, gzip.compress(ECHO)))
    assert answer.status == 415
    assert_cors(answer)


async def test_content_encoding_identity_is_none(gateway: RunningGateway) -> None:
    plain = fields(gateway, ("content-encoding", "Identity"))
    assert (await gateway.ask(request(DEMO + "Echo", plain, ECHO))).code == 0


@pytest.mark.parametrize(
    "repeated",
    [("origin", ORIGIN), ("origin", "http://evil.test"), ("content-type", BINARY), ("host", "gateway.test")],
)
async def test_headers_that_may_stand_once(
    gateway: RunningGateway, backend: ScriptedBackend, repeated: tuple[str, str]
) -> None:
    headers = fields(gateway, ("host", "gateway.test"), repeated)
    async with untouched(gateway, backend):
        answer = await gateway.ask(request(DEMO + "Echo", headers, ECHO))
    assert answer.status == 400
    assert answer.value("access-control-allow-origin") is None
    if repeated[0] == "origin":
        assert answer.values("vary") == ["Origin"]


async def test_a_repeated_content_encoding_is_told_to_the_page(gateway: RunningGateway) -> None:
    twice = [("content-encoding", "identity")] * 2
    answer = await gateway.ask(request(DEMO + "Echo", fields(gateway, *twice), ECHO))
    assert answer.status == 400
    assert_cors(answer)
    foreign = await gateway.ask(request(DEMO + "Echo", fields(gateway, *twice, origin="http://evil.test"), ECHO))
    assert foreign.status == 403


# --- origins


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.test",
        "null",
        "",
        "*",
        "https://page.test",
        "http://page.test:81",
        "http://page.test/",
        "http://page.test.evil.test",
        "http://evil-page.test",
        "HTTP://PAGE.TEST",
        "http://page.test, http://evil.test",
        "http://page.test http://evil.test",
    ],
)
@pytest.mark.parametrize("path", [DEMO + "Echo", "/nothing", "/no.such/Thing"])
async def test_a_foreign_origin_is_told_nothing(
    gateway: RunningGateway, backend: ScriptedBackend, origin: str, path: str
) -> None:
    async with untouched(gateway, backend):
        answer = await gateway.ask(request(path, fields(gateway, origin=origin), ECHO))
    assert answer.status == 403
    assert answer.values("vary") == ["Origin"]
    assert not [name for name, _ in answer.headers if name.startswith(b"access-control-")]


async def test_without_an_origin_there_is_no_cors(gateway: RunningGateway) -> None:
    headers = [pair for pair in fields(gateway) if pair[0] != "origin"]
    answer = await gateway.ask(request(DEMO + "Echo", headers, ECHO))
    assert answer.code == 0
    assert answer.value("vary") == "Origin"
    assert not [name for name, _ in answer.headers if name.startswith(b"access-control-")]


PREFLIGHT = [("access-control-request-method", "POST"), ("access-control-request-headers", "x-grpc-web,content-type")]


@pytest.mark.parametrize("path", [DEMO + "Echo", DEMO + "Shout", "/", "/no.such.Service/Do", "//x/Y", "/a/b?q"])
async def test_a_preflight_is_answered_whatever_it_asks_for(
    gateway: RunningGateway, backend: ScriptedBackend, path: str
) -> None:
    async with untouched(gateway, backend):
        answer = await gateway.ask(request(path, [("origin", ORIGIN), *PREFLIGHT], None, "OPTIONS"))
    assert answer.status == 204
    assert answer.value("access-control-allow-origin") == ORIGIN
    assert answer.value("access-control-allow-methods") == "POST"
    assert answer.value("access-control-max-age") == "600"
    allowed = (answer.value("access-control-allow-headers") or "").split(", ")
    assert {"authorization", "content-type", "grpc-timeout", "x-grpc-web", "x-user-agent"} <= set(allowed)
    assert answer.value("access-control-allow-credentials") is None
    assert set((answer.value("vary") or "").split(", ")) >= {"Origin", "Access-Control-Request-Headers"}
    assert answer.value("content-length") is None  # RFC 9110, section 8.6: none with 204


async def test_a_foreign_preflight(gateway: RunningGateway, backend: ScriptedBackend) -> None:
    async with untouched(gateway, backend):
        answer = await gateway.ask(
            request(DEMO + "Echo", [("origin", "http://evil.test"), *PREFLIGHT], None, "OPTIONS")
        )
    assert (answer.status, answer.value("vary")) == (403, "Origin")
    assert not [name for name, _ in answer.headers if name.startswith(b"access-control-")]


async def test_options_without_a_preflight_is_a_wrong_method(gateway: RunningGateway) -> None:
    assert (await gateway.ask(request(DEMO + "Echo", [("origin", ORIGIN)], None, "OPTIONS"))).status == 405
    assert (await gateway.ask(request(DEMO + "Echo", PREFLIGHT, None, "OPTIONS"))).status == 405


async def test_configured_cors() -> None:
    def change(configuration: dict[str, Any]) -> None:
        configuration["cors"] |= {
            "allow_origins": ["https://*.preview.test"],
            "allow_credentials": True,
            "allow_headers": ["X-Mine"],
            "expose_headers": ["X-Shown"],
            "max_age": "1m",
            "require_origin": True,
        }

    async with running(change) as gateway:
        origin = "https://a.preview.test"
        preflight = await gateway.ask(request(DEMO + "Echo", [("origin", origin), *PREFLIGHT], None, "OPTIONS"))
        assert preflight.value("access-control-allow-credentials") == "true"
        assert preflight.value("access-control-max-age") == "60"
        assert "x-mine" in (preflight.value("access-control-allow-headers") or "").split(", ")
        answer = await gateway.ask(request(DEMO + "Echo", fields(gateway, origin=origin), ECHO))
        assert answer.code == 0
        assert answer.value("access-control-allow-origin") == origin
        assert answer.value("access-control-allow-credentials") == "true"
        assert answer.value("access-control-expose-headers") == CORS_NAMES + ", x-shown"
        for foreign in ("https://preview.test", "https://a.b.preview.test", "https://evil-preview.test", ORIGIN):
            refused = await gateway.ask(request(DEMO + "Echo", fields(gateway, origin=foreign), ECHO))
            assert refused.status == 403, foreign
        headers = [pair for pair in fields(gateway) if pair[0] != "origin"]
        assert (await gateway.ask(request(DEMO + "Echo", headers, ECHO))).status == 403
        assert gateway.backend_calls == 1


# --- the answer's type


@pytest.mark.parametrize(
    ("kind", "accept", "reply"),
    [
        ("application/grpc-web", None, "application/grpc-web"),
        ("application/grpc-web+proto", None, "application/grpc-web+proto"),
        ("application/grpc-web-text", None, "application/grpc-web-text"),
        ("application/grpc-web-text+proto", None, "application/grpc-web-text+proto"),
        ("Application/GRPC-Web+Proto ; charset=utf-8", None, "application/grpc-web+proto"),
        ("application/grpc-web+thrift", None, "application/grpc-web+thrift"),
        ("application/grpc-web+proto", "application/grpc-web-text", "application/grpc-web-text+proto"),
        ("application/grpc-web-text+proto", "application/grpc-web+proto", "application/grpc-web+proto"),
        ("application/grpc-web-text", "*/*", "application/grpc-web-text"),
        ("application/grpc-web", "text/html, application/grpc-web-text;q=0.5", "application/grpc-web-text"),
        ("application/grpc-web", "application/grpc-web-text;q=0", "application/grpc-web"),
    ],
)
async def test_content_type_and_accept(
    gateway: RunningGateway, backend: ScriptedBackend, kind: str, accept: str | None, reply: str
) -> None:
    headers = fields(gateway, content_type=kind, **({"accept": accept} if accept else {}))
    body = message(b"m")
    answer = await gateway.ask(
        request(SCRIPT + "Tell", headers, base64.b64encode(body) if "-text" in kind.lower() else body)
    )
    assert answer.value("content-type") == reply
    messages, status, _ = answer.grpc()
    assert status.code == 0
    assert json.loads(messages[0])["messages"] == [base64.b64encode(b"m").decode()]


async def test_accept_may_be_repeated(gateway: RunningGateway) -> None:
    headers = fields(gateway, ("accept", "*/*"), ("accept", "application/grpc-web-text"))
    answer = await gateway.ask(request(DEMO + "Echo", headers, ECHO))
    assert answer.value("content-type") == "application/grpc-web-text+proto"


# --- frames


async def test_a_whole_answer_byte_by_byte(gateway: RunningGateway) -> None:
    answer = await gateway.ask(request(DEMO + "Echo", fields(gateway), ECHO))
    assert answer.body == ECHO + b"\x80\x00\x00\x00\x0fgrpc-status:0\r\n"
    names = [name for name, _ in answer.headers]
    assert sorted(names) == sorted(
        [
            b"access-control-allow-origin",
            b"access-control-expose-headers",
            b"content-length",
            b"content-type",
            b"date",
            b"server",
            b"vary",
        ]
    )
    assert answer.value("server") == "grpcweb-gateway"  # and no version


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"\x80\x00\x00\x00\x00", 3),
        (b"\x02\x00\x00\x00\x00", 3),
        (b"\xff\x00\x00\x00\x00", 3),
        (ECHO + b"\x80\x00\x00\x00\x00", 3),
        (b"\x00", 3),
        (b"\x00\x00\x00\x00", 3),
        (b"\x00\x00\x00\x00\x01", 3),
        (ECHO[:-1], 3),
        (message(bytes(MAX_MESSAGE + 1)), 8),
        (b"\x00\xff\xff\xff\xff", 8),
        (message(b"\x0a\x01x", flags=1), 13),
        (b"garbage", 3),
    ],
)
async def test_broken_frames(gateway: RunningGateway, body: bytes, code: int) -> None:
    for kind, sent in ((BINARY, body), (TEXT, base64.b64encode(body))):
        answer = await gateway.ask(request(DEMO + "Collect", fields(gateway, content_type=kind), sent))
        messages, status, _ = answer.grpc()
        assert (messages, status.code) == ([], code), kind
        assert_cors(answer)


async def test_a_limit_is_decided_on_the_prefix(gateway: RunningGateway, backend: ScriptedBackend) -> None:
    size = MAX_MESSAGE + 1
    head = request(DEMO + "Echo", fields(gateway, ("content-length", str(size + 5))), None)
    async with untouched(gateway, backend), connect(gateway.port) as wire:
        answer = await wire.ask(head + struct.pack(">BI", 0, size))
        assert answer.code == 8


async def test_the_largest_message(gateway: RunningGateway) -> None:
    largest = message(demo_pb2.EchoRequest(payload=bytes(MAX_MESSAGE - 4)))
    assert len(largest) == MAX_MESSAGE + 5
    answer = await gateway.ask(request(DEMO + "Echo", fields(gateway), largest))
    assert answer.grpc()[0] == [largest[5:]]


async def test_a_reply_over_the_limit(gateway: RunningGateway) -> None:
    ask = message(demo_pb2.CountRequest(count=1, payload_bytes=2 * 1024 * 1024))
    answer = await gateway.ask(request(DEMO + "Count", fields(gateway), ask))
    assert (answer.grpc()[0], answer.code) == ([], 8)


async def test_an_empty_message_is_a_message(gateway: RunningGateway) -> None:
    answer = await gateway.ask(request(DEMO + "Echo", fields(gateway), message(b"")))
    assert answer.grpc()[0] == [b""]
    answer = await gateway.ask(request(DEMO + "Collect", fields(gateway), message(b"") * 3))
    assert demo_pb2.CollectReply.FromString(answer.grpc()[0][0]).count == 3


@pytest.mark.parametrize("count", [0, 1, 3])
async def test_the_backend_judges_how_many_messages_there_are(gateway: RunningGateway, count: int) -> None:
    answer = await gateway.ask(request(SCRIPT + "Tell", fields(gateway), message(b"m") * count))
    assert json.loads(answer.grpc()[0][0])["messages"] == ["bQ=="] * count
    before = gateway.backend_calls
    # A unary method of grpc's Python server takes the first of several, and waits for ever for the first of none.
    await gateway.ask(request(DEMO + "Echo", fields(gateway, ("grpc-timeout", "200m")), ECHO * count))
    assert gateway.backend_calls == before + 1


async def packed(requests: Requests, context: Any) -> AsyncIterator[bytes]:
    """Compresses, whether or not that was asked for, as grpc's Python server may be told to."""
    context.set_compression(grpc.Compression.Gzip)
    yield b"m" * 10_000


async def test_replies_that_the_backend_compressed_cross_as_they_are_for_who_can_open_them(
    gateway: RunningGateway, backend: ScriptedBackend
) -> None:
    backend.methods["Packed"] = packed
    headers = fields(gateway, ("grpc-accept-encoding", "gzip"))
    answer = await gateway.ask(request(SCRIPT + "Packed", headers, message(b"")))
    messages, status, _ = answer.grpc()
    assert ([gzip.decompress(each) for each in messages], status.code) == ([b"m" * 10_000], 0)
    assert answer.body[0] == 1
    assert answer.value("grpc-encoding") == "gzip"
    assert "grpc-encoding" in (answer.value("access-control-expose-headers") or "").split(", ")


@pytest.mark.parametrize("transport", ["h2", "grpcio"])
async def test_replies_that_the_backend_compressed_arrive_plain(backend: ScriptedBackend, transport: str) -> None:
    def change(configuration: dict[str, Any]) -> None:
        configuration["upstreams"]["script"] = backend.section() | {"transport": transport}
        configuration["authorization"]["default"] = "authenticated"

    backend.methods["Packed"] = packed
    async with running(change) as gateway:
        answer = await gateway.ask(request(SCRIPT + "Packed", fields(gateway), message(b"")))
    assert (answer.grpc()[0], answer.code) == ([b"m" * 10_000], 0)
    assert answer.value("grpc-encoding") is None


@pytest.mark.parametrize(
    ("encoding", "packed"), [("gzip", gzip.compress(b"m" * 1000)), ("deflate", zlib.compress(b"m" * 1000))]
)
async def test_compressed_messages(gateway: RunningGateway, encoding: str, packed: bytes) -> None:
    sent = message(packed, flags=1) + message(b"plain")
    headers = fields(gateway, ("grpc-encoding", encoding), ("grpc-accept-encoding", "gzip"))
    messages, status, _ = (await gateway.ask(request(SCRIPT + "Tell", headers, sent))).grpc()
    assert status.code == 0
    assert json.loads(messages[0])["messages"] == [base64.b64encode(each).decode() for each in (b"m" * 1000, b"plain")]


@pytest.mark.parametrize(
    ("encoding", "packed", "code"),
    [
        ("snappy", b"x", 13),  # left to the backend, whose C core takes the name for a malformed one
        ("gzip", b"not gzip", 13),
        ("gzip", gzip.compress(b"x" * 100)[:-5], 13),
        ("gzip", gzip.compress(bytes(MAX_MESSAGE + 1)), 8),
        ("identity", b"x", 13),
    ],
)
async def test_compressed_messages_that_cannot_be_opened(
    gateway: RunningGateway, encoding: str, packed: bytes, code: int
) -> None:
    headers = fields(gateway, ("grpc-encoding", encoding))
    assert (await gateway.ask(request(SCRIPT + "Tell", headers, message(packed, flags=1)))).code == code


# --- text mode


async def test_text_in_segments_that_are_cut_anywhere(gateway: RunningGateway) -> None:
    body = message(b"one") + message(b"") + message(b"three")
    segments = b"".join(base64.b64encode(body[start : start + 2]) for start in range(0, len(body), 2))
    headers = fields(gateway, ("transfer-encoding", "chunked"), content_type=TEXT)
    crumbs = chunked(*(segments[start : start + 3] for start in range(0, len(segments), 3))) + b"0\r\n\r\n"
    messages, status, _ = (await gateway.ask(request(SCRIPT + "Tell", headers, None) + crumbs)).grpc()
    assert status.code == 0
    assert json.loads(messages[0])["messages"] == [base64.b64encode(each).decode() for each in (b"one", b"", b"three")]


GOOD_TEXT = base64.b64encode(message(b"\xff\xfe\xfd"))


@pytest.mark.parametrize(
    "body",
    [
        GOOD_TEXT[:-1],
        GOOD_TEXT[:-2],
        GOOD_TEXT[:-3],
        GOOD_TEXT + b"\n",
        b" " + GOOD_TEXT,
        GOOD_TEXT[:4] + b"\r\n" + GOOD_TEXT[4:],
        GOOD_TEXT.replace(b"/", b"_"),
        GOOD_TEXT[:-4] + b"!!!!",
        GOOD_TEXT + b"====",
        GOOD_TEXT + b"A===",
        b"=" + GOOD_TEXT,
        "ÄÄÄÄ".encode(),
    ],
)
async def test_text_that_is_not_base64(gateway: RunningGateway, body: bytes) -> None:
    answer = await gateway.ask(request(SCRIPT + "Tell", fields(gateway, content_type=TEXT), body))
    assert answer.code == 3


async def test_every_chunk_of_text_can_be_decoded_on_its_own(gateway: RunningGateway, steps: Steps) -> None:
    async with connect(gateway.port) as wire:
        await wire.send(request(SCRIPT + "Steps", fields(gateway, content_type=TEXT), b""))
        assert (await wire.head()).value("content-type") == TEXT
        for reply in (b"a", b"bc", b"", b"defg"):
            steps.replies.put_nowait(reply)
            assert untext(await wire.chunk()) == message(reply)
        steps.replies.put_nowait(None)
        assert untext(await wire.chunk()) == b"\x80\x00\x00\x00\x0fgrpc-status:0\r\n"
        assert await wire.chunk() == b""


# --- metadata in


async def test_metadata_arrives_repeated_and_in_order(gateway: RunningGateway) -> None:
    sent = [("x-a", "1"), ("X-B", "two words"), ("x-a", "2"), ("x-a", "3, 4"), ("x.dot-9", "~!")]
    found = await arrived(gateway, *sent)
    assert [pair for pair in found if pair[0].startswith("x-a")] == [("x-a", "1"), ("x-a", "2"), ("x-a", "3, 4")]
    assert ("x-b", "two words") in found
    assert ("x.dot-9", "~!") in found


async def test_binary_metadata(gateway: RunningGateway) -> None:
    found = await arrived(gateway, ("x-raw-bin", "AP8="), ("x-raw-bin", "AP8"), ("x-raw-bin", "AQ,Ag== , Aw"))
    assert [value for name, value in found if name == "x-raw-bin"] == ["AP8=", "AP8=", "AQ==", "Ag==", "Aw=="]
    answer = await gateway.ask(request(SCRIPT + "Tell", fields(gateway, ("x-raw-bin", "A*")), message(b"m")))
    assert answer.code == 3


async def test_what_belongs_to_the_browser_or_the_gateway_is_dropped(gateway: RunningGateway) -> None:
    dropped = [
        ("cookie", "session=1"),
        ("referer", "http://page.test/x"),
        ("accept-language", "de"),
        ("accept-encoding", "gzip, br"),
        ("sec-fetch-mode", "cors"),
        ("access-control-request-method", "POST"),
        ("x-grpc-web", "1"),
        ("te", "trailers"),
        ("keep-alive", "timeout=5"),
        ("proxy-authorization", "Basic eDp5"),
        ("proxy-connection", "keep-alive"),
        ("x-forwarded-for", "203.0.113.1"),
        ("x-forwarded-proto", "gopher"),
        ("x-forwarded-host", "evil.test"),
        ("x-forwarded-port", "1"),
        ("x-real-ip", "203.0.113.1"),
        ("x-envoy-upstream-rq-timeout-ms", "1"),
        ("x-envoy-retry-on", "5xx"),
        ("forwarded", "for=203.0.113.1"),
        ("grpc-status", "0"),
        ("grpc-message", "x"),
        ("grpc-internal-encoding-request", "x"),
        ("x-user-id", "root"),
        ("x-hop", "secret"),
        ("connection", "keep-alive, X-Hop"),
        ("user-agent", "Mozilla/5.0"),
    ]
    found = await arrived(gateway, *dropped, ("x-kept", "1"))
    names = [name for name, _ in found]
    assert sorted(names) == sorted(
        [
            "authorization",
            "user-agent",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-proto",
            "x-kept",
            "x-user-agent",
            "x-user-id",
        ]
    )
    values = dict(found)
    assert values["x-forwarded-for"] == "127.0.0.1"
    assert values["x-forwarded-proto"] == "http"
    assert values["x-forwarded-host"] == "gateway.test"
    assert values["x-user-id"] == "reader@demo"
    assert values["x-user-agent"] == "Mozilla/5.0"
    assert values["user-agent"].startswith("grpcweb-gateway")


async def test_the_trace_context_is_kept(gateway: RunningGateway) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert ("traceparent", trace) in await arrived(gateway, ("traceparent", trace), ("tracestate", "a=b"))


@pytest.mark.parametrize(
    ("name", "value"),
    [("x_user_id", "root"), ("x-a", "caf\xe9"), ("x-a", "ü".encode().decode("latin-1")), ("x!", "1"), ("x-a", "a\tb")],
)
async def test_headers_that_cannot_be_metadata(
    gateway: RunningGateway, backend: ScriptedBackend, name: str, value: str
) -> None:
    async with untouched(gateway, backend):
        answer = await gateway.ask(request(SCRIPT + "Tell", fields(gateway, (name, value)), message(b"m")))
    assert answer.code == 3
    assert_cors(answer)


async def test_too_much_metadata(gateway: RunningGateway, backend: ScriptedBackend) -> None:
    async with untouched(gateway, backend):
        much = [(f"x-{number}", "v" * 1000) for number in range(9)]
        assert (await gateway.ask(request(SCRIPT + "Tell", fields(gateway, *much), message(b"m")))).code == 8
    await arrived(gateway, *much[:5])


# --- metadata out


async def test_reply_metadata_is_sent_and_exposed(gateway: RunningGateway) -> None:
    answer = await gateway.ask(request(SCRIPT + "Decorated", fields(gateway), message(b"m")))
    messages, status, trailing = answer.grpc()
    assert (messages, status.code, status.message) == ([b"x"], 0, "")
    assert answer.values("x-two") == ["a", "b"]
    assert answer.value("x-raw-bin") == "AP8"
    assert answer.value("www-authenticate") == "Bearer"
    assert answer.value("access-control-expose-headers") == CORS_NAMES + ", x-one, x-two, x-raw-bin, www-authenticate"
    assert answer.value("access-control-allow-origin") == ORIGIN
    assert answer.value("server") == "grpcweb-gateway"
    assert answer.value("date") != "yesterday"
    for name in ("content-encoding", "trailer", "access-control-allow-credentials", "x-late"):
        assert answer.value(name) is None, name
    assert trailing == [(b"x-late", b"1"), (b"x-late", b"2"), (b"x-late-bin", b"AQ")]


async def test_trailers_stand_in_the_frame_and_nowhere_else(gateway: RunningGateway) -> None:
    answer = await gateway.ask(request(SCRIPT + "Decorated", fields(gateway), message(b"m")))
    block = b"grpc-status:0\r\nx-late:1\r\nx-late:2\r\nx-late-bin:AQ\r\n"
    assert answer.body == message(b"x") + message(block, flags=0x80)


async def test_a_reply_of_trailers_alone_is_folded_into_the_frame(gateway: RunningGateway) -> None:
    answer = await gateway.ask(request(SCRIPT + "Refuse", fields(gateway), message(b"m")))
    assert answer.status == 200
    block = b"grpc-status:5\r\ngrpc-message:none: 100 %25 %0A %C3%BC\r\nx-why:gone\r\n"
    assert answer.body == message(block, flags=0x80)
    assert answer.value("grpc-status") is None
    assert answer.value("x-why") is None
    assert_cors(answer)


ODD = [
    (b"x-odd", b"a\tb"),
    (b"x-odd", "grün".encode()),
    (b"x-odd", b"a\x01b"),
    (b"x-odd", b"a\x7fb"),
    (b"x-odd", b"a\0b"),
    (b"x-odd", b"a\r\nset-cookie: x=1"),
    (b"keep-alive", b"timeout=5"),
]


@pytest.mark.parametrize("transport", ["h2", "grpcio"])
async def test_reply_metadata_that_cannot_be_a_header_does_not_arrive(transport: str) -> None:
    """Such a reply is malformed (RFC 9113, section 8.2); grpcio takes it all the same, and the gateway cleans it."""
    async with contextlib.AsyncExitStack() as stack:
        sections = {}
        for number, odd in enumerate(ODD):
            head = GRPC_HEAD + block(odd, (b"x-even", b"1"))
            frames = [(HEADERS, head), ((0, 0), message(b"m")), (HEADERS_END, block((b"grpc-status", b"0")))]
            section = await stack.enter_async_context(raw_http2(*frames))
            sections[f"odd{number}"] = section | {"services": [f"test.v1.Odd{number}"], "transport": transport}

        def change(configuration: dict[str, Any]) -> None:
            configuration["upstreams"] |= sections
            configuration["authorization"]["default"] = "authenticated"

        gateway = await stack.enter_async_context(running(change))
        for number, (name, value) in enumerate(ODD):
            answer = await gateway.ask(request(f"/test.v1.Odd{number}/Do", fields(gateway), message(b"")))
            fine = number < 2
            assert [each for other, each in answer.headers if other == name] == [value] * fine
            assert answer.value("set-cookie") is None
            if fine or transport == "grpcio":
                assert (answer.grpc()[0], answer.code) == ([b"m"], 0)
                assert answer.value("x-even") == "1"
            else:
                assert (answer.grpc()[0], answer.code) == ([], 13)
                assert answer.value("x-even") is None


# --- the course of a reply


async def test_headers_come_before_the_first_message_and_each_message_as_it_is_sent(
    gateway: RunningGateway, steps: Steps
) -> None:
    async with connect(gateway.port) as wire:
        await wire.send(request(SCRIPT + "Steps", fields(gateway), b""))
        head = await wire.head()
        assert (head.status, head.value("x-early")) == (200, "yes")
        assert head.value("transfer-encoding") == "chunked"
        for reply in (b"1", b"", b"3" * 100_000):
            steps.replies.put_nowait(reply)
            received = b""
            while len(received) < len(reply) + 5:
                received += await wire.chunk()
            assert received == message(reply)
        steps.replies.put_nowait(None)
        assert take_apart(await wire.chunk())[1].code == 0
        assert await wire.chunk() == b""


async def test_calls_follow_one_another_on_a_connection(gateway: RunningGateway) -> None:
    async with connect(gateway.port) as wire:
        for number in range(3):
            body = message(demo_pb2.EchoRequest(text=str(number)))
            assert (await wire.ask(request(DEMO + "Echo", fields(gateway), body))).grpc()[0] == [body[5:]]
            refused = await wire.ask(request(DEMO + "Echo", fields(gateway, role=None), body))
            assert refused.code == 16
            assert (await wire.ask(request("/nothing", fields(gateway), body))).status == 404


def old(call: bytes) -> bytes:
    """The same request from a client of HTTP/1.0."""
    return call.replace(b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", 1)


def assert_the_end_is_the_close(answer: Answer) -> None:
    assert answer.raw.startswith(b"HTTP/1.1 ")
    assert answer.value("connection") == "close"
    assert answer.value("transfer-encoding") is None


@pytest.mark.parametrize("kept", [[], [("connection", "keep-alive")], [("connection", "close")]])
@pytest.mark.parametrize("kind", [BINARY, TEXT])
async def test_an_old_client_gets_an_answer_without_chunks(gateway: RunningGateway, kept: Pairs, kind: str) -> None:
    headers = fields(gateway, *kept, content_type=kind)
    count = message(demo_pb2.CountRequest(count=3, interval_ms=20))
    for method, body, replies in (("Echo", ECHO, 1), ("Count", count, 3)):
        sent = base64.b64encode(body) if kind == TEXT else body
        async with connect(gateway.port) as wire:
            head = await ask_head(wire, old(request(DEMO + method, headers, sent)))
            assert_the_end_is_the_close(head)
            head.chunks = [await wire.rest()]
        messages, status, _ = head.grpc()
        assert (len(messages), status.code) == (replies, 0)


async def ask_head(wire: Wire, call: bytes) -> Answer:
    await wire.send(call)
    return await wire.head()


async def test_an_old_client_gets_each_message_as_it_is_sent(gateway: RunningGateway, steps: Steps) -> None:
    headers = fields(gateway, ("connection", "keep-alive"))
    async with connect(gateway.port) as wire:
        head = await ask_head(wire, old(request(SCRIPT + "Steps", headers, b"")))
        assert_the_end_is_the_close(head)
        assert (head.value("x-early"), head.value("content-length")) == ("yes", None)
        for reply in (b"1", b"", b"3" * 300_000):
            steps.replies.put_nowait(reply)
            async with asyncio.timeout(PATIENCE):
                assert await wire.reader.readexactly(len(reply) + 5) == message(reply)
        steps.replies.put_nowait(None)
        assert take_apart(await wire.rest())[1].code == 0


async def test_an_old_client_gets_one_answer_only(gateway: RunningGateway, backend: ScriptedBackend) -> None:
    kept = ("connection", "keep-alive")
    shout = request(DEMO + "Shout", fields(gateway, kept, role="admin"), ECHO)
    for call, status in (
        (request(DEMO + "Echo", fields(gateway, kept), ECHO), 200),
        (request(DEMO + "Echo", fields(gateway, kept, role=None), ECHO), 200),
        (request("/nothing", fields(gateway, kept), ECHO), 404),
        (request(DEMO + "Echo", fields(gateway, kept, origin="http://evil.test"), ECHO), 403),
        (request(DEMO + "Echo", [("origin", ORIGIN), kept, *PREFLIGHT], None, "OPTIONS"), 204),
    ):
        async with connect(gateway.port) as wire:
            answer = await wire.ask(old(call) + shout)
            assert answer.status == status
            assert_the_end_is_the_close(answer)
            assert await wire.rest() == b""
    assert gateway.world.backend.calls[DEMO + "Shout"] == 0


# --- status and CORS, whatever went wrong


@pytest.mark.parametrize(
    ("call", "code"),
    [
        ((DEMO + "Echo", ECHO, {}), 0),
        ((DEMO + "Echo", ECHO, {"authorization": "Bearer x"}), 16),
        ((DEMO + "Shout", ECHO, {}), 7),
        (("/no.such.Service/Do", ECHO, {}), 12),
        ((DEMO + "Echo", b"\xff", {}), 3),
        ((DEMO + "Echo", ECHO, {"x_y": "1"}), 3),
        ((DEMO + "Echo", ECHO, {"grpc-timeout": "0n"}), 4),
        ((DEMO + "Fail", message(demo_pb2.FailRequest(code=9, message="no")), {}), 9),
        ((SCRIPT + "Refuse", b"", {}), 5),
    ],
)
@pytest.mark.parametrize("kind", [BINARY, TEXT])
async def test_every_answer_ends_with_one_status_and_can_be_read_by_the_page(
    gateway: RunningGateway, call: tuple[str, bytes, dict[str, str]], code: int, kind: str
) -> None:
    path, body, changes = call
    headers = dict(fields(gateway, content_type=kind)) | changes
    sent = base64.b64encode(body) if kind == TEXT else body
    answer = await gateway.ask(request(path, list(headers.items()), sent))
    assert answer.code == code
    assert_cors(answer)
    plain = b"".join(map(untext, answer.chunks)) if kind == TEXT else answer.body
    assert plain.count(b"grpc-status:") == 1
    assert answer.value("grpc-status") is None
    exposed = (answer.value("access-control-expose-headers") or "").split(", ")
    assert ("www-authenticate" in exposed) == (code in (7, 16))


async def test_details_pass(gateway: RunningGateway) -> None:
    body = message(demo_pb2.FailRequest(code=9, message="no", detail="WHY"))
    answer = await gateway.ask(request(DEMO + "Fail", fields(gateway), body))
    _, status, trailing = answer.grpc()
    assert (status.code, status.message, trailing) == (9, "no", [])
    assert b"WHY" in (status.details or b"")
    assert b"=" not in answer.body.partition(b"grpc-status-details-bin:")[2]


@pytest.mark.parametrize("code", range(1, 17))
async def test_every_code_passes(gateway: RunningGateway, code: int) -> None:
    body = message(demo_pb2.FailRequest(code=code, message=f"code {code}"))
    _, status, _ = (await gateway.ask(request(DEMO + "Fail", fields(gateway), body))).grpc()
    assert (status.code, status.message) == (code, f"code {code}")


# --- deadlines

ROUNDED = 1.01  # grpc-core writes few digits, and rounds up: the gateway's own timer is the exact one


async def test_without_a_deadline_there_is_none(gateway: RunningGateway) -> None:
    assert (await told(gateway))["left"] is None


@pytest.mark.parametrize(
    ("timeout", "least", "most"),
    [
        ("5S", 4, 5),
        ("5000m", 4, 5),
        ("2M", 119, 120),
        ("00000007S", 6, 7),
        ("3000000u", 2, 3),
        ("123456789m", 123_400, 123_457),  # more digits than the wire allows, as browsers' clients write
    ],
)
async def test_a_deadline_is_handed_on_less_the_time_it_took(
    gateway: RunningGateway, timeout: str, least: float, most: float
) -> None:
    assert least < (await told(gateway, ("grpc-timeout", timeout)))["left"] < most * ROUNDED


@pytest.mark.parametrize("timeout", ["", "5", "5s", "5h", "S", "-5S", "+5S", "5 S", "5.0S", "5SS", "0x5S", "5S, 5S"])
async def test_a_deadline_that_is_none(gateway: RunningGateway, backend: ScriptedBackend, timeout: str) -> None:
    async with untouched(gateway, backend):
        headers = fields(gateway, ("grpc-timeout", timeout))
        assert (await gateway.ask(request(SCRIPT + "Tell", headers, b""))).code == 3
        headers = fields(gateway, ("grpc-timeout", "5S"), ("grpc-timeout", "6S"))
        assert (await gateway.ask(request(SCRIPT + "Tell", headers, b""))).code == 3


async def test_a_deadline_that_has_passed(gateway: RunningGateway) -> None:
    assert (await gateway.ask(request(SCRIPT + "Tell", fields(gateway, ("grpc-timeout", "0S")), b""))).code == 4


@pytest.mark.parametrize("kind", [BINARY, TEXT])
async def test_a_deadline_ends_a_stream_and_keeps_its_messages(
    gateway: RunningGateway, steps: Steps, kind: str
) -> None:
    headers = fields(gateway, ("grpc-timeout", "200m"), content_type=kind)
    steps.replies.put_nowait(b"first")
    started = time.monotonic()
    answer = await gateway.ask(request(SCRIPT + "Steps", headers, b""))
    messages, status, _ = answer.grpc()
    assert (messages, status.code) == ([b"first"], 4)
    assert 0.19 < time.monotonic() - started < 1.5


async def test_a_deadline_holds_while_the_body_is_still_to_come(gateway: RunningGateway) -> None:
    headers = fields(gateway, ("grpc-timeout", "100m"), ("content-length", "100"))
    async with connect(gateway.port) as wire:
        assert (await wire.ask(request(DEMO + "Collect", headers, None))).code == 4


async def test_configured_deadlines(backend: ScriptedBackend) -> None:
    def change(configuration: dict[str, Any]) -> None:
        configuration["upstreams"]["script"] = backend.section()
        configuration["authorization"]["default"] = "authenticated"
        configuration["limits"] = {"default_deadline": "20s", "max_deadline": "1m"}

    async with running(change) as gateway:
        for timeout, most in ((None, 20), ("5S", 5), ("2H", 60)):
            more = [("grpc-timeout", timeout)] if timeout else []
            assert most - 1 < (await told(gateway, *more))["left"] < most * ROUNDED


# --- bodies in pieces


async def test_a_body_in_chunks_is_handed_on_as_it_comes(gateway: RunningGateway) -> None:
    async with connect(gateway.port) as wire:
        await wire.send(request(DEMO + "Chat", fields(gateway, ("transfer-encoding", "chunked")), None))
        received: list[bytes] = []
        for number in range(3):
            sent = message(demo_pb2.EchoRequest(text=str(number)))
            await wire.send(chunked(sent[:3], sent[3:]))
            if not number:
                assert (await wire.head()).status == 200
            received.append(await wire.chunk())
            assert received[-1] == sent
        await wire.send(b"0\r\n\r\n")
        assert take_apart(await wire.chunk())[1].code == 0


async def test_a_body_one_byte_at_a_time(gateway: RunningGateway) -> None:
    async with connect(gateway.port) as wire:
        for byte in request(DEMO + "Echo", fields(gateway), ECHO):
            await wire.send(bytes((byte,)))
        assert (await wire.answer()).grpc()[0] == [ECHO[5:]]


async def test_continue_is_said_when_it_is_waited_for(gateway: RunningGateway) -> None:
    headers = fields(gateway, ("expect", "100-continue"), ("content-length", str(len(ECHO))))
    async with connect(gateway.port) as wire:
        await wire.send(request(DEMO + "Echo", headers, None))
        assert (await wire.head()).status == 100
        assert (await wire.ask(ECHO)).grpc()[0] == [ECHO[5:]]


async def test_a_refusal_does_not_wait_for_the_body(gateway: RunningGateway, backend: ScriptedBackend) -> None:
    async with untouched(gateway, backend):
        for changes, expected in (({"origin": "http://evil.test"}, 403), ({"content_type": "text/plain"}, 415)):
            headers = fields(gateway, ("expect", "100-continue"), ("content-length", "5"), **changes)
            async with connect(gateway.port) as wire:
                await wire.send(request(DEMO + "Echo", headers, None))
                assert (await wire.head()).status == expected


async def test_the_wire_client_tells_a_broken_answer_from_a_good_one() -> None:
    for chunk in (b"QUI", b"QQ==QUI", b"A"):
        with pytest.raises(Exception, match="base64"):
            untext(chunk)
    with pytest.raises(AssertionError):
        take_apart(message(b"grpc-status:0\r\n", flags=0x80) + b"x")
