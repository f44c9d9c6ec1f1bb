"""What a browser can see of the gateway, whatever version of HTTP it speaks."""

import base64
import time

import pytest

from gateway.demo.pb import demo_pb2
from gateway.protocol.status import Status
from tests.integration.wire.ways import (
    ECHO,
    OK_FRAME,
    PREFLIGHT,
    Http1Way,
    Http2Way,
    Way,
    assert_cors,
    assert_no_cors,
)
from tests.support.backends import SCRIPT, ScriptedBackend
from tests.support.behaviours import Steps
from tests.support.frames import message
from tests.support.gateway import BINARY, DEMO, ORIGIN, TEXT, RunningGateway, untouched
from tests.support.wire import PATIENCE, untext

pytestmark = pytest.mark.asyncio(loop_scope="module")

in_both_forms = pytest.mark.parametrize("kind", [BINARY, TEXT])


@pytest.fixture(params=["http1", "http2 over TLS", "http2"])
def way(request: pytest.FixtureRequest, gateway: RunningGateway) -> Way:
    """Every one."""
    return Http1Way(gateway) if request.param == "http1" else Http2Way(gateway, "TLS" in request.param)


def written(body: bytes, kind: str) -> bytes:
    return base64.b64encode(body) if kind == TEXT else body


# --- no calls


@pytest.mark.parametrize(
    ("request_line", "changes", "status"),
    [
        (("POST", DEMO + "Echo?x=1"), {}, 400),
        (("POST", DEMO + "Echo"), {"origin": "http://evil.test"}, 403),
        (("POST", "/nothing"), {"origin": "http://evil.test"}, 403),
        (("POST", "/nothing"), {}, 404),
        (("POST", "//demo.v1.Demo/Echo"), {}, 404),
        (("GET", DEMO + "Echo"), {}, 405),
        (("PUT", DEMO + "Echo"), {}, 405),
        (("OPTIONS", DEMO + "Echo"), {}, 405),
        (("POST", DEMO + "Echo"), {"content_type": "text/plain"}, 415),
        (("POST", DEMO + "Echo"), {"content_type": "application/grpc-web+"}, 415),
        (("POST", DEMO + "Echo"), {"content_type": ""}, 415),
        (("POST", DEMO + "Echo"), {"content_encoding": "gzip"}, 415),
    ],
)
async def test_a_refusal_is_plain_http(
    backend: ScriptedBackend, way: Way, request_line: tuple[str, str], changes: dict[str, str], status: int
) -> None:
    method, path = request_line
    async with untouched(way.gateway, backend):
        answer = await way.ask(path, ECHO, way.gateway.fields(**changes), method)
    assert answer.status == status
    assert answer.value("content-type") == "text/plain; charset=utf-8"
    assert answer.value("content-length") == str(len(answer.body))
    assert answer.value("server") == "grpcweb-gateway"
    assert answer.body.endswith(b"\n")
    assert answer.value("allow") == ("POST, OPTIONS" if status == 405 else None)
    (assert_no_cors if status == 403 else assert_cors)(answer)


@pytest.mark.parametrize("path", [DEMO + "Echo", DEMO + "Shout", "/", "/no.such.Service/Do", "//x/Y", "/a/b?q"])
async def test_a_preflight_is_answered_whatever_it_asks_for(
    gateway: RunningGateway, backend: ScriptedBackend, way: Way, path: str
) -> None:
    async with untouched(gateway, backend):
        answer = await way.ask(path, b"", [("origin", ORIGIN), *PREFLIGHT], "OPTIONS")
    assert (answer.status, answer.body) == (204, b"")
    assert answer.value("access-control-allow-origin") == ORIGIN
    assert answer.value("access-control-allow-methods") == "POST"
    assert answer.value("access-control-max-age") == "600"
    allowed = (answer.value("access-control-allow-headers") or "").split(", ")
    assert {"authorization", "content-type", "grpc-timeout", "x-grpc-web", "x-user-agent"} <= set(allowed)
    assert answer.value("access-control-allow-credentials") is None
    assert set((answer.value("vary") or "").split(", ")) >= {"Origin", "Access-Control-Request-Headers"}
    assert answer.value("content-length") is None  # RFC 9110, section 8.6: none with 204


async def test_a_foreign_preflight(gateway: RunningGateway, backend: ScriptedBackend, way: Way) -> None:
    async with untouched(gateway, backend):
        answer = await way.ask(DEMO + "Echo", b"", [("origin", "http://evil.test"), *PREFLIGHT], "OPTIONS")
    assert answer.status == 403
    assert_no_cors(answer)


# --- whole answers


async def test_a_whole_answer_byte_by_byte(gateway: RunningGateway, way: Way) -> None:
    answer = await way.ask(DEMO + "Echo", ECHO, gateway.fields())
    assert answer.body == ECHO + OK_FRAME
    names = {name for name, _ in answer.headers}
    assert len(names) == len(answer.headers)
    assert names - {b"content-length"} == {
        b"access-control-allow-origin",
        b"access-control-expose-headers",
        b"content-type",
        b"date",
        b"server",
        b"vary",
    }
    assert (b"content-length" in names) == isinstance(way, Http1Way)  # in HTTP/2, END_STREAM says it
    assert answer.value("content-type") == BINARY
    assert answer.value("server") == "grpcweb-gateway"  # and no version
    assert_cors(answer)


async def test_text(gateway: RunningGateway, way: Way) -> None:
    answer = await way.ask(DEMO + "Echo", base64.b64encode(ECHO), gateway.fields(content_type=TEXT))
    assert answer.value("content-type") == TEXT
    assert answer.grpc() == ([ECHO[5:]], Status(0), [])
    mixed = await way.ask(DEMO + "Echo", ECHO, gateway.fields(accept="application/grpc-web-text"))
    assert mixed.value("content-type") == TEXT
    assert mixed.grpc()[0] == [ECHO[5:]]
    broken = await way.ask(DEMO + "Echo", base64.b64encode(ECHO)[:-1], gateway.fields(content_type=TEXT))
    assert broken.code == 3


async def test_every_kind_of_method(gateway: RunningGateway, way: Way) -> None:
    count = message(demo_pb2.CountRequest(count=3, interval_ms=1))
    counted = (await way.ask(DEMO + "Count", count, gateway.fields())).grpc()[0]
    assert [demo_pb2.CountReply.FromString(each).number for each in counted] == [1, 2, 3]
    parts = [message(demo_pb2.EchoRequest(text=each)) for each in ("one", "two", "three")]
    (collected,) = (await way.ask(DEMO + "Collect", b"".join(parts), gateway.fields())).grpc()[0]
    assert demo_pb2.CollectReply.FromString(collected).text == "one two three"
    chat = await way.ask(DEMO + "Chat", b"".join(parts), gateway.fields())
    assert chat.grpc()[0] == [part[5:] for part in parts]


async def test_what_the_backend_is_told_of_the_client(gateway: RunningGateway, way: Way) -> None:
    fields = gateway.fields(("cookie", "session=1"), ("te", "trailers"), ("x-mine", "1"))
    answer = await way.ask(DEMO + "WhoAmI", message(b""), fields)
    seen = demo_pb2.WhoAmIReply.FromString(answer.grpc()[0][0])
    assert (seen.subject, seen.gateway) == ("reader@demo", "DNS:gateway.demo.internal")
    encrypted = isinstance(way, Http2Way) and way.tls
    assert seen.metadata["x-forwarded-proto"] == ("https" if encrypted else "http")
    assert seen.metadata["x-forwarded-host"] == "gateway.test"
    assert seen.metadata["x-forwarded-for"] == "127.0.0.1"
    assert seen.metadata["x-mine"] == "1"
    assert seen.metadata.keys().isdisjoint({"cookie", "te", "host", ":authority"})


# --- status and CORS, whatever went wrong


@pytest.mark.parametrize(
    ("call", "code"),
    [
        ((DEMO + "Echo", ECHO, {}), 0),
        ((DEMO + "Echo", ECHO, {"authorization": None}), 16),
        ((DEMO + "Echo", ECHO, {"authorization": "Bearer x"}), 16),
        ((DEMO + "Shout", ECHO, {}), 7),
        (("/no.such.Service/Do", ECHO, {}), 12),
        ((DEMO + "Echo", b"\xff", {}), 3),
        ((DEMO + "Echo", ECHO, {"x_y": "1"}), 3),
        ((DEMO + "Echo", ECHO, {"grpc-timeout": "5"}), 3),
        ((DEMO + "Echo", ECHO, {"grpc-timeout": "0n"}), 4),
        ((DEMO + "Fail", message(demo_pb2.FailRequest(code=9, message="no")), {}), 9),
        ((SCRIPT + "Refuse", b"", {}), 5),
    ],
)
@in_both_forms
async def test_every_answer_ends_with_one_status_and_can_be_read_by_the_page(
    gateway: RunningGateway, way: Way, call: tuple[str, bytes, dict[str, str | None]], code: int, kind: str
) -> None:
    path, body, changes = call
    before = gateway.backend_calls
    fields = dict(gateway.fields(content_type=kind)) | changes
    sent = [(name, value) for name, value in fields.items() if value is not None]
    answer = await way.ask(path, written(body, kind), sent)
    assert answer.code == code
    assert_cors(answer)
    plain = untext(answer.body) if kind == TEXT else answer.body
    assert plain.count(b"grpc-status:") == 1
    assert answer.value("grpc-status") is None
    exposed = (answer.value("access-control-expose-headers") or "").split(", ")
    assert ("www-authenticate" in exposed) == (code in (7, 16))
    if code in (7, 12, 16):  # what the gate refuses
        assert gateway.backend_calls == before


async def test_details_pass(gateway: RunningGateway, way: Way) -> None:
    body = message(demo_pb2.FailRequest(code=9, message="no", detail="WHY"))
    answer = await way.ask(DEMO + "Fail", body, gateway.fields())
    _, status, trailing = answer.grpc()
    assert (status.code, status.message, trailing) == (9, "no", [])
    assert b"WHY" in (status.details or b"")
    assert b"=" not in answer.body.partition(b"grpc-status-details-bin:")[2]


@pytest.mark.parametrize("code", range(1, 17))
async def test_every_code_passes(gateway: RunningGateway, way: Way, code: int) -> None:
    body = message(demo_pb2.FailRequest(code=code, message=f"code {code}"))
    _, status, _ = (await way.ask(DEMO + "Fail", body, gateway.fields())).grpc()
    assert (status.code, status.message) == (code, f"code {code}")


@in_both_forms
async def test_a_deadline_ends_a_stream_and_keeps_its_messages(
    gateway: RunningGateway, way: Way, steps: Steps, kind: str
) -> None:
    fields = gateway.fields(("grpc-timeout", "200m"), content_type=kind)
    steps.replies.put_nowait(b"first")
    started = time.monotonic()
    messages, status, _ = (await way.ask(SCRIPT + "Steps", b"", fields)).grpc()
    assert (messages, status.code) == ([b"first"], 4)
    assert 0.19 < time.monotonic() - started < PATIENCE
