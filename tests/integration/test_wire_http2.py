"""What browsers and native clients can see of the gateway over HTTP/2: TLS with ALPN, plaintext with the preface."""

import asyncio
import base64
import contextlib
import gc
import json
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
import pytest_asyncio

from gateway.demo.pb import demo_pb2, demo_pb2_grpc
from gateway.front import http2 as front
from gateway.front import switch
from gateway.front.http2 import CONNECTION_WINDOW
from gateway.front.pages import static_pages
from gateway.http2 import MAX_STREAMS, STREAM_WINDOW
from gateway.protocol import text
from gateway.protocol.metadata import Headers
from gateway.protocol.status import Status
from tests.support import http2, wire
from tests.support.backends import SCRIPT, Requests, ScriptedBackend, scripted
from tests.support.certificates import authority, leaf, write_pair
from tests.support.frames import message, take_apart
from tests.support.gateway import BINARY, DEMO, ORIGIN, TEXT, Change, RunningGateway, eventually, running
from tests.support.http2 import Client, ErrorCodes, GoAway, SettingCodes, Stream, head

pytestmark = pytest.mark.asyncio(loop_scope="module")

ECHO = message(demo_pb2.EchoRequest(text="hello"))
OK_FRAME = b"\x80\x00\x00\x00\x0fgrpc-status:0\r\n"
NATIVE = "application/grpc+proto"
PAGE = "<!doctype html><p>hello"
CORS_NAMES = b"grpc-status, grpc-message, grpc-status-details-bin"
PREFLIGHT = {"access-control-request-method": "POST", "access-control-request-headers": "x-grpc-web,content-type"}


# --- what stands behind


async def tell(requests: Requests, context: Any) -> AsyncIterator[bytes]:
    """Everything that arrived, as JSON."""
    messages = [base64.b64encode(each).decode() async for each in requests]
    yield json.dumps({"messages": messages, "metadata": list(map(list, context.invocation_metadata()))}).encode()


async def flood(requests: Requests, context: Any) -> AsyncIterator[bytes]:
    """As much as is taken."""
    while True:
        yield bytes(50_000)


async def deaf(requests: Requests, context: Any) -> AsyncIterator[bytes]:
    """Takes nothing."""
    await asyncio.Event().wait()
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
        backend.methods |= {"Tell": tell, "Flood": flood, "Deaf": deaf}
        yield backend


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(backend: ScriptedBackend, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningGateway]:
    folder = tmp_path_factory.mktemp("pages")
    (folder / "index.html").write_text(PAGE)
    async with running(with_script(backend), pages=static_pages(folder)) as gateway:
        yield gateway


def with_script(backend: ScriptedBackend, **limits: Any) -> Change:
    def change(configuration: dict[str, Any]) -> None:
        configuration["upstreams"]["script"] = backend.section()
        configuration["authorization"]["default"] = "authenticated"
        configuration["limits"] = limits

    return change


@pytest.fixture
def steps(backend: ScriptedBackend) -> Steps:
    backend.methods["Steps"] = steps = Steps()
    return steps


# --- how it is spoken to


@dataclass(frozen=True)
class Way:
    """One of the gateway's listeners, and how to connect to it."""

    gateway: RunningGateway
    tls: bool

    @property
    def port(self) -> int:
        return int(self.gateway.gateway.urls[int(self.tls)].rpartition(":")[2])

    def connect(self, **options: Any) -> contextlib.AbstractAsyncContextManager[Client]:
        trust = self.gateway.world.pki.ca if self.tls else None
        return http2.connect(self.port, tls=trust, **{"update_windows": True, **options})

    def head(self, path: str, *more: tuple[str, str], method: str = "POST", **changes: str) -> Headers:
        """A browser's request, with a token unless `authorization` says otherwise."""
        fields = {name: value for name, value in self.gateway.headers(**changes).items() if value}
        return head(path, *fields.items(), *more, method=method, scheme="https" if self.tls else "http")

    async def ask(self, path: str, body: bytes = ECHO, *more: tuple[str, str], **options: Any) -> Stream:
        """One request on a connection of its own, and its whole answer."""
        async with self.connect() as client:
            return await (await client.request(self.head(path, *more, **options), body)).response()


@pytest.fixture(params=["tls", "plaintext"])
def way(request: pytest.FixtureRequest, gateway: RunningGateway) -> Way:
    return Way(gateway, request.param == "tls")


@contextlib.asynccontextmanager
async def untouched(gateway: RunningGateway, backend: ScriptedBackend) -> AsyncIterator[None]:
    """No call reaches a backend inside."""
    before = gateway.backend_calls, backend.calls.total()
    yield
    assert (gateway.backend_calls, backend.calls.total()) == before


def value(stream: Stream, name: str) -> str | None:
    """Of a header of the response that may stand once."""
    values = [value.decode() for each, value in stream.headers if each == name.encode()]
    assert len(values) < 2, f"{name} is repeated: {values}"
    return values[0] if values else None


def web(stream: Stream) -> tuple[list[bytes], Status, Headers]:
    """A gRPC-Web answer, taken apart."""
    assert (stream.status, stream.trailers, stream.reset) == (200, None, None)
    body = stream.data
    if "-text" in (value(stream, "content-type") or ""):
        decoder = text.TextDecoder()
        body = decoder.feed(body)
        decoder.end()
    return take_apart(body)


def assert_cors(stream: Stream) -> None:
    assert value(stream, "access-control-allow-origin") == ORIGIN
    assert (value(stream, "access-control-expose-headers") or "").encode().startswith(CORS_NAMES)
    assert value(stream, "vary") == "Origin"


# --- the connection


async def test_what_the_gateway_takes(way: Way) -> None:
    async with way.connect() as client:
        assert client.settings[SettingCodes.MAX_CONCURRENT_STREAMS] == MAX_STREAMS == 128
        assert client.settings[SettingCodes.INITIAL_WINDOW_SIZE] == STREAM_WINDOW == 1024 * 1024
        stream = await client.request(way.head(DEMO + "Echo"), ECHO)
        await stream.response()
        assert client.h2.outbound_flow_control_window == CONNECTION_WINDOW - len(ECHO)
        assert CONNECTION_WINDOW == 16 * 1024 * 1024
        await client.ping()


@pytest.mark.parametrize(("offered", "chosen"), [(["http/1.1", "h2"], "h2"), (["http/1.1"], "http/1.1"), ([], None)])
async def test_alpn_chooses(gateway: RunningGateway, offered: list[str], chosen: str | None) -> None:
    context = ssl.create_default_context(cafile=gateway.world.pki.ca)
    if offered:
        context.set_alpn_protocols(offered)
    async with wire.connect(Way(gateway, True).port, context=context) as line:
        assert line.writer.get_extra_info("ssl_object").selected_alpn_protocol() == chosen
        if chosen == "h2":
            await line.send(switch.PREFACE + http2.frame(http2.SETTINGS, 0, 0))
            async with asyncio.timeout(wire.PATIENCE):
                assert (await line.reader.readexactly(9))[3] == http2.SETTINGS
        else:
            ask = wire.request(DEMO + "Echo", list(gateway.headers().items()), ECHO)
            assert (await line.ask(ask)).code == 0


async def test_on_a_plaintext_listener_the_preface_chooses(gateway: RunningGateway) -> None:
    async with wire.connect(gateway.port) as line:
        for byte in switch.PREFACE + http2.frame(http2.SETTINGS, 0, 0):
            await line.send(bytes((byte,)))
        async with asyncio.timeout(wire.PATIENCE):
            assert (await line.reader.readexactly(9))[3] == http2.SETTINGS
    async with wire.connect(gateway.port) as line:
        await line.send(b"P")  # so does the preface
        await asyncio.sleep(0.01)
        ask = wire.request(DEMO + "Echo", list(gateway.headers().items()), ECHO)
        assert (await line.ask(ask[1:])).code == 0


async def test_http2_can_be_left_out(backend: ScriptedBackend) -> None:
    def change(configuration: dict[str, Any]) -> None:
        for listener in configuration["listeners"]:
            listener["http2"] = False

    async with running(change) as gateway:
        context = ssl.create_default_context(cafile=gateway.world.pki.ca)
        for offered, chosen in ((["h2", "http/1.1"], "http/1.1"), (["h2"], None)):
            context.set_alpn_protocols(offered)
            async with wire.connect(Way(gateway, True).port, context=context) as line:
                assert line.writer.get_extra_info("ssl_object").selected_alpn_protocol() == chosen
                ask = wire.request(DEMO + "Echo", list(gateway.headers().items()), ECHO)
                assert (await line.ask(ask)).code == 0
        async with wire.connect(gateway.port) as line:
            await line.send(switch.PREFACE + http2.frame(http2.SETTINGS, 0, 0))
            refused = await line.rest()
        assert refused.startswith(b"HTTP/1.1 4")


# --- refusals, preflights and pages


@pytest.mark.parametrize(
    ("request_line", "changes", "status"),
    [
        (("POST", DEMO + "Echo?x=1"), {}, 400),
        (("POST", DEMO + "Echo"), {"host": "evil.test"}, 400),
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
    way: Way, backend: ScriptedBackend, request_line: tuple[str, str], changes: dict[str, str], status: int
) -> None:
    method, path = request_line
    async with untouched(way.gateway, backend):
        answer = await way.ask(path, ECHO, method=method, **changes)
    assert (answer.status, answer.ended, answer.trailers) == (status, True, None)
    assert value(answer, "content-type") == "text/plain; charset=utf-8"
    assert value(answer, "content-length") == str(len(answer.data))
    assert value(answer, "server") == "grpcweb-gateway"
    assert answer.data.endswith(b"\n")
    if status == 403:
        assert value(answer, "vary") == "Origin"
        assert not [name for name, _ in answer.headers if name.startswith(b"access-control-")]
    elif "host" not in changes:
        assert_cors(answer)
    if status == 405:
        assert value(answer, "allow") == "POST, OPTIONS"


async def test_headers_that_may_stand_once(way: Way, backend: ScriptedBackend) -> None:
    async with untouched(way.gateway, backend):
        for repeated in (("origin", ORIGIN), ("content-type", BINARY)):
            answer = await way.ask(DEMO + "Echo", ECHO, repeated)
            told = None if repeated[0] == "origin" else ORIGIN
            assert (answer.status, value(answer, "access-control-allow-origin")) == (400, told)


async def test_a_refusal_does_not_wait_for_the_body(gateway: RunningGateway) -> None:
    way = Way(gateway, True)
    async with way.connect() as client:
        stream = await client.request(way.head(DEMO + "Echo", content_type="text/plain"), b"x", end=False)
        await stream.response()
        assert (stream.status, stream.ended) == (415, True)
        await client.until(lambda: stream.reset is not None)  # RFC 9113, section 8.1
        assert stream.reset == ErrorCodes.NO_ERROR
        assert (await (await client.request(way.head(DEMO + "Echo"), ECHO)).response()).status == 200


async def test_a_preflight(way: Way, backend: ScriptedBackend) -> None:
    async with untouched(way.gateway, backend), way.connect() as client:
        asked = head(DEMO + "Echo", ("origin", ORIGIN), *PREFLIGHT.items(), method="OPTIONS")
        answer = await (await client.request(asked)).response()
        assert (answer.status, answer.chunks, answer.ended) == (204, [], True)
        assert value(answer, "access-control-allow-origin") == ORIGIN
        assert value(answer, "access-control-allow-methods") == "POST"
        assert "x-grpc-web" in (value(answer, "access-control-allow-headers") or "").split(", ")
        assert value(answer, "content-length") is None
        foreign = head(DEMO + "Echo", ("origin", "http://evil.test"), *PREFLIGHT.items(), method="OPTIONS")
        refused = await (await client.request(foreign)).response()
        assert (refused.status, value(refused, "vary")) == (403, "Origin")


async def test_pages(way: Way) -> None:
    async with way.connect() as client:

        async def get(path: str, *fields: tuple[str, str], method: str = "GET") -> Stream:
            return await (await client.request(head(path, *fields, method=method))).response()

        page = await get("/?x=1")
        assert (page.status, page.data.decode()) == (200, PAGE)
        assert value(page, "content-type") == "text/html; charset=utf-8"
        assert value(page, "content-length") == str(len(PAGE))
        assert "script-src 'self'" in (value(page, "content-security-policy") or "")
        only_head = await get("/", method="HEAD")
        assert (only_head.status, only_head.chunks, only_head.ended) == (200, [], True)
        assert sorted(only_head.headers) == sorted([*page.headers[:-1], only_head.headers[-1]])
        again = await get("/", ("if-none-match", value(page, "etag") or ""))
        assert (again.status, again.chunks, value(again, "content-length")) == (304, [], None)
        assert value(again, "etag") == value(page, "etag")
        assert (await get("/nothing")).status == 404
        assert (await get("/", method="POST")).status == 404


# --- gRPC-Web


async def test_a_whole_answer_byte_by_byte(way: Way) -> None:
    answer = await way.ask(DEMO + "Echo")
    assert answer.data == ECHO + OK_FRAME
    assert answer.headers[0] == (b":status", b"200")
    assert sorted(name for name, _ in answer.headers) == [
        b":status",
        b"access-control-allow-origin",
        b"access-control-expose-headers",
        b"content-type",
        b"date",
        b"server",
        b"vary",
    ]
    assert value(answer, "content-type") == BINARY
    assert value(answer, "server") == "grpcweb-gateway"
    assert_cors(answer)


async def test_text(way: Way) -> None:
    answer = await way.ask(DEMO + "Echo", base64.b64encode(ECHO), content_type=TEXT)
    assert value(answer, "content-type") == TEXT
    assert web(answer) == ([ECHO[5:]], Status(0), [])
    mixed = await way.ask(DEMO + "Echo", ECHO, ("accept", "application/grpc-web-text"))
    assert value(mixed, "content-type") == TEXT
    assert web(mixed)[0] == [ECHO[5:]]
    broken = await way.ask(DEMO + "Echo", base64.b64encode(ECHO)[:-1], content_type=TEXT)
    assert web(broken)[1].code == 3


async def test_every_kind_of_method(way: Way) -> None:
    count = message(demo_pb2.CountRequest(count=3, interval_ms=1))
    parts = [message(demo_pb2.EchoRequest(text=each)) for each in ("one", "two", "three")]
    assert [demo_pb2.CountReply.FromString(each).number for each in web(await way.ask(DEMO + "Count", count))[0]] == [
        1,
        2,
        3,
    ]
    (collected,) = web(await way.ask(DEMO + "Collect", b"".join(parts)))[0]
    assert demo_pb2.CollectReply.FromString(collected).text == "one two three"
    assert web(await way.ask(DEMO + "Chat", b"".join(parts)))[0] == [part[5:] for part in parts]


async def test_what_the_backend_is_told_of_the_client(way: Way) -> None:
    body = message(demo_pb2.WhoAmIRequest())
    answer = await way.ask(DEMO + "WhoAmI", body, ("cookie", "session=1"), ("te", "trailers"), ("x-mine", "1"))
    seen = demo_pb2.WhoAmIReply.FromString(web(answer)[0][0])
    assert (seen.subject, seen.gateway) == ("reader@demo", "DNS:gateway.demo.internal")
    assert seen.metadata["x-forwarded-proto"] == ("https" if way.tls else "http")
    assert seen.metadata["x-forwarded-host"] == "gateway.test"
    assert seen.metadata["x-forwarded-for"] == "127.0.0.1"
    assert seen.metadata["x-mine"] == "1"
    assert seen.metadata.keys().isdisjoint({"cookie", "te", "host", ":authority"})


async def test_headers_come_before_the_first_message_and_each_message_as_it_is_sent(way: Way, steps: Steps) -> None:
    async with way.connect() as client:
        stream = await client.request(way.head(SCRIPT + "Steps"), b"")
        await stream.head()
        assert value(stream, "x-early") == "yes"
        assert not stream.chunks
        size = 0
        for reply in (b"1", b"", b"3" * 100_000):
            steps.replies.put_nowait(reply)
            size += 5 + len(reply)
            assert len(await stream.received(size)) == size
        steps.replies.put_nowait(None)
        await stream.response()
        assert [len(each) for each in web(stream)[0]] == [1, 0, 100_000]


async def test_a_stream_both_ways_message_by_message(way: Way) -> None:
    async with way.connect() as client:
        stream = await client.request(way.head(DEMO + "Chat"), end=False)
        expected = b""
        for number in range(3):
            sent = message(demo_pb2.EchoRequest(text=str(number)))
            await stream.send(sent[:3])
            await stream.send(sent[3:])
            expected += sent
            assert await stream.received(len(expected)) == expected
        await stream.end()
        await stream.response()
        assert stream.data == expected + OK_FRAME


async def test_many_calls_on_one_connection_are_not_mixed_up(way: Way) -> None:
    async with way.connect() as client:
        bodies = [message(demo_pb2.EchoRequest(text=f"call {number}")) for number in range(100)]
        streams = [await client.request(way.head(DEMO + "Echo"), body) for body in bodies]
        for stream in reversed(streams):
            await stream.response()
        assert [stream.data for stream in streams] == [body + OK_FRAME for body in bodies]
        assert way.gateway.gateway._census.connections >= 1
    await eventually(lambda: way.gateway.open_calls == 0)


async def test_refusals_by_the_gate(way: Way) -> None:
    before = way.gateway.backend_calls
    for path, changes, code in (
        (DEMO + "Echo", {"authorization": ""}, 16),
        (DEMO + "Echo", {"authorization": "Bearer rubbish"}, 16),
        (DEMO + "Shout", {}, 7),
        ("/no.such.Service/Do", {}, 12),
        (DEMO + "Echo", {"grpc_timeout": "5"}, 3),
    ):
        answer = await way.ask(path, ECHO, **changes)
        messages, status, _ = web(answer)
        assert (messages, status.code) == ([], code), path
        assert_cors(answer)
    assert way.gateway.backend_calls == before


async def test_a_deadline_ends_a_stream_and_keeps_its_messages(way: Way, steps: Steps) -> None:
    steps.replies.put_nowait(b"first")
    answer = await way.ask(SCRIPT + "Steps", b"", ("grpc-timeout", "200m"))
    messages, status, _ = web(answer)
    assert (messages, status.code) == ([b"first"], 4)


async def test_a_browser_that_cancels_ends_the_call_at_the_backend(way: Way) -> None:
    backend = way.gateway.world.backend
    async with way.connect() as client:
        endless = message(demo_pb2.CountRequest(interval_ms=60_000))
        streams = [await client.request(way.head(DEMO + "Count"), endless) for _ in range(3)]
        for stream in streams:
            await stream.received(5)
        await streams[0].cancel()
        await asyncio.wait_for(backend.wait_open(2), wire.PATIENCE)
        assert streams[1].reset is streams[2].reset is None
        assert (await (await client.request(way.head(DEMO + "Echo"), ECHO)).response()).data == ECHO + OK_FRAME
        client.wire.reset()
        await asyncio.wait_for(backend.wait_open(0), wire.PATIENCE)
    await eventually(lambda: way.gateway.open_calls == 0)


async def test_calls_leave_no_cycles_behind(way: Way) -> None:
    """The collector is set to run rarely. What it finds here is grpc's, of the backend."""
    endless = message(demo_pb2.CountRequest(interval_ms=60_000))
    async with way.connect() as client:
        await way.ask(DEMO + "Echo")
        gc.collect()
        gc.disable()
        try:
            gc.set_debug(gc.DEBUG_SAVEALL)
            for path, body, changes in (
                ("Echo", ECHO, {}),
                ("Echo", ECHO, {"content_type": NATIVE}),
                ("Echo", ECHO, {"authorization": "Bearer x"}),
                ("Echo", ECHO[:-1], {}),
                ("Count", endless, {"grpc_timeout": "50m"}),
                ("Fail", message(demo_pb2.FailRequest(code=5)), {}),
            ):
                await (await client.request(way.head(DEMO + path, **changes), body)).response()
            cancelled = await client.request(way.head(DEMO + "Count"), endless)
            await cancelled.received(5)
            await cancelled.cancel()
            await eventually(lambda: way.gateway.open_calls == 0)
            gc.collect()
            found = {f"{type(each).__module__}.{type(each).__qualname__}" for each in gc.garbage}
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()
    assert not [name for name in found if name.startswith("gateway.") and not name.startswith("gateway.demo.")]


# --- flow control


async def test_a_reader_that_takes_nothing_holds_the_backend_back(way: Way, backend: ScriptedBackend) -> None:
    backend.sent = 0
    window = {SettingCodes.INITIAL_WINDOW_SIZE: 60_000}  # the connection's is 65,535
    async with way.connect(update_windows=False, settings=window) as client:
        stream = await client.request(way.head(SCRIPT + "Flood"), b"")
        quick = await client.request(way.head(DEMO + "Echo"), ECHO)
        assert (await quick.response()).data == ECHO + OK_FRAME  # the other stream moves
        await stream.received(60_000)
        sent = await standstill(backend)
        assert sent * 50_000 < 4 * 1024 * 1024  # what windows, buffers and grpc-core hold, and no more
        for _ in range(40):
            await client.open_window(200_000)
            await stream.open_window(200_000)
        await stream.received(8_000_000)
        assert backend.sent > sent + 100
    await eventually(lambda: backend.open == 0)


async def standstill(backend: ScriptedBackend) -> int:
    """Messages that were sent once nothing moves any more."""
    async with asyncio.timeout(wire.PATIENCE):
        while True:
            before = backend.sent
            await asyncio.sleep(0.15)
            if backend.sent == before:
                return before


async def test_a_backend_that_takes_nothing_holds_the_browser_back(way: Way, backend: ScriptedBackend) -> None:
    async with way.connect() as client:
        stream = await client.request(way.head(SCRIPT + "Deaf"), end=False)
        part = message(bytes(16_000))
        sent = 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                while sent < 64 * 1024 * 1024:
                    await stream.send(part)
                    sent += len(part)
        assert sent + len(part) >= STREAM_WINDOW
        assert sent < 8 * 1024 * 1024
        assert stream.room == 0
        quick = await client.request(way.head(DEMO + "Echo"), ECHO)
        assert (await quick.response()).data == ECHO + OK_FRAME
        await stream.cancel()
    await eventually(lambda: backend.open == 0)


# --- native gRPC


async def test_a_native_answer_byte_by_byte(way: Way) -> None:
    answer = await way.ask(DEMO + "Echo", ECHO, ("te", "trailers"), content_type=NATIVE, origin="")
    assert answer.data == ECHO
    assert answer.trailers == [(b"grpc-status", b"0")]
    assert sorted(name for name, _ in answer.headers) == [b":status", b"content-type", b"date", b"server", b"vary"]
    assert value(answer, "content-type") == NATIVE
    refused = await way.ask(DEMO + "Echo", ECHO, content_type="application/grpc", origin="", authorization="")
    assert refused.data == b""
    assert value(refused, "grpc-status") == "16"  # Trailers-Only
    assert refused.trailers is None
    assert value(refused, "www-authenticate") == "Bearer"
    assert value(refused, "content-type") == "application/grpc"


async def test_native_calls_are_of_http2_alone(gateway: RunningGateway) -> None:
    ask = wire.request(DEMO + "Echo", list(gateway.headers(content_type=NATIVE).items()), ECHO)
    assert (await gateway.ask(ask)).status == 415


@contextlib.asynccontextmanager
async def native(
    gateway: RunningGateway, *, tls: bool = True, pair: tuple[Path, Path] | None = None, **options: Any
) -> AsyncIterator[grpc.aio.Channel]:
    """A channel of grpc's own client."""
    target = f"localhost:{Way(gateway, tls).port}"
    if not tls:
        channel = grpc.aio.insecure_channel(target, **options)
    else:
        certificate, key = (path.read_bytes() for path in pair) if pair else (None, None)
        credentials = grpc.ssl_channel_credentials(gateway.world.pki.ca.read_bytes(), key, certificate)
        channel = grpc.aio.secure_channel(target, credentials, **options)
    async with channel:
        yield channel


def bearer(gateway: RunningGateway, role: str = "reader") -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {gateway.token(role)}"),)


@pytest.mark.parametrize("tls", [True, False])
async def test_grpcs_own_client_calls_every_kind_of_method(gateway: RunningGateway, tls: bool) -> None:
    async with native(gateway, tls=tls) as channel:
        stub: Any = demo_pb2_grpc.DemoStub(channel)  # type: ignore[no-untyped-call]
        token = bearer(gateway)
        assert (await stub.Echo(demo_pb2.EchoRequest(text="grüß dich"), metadata=token)).text == "grüß dich"
        large = demo_pb2.EchoRequest(payload=bytes(range(256)) * 12 * 1024)
        assert (await stub.Echo(large, metadata=token)).payload == large.payload
        counted = [reply.number async for reply in stub.Count(demo_pb2.CountRequest(count=5), metadata=token)]
        assert counted == [1, 2, 3, 4, 5]
        asks = [demo_pb2.EchoRequest(text=str(number)) for number in range(20)]
        collected = await stub.Collect(iter(asks), metadata=token)
        assert (collected.count, collected.text) == (20, " ".join(map(str, range(20))))
        chat = stub.Chat(metadata=token)
        for ask in asks:
            await chat.write(ask)
            assert (await chat.read()).text == ask.text
        await chat.done_writing()
        assert await chat.read() is grpc.aio.EOF
        assert await chat.code() is grpc.StatusCode.OK
        who = await stub.WhoAmI(demo_pb2.WhoAmIRequest(), metadata=(*token, ("x-mine", "1"), ("x-raw-bin", b"\0\xff")))
        assert who.metadata["x-mine"] == "1"
        assert who.metadata["x-raw-bin"] == "AP8="
        assert who.metadata["x-forwarded-proto"] == ("https" if tls else "http")


async def test_grpcs_own_client_is_told_what_went_wrong(gateway: RunningGateway) -> None:
    async with native(gateway) as channel:
        stub: Any = demo_pb2_grpc.DemoStub(channel)  # type: ignore[no-untyped-call]
        before = gateway.backend_calls
        unknown: Any = channel.unary_unary("/no.such.Service/Do")
        ask, token = demo_pb2.EchoRequest(), bearer(gateway)
        for call, code in (
            (stub.Echo(ask), grpc.StatusCode.UNAUTHENTICATED),
            (stub.Echo(ask, metadata=(("authorization", "Bearer x"),)), grpc.StatusCode.UNAUTHENTICATED),
            (stub.Shout(ask, metadata=token), grpc.StatusCode.PERMISSION_DENIED),
            (unknown(b"", metadata=token), grpc.StatusCode.UNIMPLEMENTED),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await call
            assert refused.value.code() is code
        assert gateway.backend_calls == before
        failure = demo_pb2.FailRequest(code=9, message="schön: 100 %", detail="NOT_READY")
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await stub.Fail(failure, metadata=bearer(gateway))
        assert failed.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert failed.value.details() == "schön: 100 %"
        trailing = dict(failed.value.trailing_metadata())
        assert b"NOT_READY" in trailing["grpc-status-details-bin"]


async def test_grpcs_own_client_and_deadlines(gateway: RunningGateway) -> None:
    async with native(gateway) as channel:
        stub: Any = demo_pb2_grpc.DemoStub(channel)  # type: ignore[no-untyped-call]
        who = await stub.WhoAmI(demo_pb2.WhoAmIRequest(), metadata=bearer(gateway), timeout=7.0)
        assert 6.0 < float(who.deadline) < 7.1
        stream = stub.Count(demo_pb2.CountRequest(interval_ms=60_000), metadata=bearer(gateway), timeout=0.3)
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            _ = [reply async for reply in stream]
        assert ended.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await asyncio.wait_for(gateway.world.backend.wait_open(0), wire.PATIENCE)


async def test_grpcs_own_client_cancels(gateway: RunningGateway) -> None:
    async with native(gateway) as channel:
        stub: Any = demo_pb2_grpc.DemoStub(channel)  # type: ignore[no-untyped-call]
        stream = stub.Count(demo_pb2.CountRequest(interval_ms=60_000), metadata=bearer(gateway))
        assert (await stream.read()).number == 1
        stream.cancel()
        await asyncio.wait_for(gateway.world.backend.wait_open(0), wire.PATIENCE)
        await eventually(lambda: gateway.open_calls == 0)
        assert (await stub.Echo(demo_pb2.EchoRequest(text="x"), metadata=bearer(gateway))).text == "x"


async def test_grpcs_own_client_may_compress(gateway: RunningGateway, backend: ScriptedBackend) -> None:
    async with native(gateway, compression=grpc.Compression.Gzip) as channel:
        sent = b"m" * 10_000
        tell_it: Any = channel.stream_unary(SCRIPT + "Tell")
        told = json.loads(await tell_it(iter([sent]), metadata=bearer(gateway)))
        assert base64.b64decode(told["messages"][0]) == sent
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await tell_it(iter([bytes(5 * 1024 * 1024)]), metadata=bearer(gateway))  # of 5 kB, as it travels
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_certificate_opens_what_rules_name_it_for(backend: ScriptedBackend, tmp_path: Path) -> None:
    signer = authority("clients")
    (tmp_path / "clients.pem").write_bytes(signer.pem)
    ops, other = (write_pair(tmp_path, *leaf(signer, name), stem=name) for name in ("ops.internal", "other.internal"))

    def change(configuration: dict[str, Any]) -> None:
        with_script(backend)(configuration)
        configuration["listeners"][1]["tls"] |= {
            "client_ca": str(tmp_path / "clients.pem"),
            "client_auth": "optional",
        }
        del configuration["authorization"]["descriptors"]
        rule = {"methods": [SCRIPT + "Tell"], "roles": ["reader"], "identities": ["DNS:ops.internal"]}
        configuration["authorization"]["rules"].append(rule)

    async with running(change) as gateway:

        async def code(pair: tuple[Path, Path] | None, metadata: Any = ()) -> str:
            async with native(gateway, pair=pair) as channel:
                tell_it: Any = channel.stream_unary(SCRIPT + "Tell")
                try:
                    await tell_it(iter([b""]), metadata=metadata)
                except grpc.aio.AioRpcError as error:
                    return error.code().name
                return "OK"

        assert await code(ops) == "OK"
        assert await code(other) == "UNAUTHENTICATED"
        assert await code(None) == "UNAUTHENTICATED"
        assert await code(other, bearer(gateway)) == "OK"
        assert await code(ops, (("authorization", "Bearer x"),)) == "UNAUTHENTICATED"


# --- how many, and how long


async def test_connections_are_counted_those_included_that_say_nothing(backend: ScriptedBackend) -> None:
    async with running(with_script(backend, max_connections=3)) as gateway:
        secure, plain = Way(gateway, True), Way(gateway, False)
        census = gateway.gateway._census
        async with contextlib.AsyncExitStack() as stack:
            silent = [await stack.enter_async_context(wire.connect(plain.port)) for _ in range(2)]
            client = await stack.enter_async_context(secure.connect())
            await eventually(lambda: census.connections == 3)
            async with wire.connect(plain.port) as refused:
                assert await refused.rest() == b""
            context = ssl.create_default_context(cafile=gateway.world.pki.ca)
            context.set_alpn_protocols(["h2"])
            async with wire.connect(secure.port, context=context) as refused:
                goodbye = await refused.rest()
                assert goodbye.endswith(http2.frame(http2.GOAWAY, 0, 0, bytes(8)))
            assert (await (await client.request(secure.head(DEMO + "Echo"), ECHO)).response()).status == 200
            silent[0].reset()
            await eventually(lambda: census.connections == 2)
            async with plain.connect() as other:  # its preface takes no second place
                assert (await (await other.request(plain.head(DEMO + "Echo"), ECHO)).response()).status == 200
                assert census.connections == 3
        await eventually(lambda: census.connections == 0)


async def test_calls_at_once_are_counted(backend: ScriptedBackend) -> None:
    async with running(with_script(backend, max_calls=2)) as gateway:
        plain = Way(gateway, False)
        async with plain.connect() as client:
            endless = message(demo_pb2.CountRequest(interval_ms=60_000))
            streams = [await client.request(plain.head(DEMO + "Count"), endless) for _ in range(2)]
            for stream in streams:
                await stream.received(5)
            full = await (await client.request(plain.head(DEMO + "Echo"), ECHO)).response()
            assert web(full)[1].code == 8
            await streams[0].cancel()
            await asyncio.wait_for(gateway.world.backend.wait_open(1), wire.PATIENCE)
            assert (await (await client.request(plain.head(DEMO + "Echo"), ECHO)).response()).data == ECHO + OK_FRAME


async def test_who_says_nothing_is_let_go(backend: ScriptedBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(switch, "FIRST_BYTES_TIMEOUT", 0.3)
    monkeypatch.setattr(front, "HANDSHAKE_TIMEOUT", 0.3)
    monkeypatch.setattr(front, "IDLE_TIMEOUT", 0.6)
    async with running(with_script(backend)) as gateway:
        secure, plain = Way(gateway, True), Way(gateway, False)
        context = ssl.create_default_context(cafile=gateway.world.pki.ca)
        context.set_alpn_protocols(["h2"])

        async def says_nothing(tls: bool) -> bytes:
            async with wire.connect(Way(gateway, tls).port, context=context if tls else None) as line:
                return await line.rest()

        async def says_only_the_preface(tls: bool) -> bytes:
            async with wire.connect(Way(gateway, tls).port, context=context if tls else None) as line:
                await line.send(switch.PREFACE)
                return await line.rest()

        async def idles(way: Way) -> GoAway | None:
            async with way.connect() as client:
                stream = await (await client.request(way.head(DEMO + "Echo"), ECHO)).response()
                assert stream.data == ECHO + OK_FRAME
                await client.until_closed()
                return client.goaway

        async def waits_for_a_stream(way: Way) -> None:
            async with way.connect() as client:
                body = message(demo_pb2.CountRequest(count=2, interval_ms=2000))
                stream = await client.request(way.head(DEMO + "Count"), body)
                assert len(web(await stream.response())[0]) == 2

        quiet, idle, _ = await asyncio.gather(
            asyncio.gather(*(each(tls) for each in (says_nothing, says_only_the_preface) for tls in (False, True))),
            asyncio.gather(idles(plain), idles(secure)),
            waits_for_a_stream(secure),
        )
        goodbye = http2.frame(http2.GOAWAY, 0, 0, bytes(8))
        assert quiet[0] == b""  # nobody knows yet what it speaks
        assert [each.endswith(goodbye) for each in quiet[1:]] == [True] * 3
        assert list(idle) == [GoAway(1, ErrorCodes.NO_ERROR, b"")] * 2


async def test_a_silent_client_with_a_stream_is_asked_whether_it_is_there(
    backend: ScriptedBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(front, "PING_INTERVAL", 0.2)
    monkeypatch.setattr("gateway.http2.wire.PING_TIMEOUT", 0.5)
    async with running(with_script(backend)) as gateway:
        plain = Way(gateway, False)
        endless = message(demo_pb2.CountRequest(interval_ms=60_000))
        async with plain.connect() as client, plain.connect() as dead:
            streams = [await each.request(plain.head(DEMO + "Count"), endless) for each in (client, dead)]
            for stream in streams:
                await stream.received(5)
            dead.wire.stop_reading()  # and so it answers nothing
            await asyncio.wait_for(gateway.world.backend.wait_open(1), wire.PATIENCE)
            assert not client.closed
            await asyncio.sleep(1.1)  # another question
            assert not client.closed
            assert streams[0].reset is None


# --- the end


async def test_a_drain_finishes_what_runs_and_refuses_what_is_new(backend: ScriptedBackend) -> None:
    async with running(with_script(backend)) as gateway:
        secure, plain = Way(gateway, True), Way(gateway, False)
        async with secure.connect() as one, plain.connect() as idle, wire.connect(plain.port) as silent:
            short = message(demo_pb2.CountRequest(count=30, interval_ms=50))
            running_stream = await one.request(secure.head(DEMO + "Count"), short)
            await running_stream.received(5)
            draining = asyncio.create_task(gateway.gateway.drain())
            await one.until(lambda: one.goaway is not None)
            assert one.goaway == GoAway(2**31 - 1, ErrorCodes.NO_ERROR, b"")
            on_its_way = await one.request(secure.head(DEMO + "Echo"), ECHO)
            assert (await on_its_way.response()).data == ECHO + OK_FRAME
            await one.until(lambda: one.goaway == GoAway(on_its_way.id, ErrorCodes.NO_ERROR, b""))
            refused = await one.request(secure.head(DEMO + "Echo"), ECHO)
            await idle.until_closed()
            assert idle.goaway is not None
            await running_stream.response()
            assert len(web(running_stream)[0]) == 30
            assert not refused.headers
            await one.until_closed()
            await asyncio.wait_for(draining, wire.PATIENCE)
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", plain.port)
            await gateway.gateway.stop()
            assert await silent.rest() == b""


async def test_a_drain_ends_what_does_not_finish(backend: ScriptedBackend) -> None:
    def change(configuration: dict[str, Any]) -> None:
        with_script(backend)(configuration)
        configuration["drain"] = "300ms"

    async with running(change) as gateway:
        secure = Way(gateway, True)
        async with secure.connect() as client:
            endless = message(demo_pb2.CountRequest(interval_ms=60_000))
            streams = [
                await client.request(secure.head(DEMO + "Count", content_type=kind), endless)
                for kind in (BINARY, NATIVE)
            ]
            for stream in streams:
                await stream.received(5)
            await asyncio.wait_for(gateway.gateway.drain(), wire.PATIENCE)
            for stream in streams:
                await stream.response()
            assert web(streams[0])[1].code == 14
            assert dict(streams[1].trailers or [])[b"grpc-status"] == b"14"
            await gateway.world.backend.wait_open(0)
            await client.until_closed()
