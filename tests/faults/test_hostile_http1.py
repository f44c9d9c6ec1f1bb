"""A hostile peer over HTTP/1.1: nothing breaks, nothing is left behind, nobody else notices, nothing is given away."""

import asyncio
import gzip
import logging
import ssl
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from gateway.demo.pb import demo_pb2
from gateway.front import connection as front_connection
from gateway.front.reception import Reception
from tests.support.backends import SCRIPT, Requests, ScriptedBackend, scripted
from tests.support.frames import message, take_apart
from tests.support.gateway import DEMO, RunningGateway, eventually, running
from tests.support.key_server import KeyServer, key_server
from tests.support.wire import Wire, chunked, connect, request

pytestmark = pytest.mark.asyncio(loop_scope="module")

STALL = 0.5  # seconds: body_stall
ECHO = message(demo_pb2.EchoRequest(text="hello"))
CANARY = "zqxjk"  # in everything hostile, and in no answer
BYE = b"0\r\n\r\n"

Leave = Callable[[Wire], object]


async def silent(requests: Requests, context: Any) -> AsyncIterator[bytes]:
    """Neither reads nor replies."""
    await asyncio.Event().wait()
    yield b""


async def deaf(requests: Requests, context: Any) -> AsyncIterator[bytes]:
    """Says that it is there, and reads nothing."""
    await context.send_initial_metadata(())
    await asyncio.Event().wait()
    yield b""


async def flood(requests: Requests, context: Any) -> AsyncIterator[bytes]:
    while True:
        yield bytes(50_000)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def backend() -> AsyncIterator[ScriptedBackend]:
    async with scripted() as backend:
        backend.methods |= {"Silent": silent, "Deaf": deaf, "Flood": flood}
        yield backend


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(backend: ScriptedBackend) -> AsyncIterator[RunningGateway]:
    def change(configuration: dict[str, Any]) -> None:
        configuration["upstreams"]["script"] = backend.section()
        configuration["authorization"]["default"] = "authenticated"
        configuration["limits"] = {"body_stall": f"{int(STALL * 1000)}ms"}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(front_connection, "PATIENCE", 1.0)
        async with running(change) as gateway:
            await ask_echo(gateway)
            yield gateway


async def ask_echo(gateway: RunningGateway) -> None:
    assert (await gateway.ask(request(DEMO + "Echo", fields(gateway), ECHO))).grpc()[0] == [ECHO[5:]]


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def defects(
    gateway: RunningGateway, backend: ScriptedBackend, caplog: pytest.LogCaptureFixture
) -> AsyncIterator[list[str]]:
    """After every test: no call, task or stream is left, nothing was logged as a defect, and calls go on.

    The list is of log events that a test brings about on purpose.
    """
    tasks = len(asyncio.all_tasks())
    expected: list[str] = []
    with capture_logs() as events:
        yield expected
        await eventually(lambda: gateway.open_calls == 0 and backend.open + gateway.world.backend.open_streams == 0)
        await eventually(lambda: len(asyncio.all_tasks()) <= tasks)
        await ask_echo(gateway)
    assert [event for event in events if event["log_level"] == "error" and event["event"] not in expected] == []
    loud = [each for each in caplog.records if each.levelno >= logging.ERROR and not each.name.startswith("grpc")]
    assert loud == []
    assert CANARY not in str([event for event in events if event["event"] not in expected])


Pairs = list[tuple[str, str]]


def fields(gateway: RunningGateway, *more: tuple[str, str], role: str | None = "reader", **changes: str) -> Pairs:
    return [*gateway.headers(role, **changes).items(), *more]


def arrived(gateway: RunningGateway, backend: ScriptedBackend) -> int:
    return gateway.backend_calls + backend.calls.total()


def assert_gives_nothing_away(raw: bytes) -> None:
    text = raw.decode("latin-1").lower()
    for clue in (CANARY, "traceback", "aiohttp", "python", "llhttp", "error:", "exception", "127.0.0.1"):
        assert clue not in text, raw
    assert text.count("\r\nserver: ") == text.count("\r\nserver: grpcweb-gateway\r\n")


def idle(gateway: RunningGateway) -> bytes:
    """A stream that sends one message and then nothing."""
    return request(DEMO + "Count", fields(gateway), message(demo_pb2.CountRequest(interval_ms=600_000)))


# --- requests that are none


LENGTH = b"Content-Length: %d\r\n" % len(ECHO)
CHUNKED = b"Transfer-Encoding: chunked\r\n"
CHUNKS = chunked(ECHO) + BYE
CANARY_LINE = f"x-{CANARY}: {CANARY}\r\n".encode()


def raw(
    more: bytes = LENGTH,
    body: bytes = ECHO,
    *,
    line: bytes = b"POST /demo.v1.Demo/Echo HTTP/1.1",
    host: bytes = b"Host: gateway.test\r\n",
) -> Callable[[bytes], bytes]:
    """A request in which one thing is wrong; it is given a good one's headers, without host and length."""
    return lambda headers: line + b"\r\n" + host + headers + CANARY_LINE + more + b"\r\n" + body


MALFORMED = {
    "length and chunks": raw(LENGTH + CHUNKED, CHUNKS),
    "chunks and length": raw(CHUNKED + LENGTH, CHUNKS),
    "two lengths": raw(LENGTH + LENGTH),
    "two lengths that differ": raw(LENGTH + b"Content-Length: 3\r\n"),
    "a list of lengths": raw(b"Content-Length: 12, 12\r\n"),
    "length with a sign": raw(b"Content-Length: +12\r\n"),
    "length below zero": raw(b"Content-Length: -1\r\n"),
    "length in hex": raw(b"Content-Length: 0xc\r\n"),
    "length beyond 64 bits": raw(b"Content-Length: 99999999999999999999\r\n"),
    "length empty": raw(b"Content-Length: \r\n"),
    "space before the colon": raw(b"Content-Length : 12\r\n"),
    "coding unknown": raw(b"Transfer-Encoding: zqxjk\r\n", CHUNKS),
    "coding after chunked": raw(b"Transfer-Encoding: chunked, identity\r\n", CHUNKS),
    "coding before chunked": raw(b"Transfer-Encoding: gzip, chunked\r\n", CHUNKS),
    "identity before chunked": raw(b"Transfer-Encoding: identity, chunked\r\n", CHUNKS),
    "chunked twice": raw(b"Transfer-Encoding: chunked, chunked\r\n", CHUNKS),
    "two codings": raw(CHUNKED + CHUNKED, CHUNKS),
    "coding with a vertical tab": raw(b"Transfer-Encoding: \x0bchunked\r\n", CHUNKS),
    "coding with a parameter": raw(b"Transfer-Encoding: chunked;x=1\r\n", CHUNKS),
    "chunks in HTTP/1.0": raw(CHUNKED, CHUNKS, line=b"POST /demo.v1.Demo/Echo HTTP/1.0"),
    "chunk size no number": raw(CHUNKED, b"zqxjk\r\n" + CHUNKS),
    "chunk size with a sign": raw(CHUNKED, b"-1\r\n" + CHUNKS),
    "chunk size with 0x": raw(CHUNKED, b"0xc\r\n" + ECHO + b"\r\n" + BYE),
    "chunk size beyond 64 bits": raw(CHUNKED, b"f" * 17 + b"\r\n" + CHUNKS),
    "chunk longer than it says": raw(CHUNKED, b"b\r\n" + ECHO + b"\r\n" + BYE),
    "chunk lines with bare LF": raw(CHUNKED, b"c\n" + ECHO + b"\n0\n\n"),
    "chunk extension with LF": raw(CHUNKED, b"c;a\nb\r\n" + ECHO + b"\r\n" + BYE),
    "space after the chunk size": raw(CHUNKED, b"c \r\n" + ECHO + b"\r\n" + BYE),
    "bare LF everywhere": lambda headers: raw()(headers).replace(b"\r\n", b"\n"),
    "bare LF in one line": raw(b"x-a: 1\n" + LENGTH),
    "bare CR": raw(b"x-a: 1\rx-b: 2\r\n" + LENGTH),
    "folded line": raw(b"x-a: 1\r\n 2\r\n" + LENGTH),
    "folded line with a tab": raw(b"x-a: 1\r\n\t2\r\n" + LENGTH),
    "folded first line": raw(host=b" Host: gateway.test\r\n"),
    "NUL in a value": raw(b"x-a: 1\x002\r\n" + LENGTH),
    "NUL in a name": raw(b"x\0a: 1\r\n" + LENGTH),
    "NUL in the path": raw(line=b"POST /demo.v1.Demo/Echo\0 HTTP/1.1"),
    "control character in a value": raw(b"x-a: 1\x012\r\n" + LENGTH),
    "DEL in a value": raw(b"x-a: 1\x7f2\r\n" + LENGTH),
    "name empty": raw(b": 1\r\n" + LENGTH),
    "name with a space": raw(b"x a: 1\r\n" + LENGTH),
    "line without a colon": raw(b"zqxjk\r\n" + LENGTH),
    "path beyond ASCII": raw(line="POST /demo.v1.Demo/Echö HTTP/1.1".encode()),
    "asterisk": raw(line=b"POST * HTTP/1.1"),
    "tabs in the request line": raw(line=b"POST\t/demo.v1.Demo/Echo\tHTTP/1.1"),
    "method unknown": raw(line=b"ZQXJK /demo.v1.Demo/Echo HTTP/1.1"),
    "method in lower case": raw(line=b"post /demo.v1.Demo/Echo HTTP/1.1"),
    "HTTP/2.0": raw(line=b"POST /demo.v1.Demo/Echo HTTP/2.0"),
    "HTTP/2.0 without a host": raw(line=b"POST /demo.v1.Demo/Echo HTTP/2.0", host=b""),
    "HTTP/3.0": raw(line=b"POST /demo.v1.Demo/Echo HTTP/3.0"),
    "HTTP/1.2": raw(line=b"POST /demo.v1.Demo/Echo HTTP/1.2"),
    "HTTP/0.9": raw(line=b"POST /demo.v1.Demo/Echo HTTP/0.9"),
    "http/1.1": raw(line=b"POST /demo.v1.Demo/Echo http/1.1"),
    "a version of another protocol": raw(line=b"POST /demo.v1.Demo/Echo ZQXJK/1.1"),
    "no version": lambda headers: b"GET /zqxjk\r\n\r\n",
    "TLS": lambda headers: b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + CANARY.encode() * 30,
    "no host": raw(host=b""),
    "two hosts": raw(host=b"Host: gateway.test\r\nHost: gateway.test\r\n"),
    "129 headers": raw(b"".join(b"x-%d: zqxjk\r\n" % number for number in range(129)) + LENGTH),
    "a header of 17 KiB": raw(b"x-a: " + b"a" * 17_000 + b"\r\n" + LENGTH),
    "a header name of 17 KiB": raw(b"a" * 17_000 + b": 1\r\n" + LENGTH),
    "a path of 8 KiB": raw(line=b"POST /demo.v1.Demo/" + b"a" * 8192 + b" HTTP/1.1"),
    "a websocket of old": raw(b"Sec-WebSocket-Key1: zqxjk\r\n" + LENGTH),
}  # fmt: skip


@pytest.mark.parametrize("name", MALFORMED)
async def test_a_malformed_request_gets_one_bare_400(
    gateway: RunningGateway, backend: ScriptedBackend, name: str
) -> None:
    headers = b"".join(f"{name}: {value}\r\n".encode() for name, value in fields(gateway))
    before = arrived(gateway, backend)
    async with connect(gateway.port) as wire:
        # What follows on the connection must not be taken for a request either.
        await wire.send(MALFORMED[name](headers) + request(DEMO + "Echo", fields(gateway), ECHO))
        answer = await wire.rest()
    assert answer.startswith(b"HTTP/1.1 400 "), answer  # our version, not the client's (RFC 9110, section 2.5)
    assert answer.count(b"HTTP/") == 1
    assert answer.endswith(b"\r\n\r\nbad request\n")
    assert_gives_nothing_away(answer)
    assert arrived(gateway, backend) == before


@pytest.mark.parametrize("line", ["POST /demo.v1.Demo/Echo HTTP/2.0", "POST /demo.v1.Demo/Echo HTTP/0.9", "GET /zqxjk"])
async def test_another_version_is_refused_in_ours(gateway: RunningGateway, backend: ScriptedBackend, line: str) -> None:
    """With nothing behind it the parser takes these for requests."""
    headers = b"".join(f"{name}: {value}\r\n".encode() for name, value in fields(gateway))
    before = arrived(gateway, backend)
    async with connect(gateway.port) as wire:
        await wire.send(raw(line=line.encode())(headers) if "HTTP" in line else line.encode() + b"\r\n\r\n")
        answer = await wire.rest()
    assert answer.startswith(b"HTTP/1.1 400 "), answer
    assert answer.count(b"HTTP/") == 1
    assert answer.endswith(b"\r\n\r\nbad request\n")
    assert_gives_nothing_away(answer)
    assert arrived(gateway, backend) == before


@pytest.mark.parametrize(
    "host", ["", "a b", "a/zqxjk", "zqxjk@a", "a\\", "a:b", "a:123456", "[::1", "a,b", "a?b", "<zqxjk>", "\xff"]
)
async def test_a_host_that_is_none(gateway: RunningGateway, backend: ScriptedBackend, host: str) -> None:
    before = arrived(gateway, backend)
    answer = await gateway.ask(request(DEMO + "Echo", fields(gateway, ("host", host)), ECHO))
    assert answer.status == 400
    assert_gives_nothing_away(answer.raw)
    assert arrived(gateway, backend) == before


@pytest.mark.parametrize("host", ["gateway.test:8443", "127.0.0.1", "[::1]:8443", "a_b.test", "xn--bcher-kva.test"])
async def test_a_host(gateway: RunningGateway, host: str) -> None:
    answer = await gateway.ask(request(DEMO + "WhoAmI", fields(gateway, ("host", host)), message(b"")))
    seen = demo_pb2.WhoAmIReply.FromString(answer.grpc()[0][0])
    assert seen.metadata["x-forwarded-host"] == host


@pytest.mark.parametrize(
    "target",
    ["http://gateway.test/demo.v1.Demo/Echo", "http://zqxjk.test/demo.v1.Demo/Echo", "https://gateway.test:443/a/b?c"],
)
async def test_an_absolute_target_is_no_path(gateway: RunningGateway, backend: ScriptedBackend, target: str) -> None:
    before = arrived(gateway, backend)
    answer = await gateway.ask(request(target, fields(gateway), ECHO))
    assert answer.status == 404
    assert_gives_nothing_away(answer.raw)
    assert arrived(gateway, backend) == before


async def test_a_tunnel_is_not_opened(gateway: RunningGateway, backend: ScriptedBackend) -> None:
    before = arrived(gateway, backend)
    inside = request(DEMO + "Echo", fields(gateway), ECHO)
    for target in (b"zqxjk.test:443", b"/demo.v1.Demo/Echo"):
        async with connect(gateway.port) as wire:
            await wire.send(b"CONNECT " + target + b" HTTP/1.1\r\nHost: zqxjk.test:443\r\n\r\n" + inside)
            answer = await wire.rest()
        assert answer.split(b" ", 2)[1] in (b"400", b"404", b"405"), answer
        assert_gives_nothing_away(answer)
    assert arrived(gateway, backend) == before


async def test_a_head_that_never_ends(gateway: RunningGateway) -> None:
    async with connect(gateway.port) as wire:
        wire.writer.write(b"POST /demo.v1.Demo/Echo HTTP/1.1\r\n")
        wire.writer.write(b"".join(b"x-%d: " % number + b"a" * 10_000 + b"\r\n" for number in range(100)))
        assert await wire.rest() == b""
    for piece in (b"\r\n", b"G", b"GET /", b"GET / HTTP/1.1\r\nx"):
        async with connect(gateway.port) as wire:
            await wire.send(piece)


@pytest.mark.parametrize("trickle", [False, True])
async def test_a_head_that_takes_too_long(
    gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch, trickle: bool
) -> None:
    monkeypatch.setattr(front_connection, "HEAD_TIMEOUT", 0.3)
    async with connect(gateway.port) as wire:
        started = time.monotonic()
        await wire.send(b"POST /demo.v1.Demo/Echo HTTP/1.1\r\n")
        rest = asyncio.create_task(wire.rest())
        while trickle and not rest.done():
            wire.writer.write(b"a")
            await asyncio.sleep(0.02)
        assert await rest == b""
        assert 0.25 < time.monotonic() - started < 1.5
    async with connect(gateway.port) as wire:  # the same between two requests, and not during one
        call = request(DEMO + "Count", fields(gateway), message(demo_pb2.CountRequest(count=2, interval_ms=400)))
        assert len((await wire.ask(call)).grpc()[0]) == 2
        started = time.monotonic()
        assert await wire.rest() == b""
        assert 0.25 < time.monotonic() - started < 1.5


async def test_a_defect_of_ours_gives_nothing_away(
    gateway: RunningGateway, defects: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    defects.append("unexpected_error")

    def broken(*_: object) -> object:
        raise RuntimeError(CANARY)

    with monkeypatch.context() as patch:
        patch.setattr(Reception, "receive", broken)
        async with connect(gateway.port) as wire:
            answer = await wire.ask(request(DEMO + "Echo", fields(gateway), ECHO))
            assert (answer.status, answer.body) == (500, b"internal error\n")
            assert_gives_nothing_away(answer.raw)
            assert await wire.rest() == b""


async def test_others_do_not_notice(gateway: RunningGateway) -> None:
    headers = b"".join(f"{name}: {value}\r\n".encode() for name, value in fields(gateway))
    async with connect(gateway.port) as bystander:
        await bystander.send(request(DEMO + "Chat", fields(gateway, ("transfer-encoding", "chunked")), None))
        await bystander.send(chunked(ECHO))
        await bystander.head()
        assert await bystander.chunk() == ECHO

        async def attack(make: Callable[[bytes], bytes]) -> None:
            async with connect(gateway.port) as wire:
                await wire.send(make(headers))
                wire.reset()

        await asyncio.gather(*map(attack, MALFORMED.values()))
        await bystander.send(chunked(ECHO))
        assert await bystander.chunk() == ECHO
        await bystander.send(BYE)
        assert take_apart(await bystander.chunk())[1].code == 0


# --- requests in requests


@pytest.mark.parametrize("protocol", ["websocket", "h2c", "zqxjk", "websocket, h2c", "TLS/1.0, HTTP/1.1"])
@pytest.mark.parametrize("in_chunks", [False, True])
async def test_an_upgrade_hides_no_request(gateway: RunningGateway, protocol: str, in_chunks: bool) -> None:
    hidden = request(DEMO + "Shout", fields(gateway, role="admin"), ECHO)
    upgrade = [("connection", "upgrade, http2-settings"), ("upgrade", protocol), ("http2-settings", "AAMAAABkAAQA")]
    before = gateway.backend_calls

    # In the body: it is the body, and a bad one.
    length = ("transfer-encoding", "chunked") if in_chunks else ("content-length", str(len(hidden)))
    body = chunked(hidden) + BYE if in_chunks else hidden
    async with connect(gateway.port) as wire:
        answer = await wire.ask(request(DEMO + "Collect", fields(gateway, *upgrade, length), None) + body)
        assert answer.code == 3
        assert await wire.rest() == b""
    assert gateway.backend_calls - before <= 1
    assert gateway.world.backend.calls[DEMO + "Shout"] == 0

    # Behind the body: the connection is over before it is read.
    length = ("transfer-encoding", "chunked") if in_chunks else ("content-length", str(len(ECHO)))
    body = chunked(ECHO) + BYE if in_chunks else ECHO
    async with connect(gateway.port) as wire:
        answer = await wire.ask(request(DEMO + "Echo", fields(gateway, *upgrade, length), None) + body + hidden)
        assert (answer.code, answer.value("connection"), answer.value("upgrade")) == (0, "close", None)
        assert await wire.rest() == b""
    assert gateway.world.backend.calls[DEMO + "Shout"] == 0


async def test_trailers_of_the_body_are_no_headers(gateway: RunningGateway) -> None:
    late = b"0\r\nx-late: 1\r\nauthorization: Bearer zqxjk\r\ncontent-type: text/html\r\n\r\n"
    call = request(DEMO + "WhoAmI", fields(gateway, ("transfer-encoding", "chunked")), None)
    answer = await gateway.ask(call + chunked(message(b"")) + late)
    messages, status, _ = answer.grpc()
    assert status.code == 0
    assert "x-late" not in demo_pb2.WhoAmIReply.FromString(messages[0]).metadata


async def test_a_body_that_was_refused_is_not_taken_for_a_request(gateway: RunningGateway) -> None:
    hidden = request(DEMO + "Shout", fields(gateway, role="admin"), ECHO)
    before = gateway.backend_calls
    for changes in ({"content_type": "text/plain"}, {"origin": "http://evil.test"}, {"authorization": "Bearer x"}):
        headers = dict(fields(gateway)) | {name.replace("_", "-"): value for name, value in changes.items()}
        async with connect(gateway.port) as wire:
            head = request(DEMO + "Echo", [*headers.items(), ("content-length", str(len(hidden)))], None)
            first = await wire.ask(head)  # refused before a byte of the body
            assert first.status in (415, 403, 200)
            await wire.send(hidden)
            await wire.ask(request("/nothing", fields(gateway), b""))
    assert gateway.backend_calls == before


async def test_pipelined_requests_are_answered_in_order(gateway: RunningGateway) -> None:
    texts = [f"message {number}" for number in range(100)]
    calls = [request(DEMO + "Echo", fields(gateway), message(demo_pb2.EchoRequest(text=text))) for text in texts]
    async with connect(gateway.port) as wire:
        wire.writer.write(b"".join(calls))
        for text in texts:
            messages = (await wire.answer()).grpc()[0]
            assert demo_pb2.EchoReply.FromString(messages[0]).text == text


async def test_a_bad_request_behind_a_good_one(gateway: RunningGateway) -> None:
    async with connect(gateway.port) as wire:
        good = request(DEMO + "Count", fields(gateway), message(demo_pb2.CountRequest(count=2, interval_ms=100)))
        await wire.send(good)
        await wire.head()
        await wire.send(f"{CANARY}\r\n\r\n".encode())
        rest = await wire.rest()
    assert b"grpc-status:0\r\n\r\n0\r\n\r\nHTTP/1.1 400 " in rest
    assert_gives_nothing_away(rest)


# --- bodies


@pytest.mark.parametrize(
    "bad", [b"zqxjk\r\n", b"4\r\nabcdXX", b"-1\r\n", b"0\r\nx" + b"a" * 17_000, b"0\r\n" + b"x: 1\r\n" * 200, b"\n"]
)
@pytest.mark.parametrize("method", ["Collect", "Chat"])
async def test_a_body_that_breaks_on_its_way(gateway: RunningGateway, bad: bytes, method: str) -> None:
    async with connect(gateway.port) as wire:
        await wire.send(request(DEMO + method, fields(gateway, ("transfer-encoding", "chunked")), None) + chunked(ECHO))
        await gateway.world.backend.wait_open(1)
        started = time.monotonic()
        await wire.send(bad)
        rest = await wire.rest()
        assert time.monotonic() - started < STALL / 2
    assert b"grpc-status:3\r\n" in rest
    assert rest.count(b"HTTP/1.") == 1
    assert_gives_nothing_away(rest)


async def test_a_message_of_4_gib_in_a_body_of_ten_bytes(gateway: RunningGateway, backend: ScriptedBackend) -> None:
    before = arrived(gateway, backend)
    for flags in (0, 1):
        body = struct.pack(">BI", flags, 0xFFFFFFFF) + b"hello"
        answer = await gateway.ask(request(DEMO + "Echo", fields(gateway, ("grpc-encoding", "gzip")), body))
        assert answer.code == 8
    assert arrived(gateway, backend) == before


@pytest.mark.parametrize(
    "bomb",
    [gzip.compress(bytes(64 * 1024 * 1024)), gzip.compress(bytes(100_000)) * 100, gzip.compress(b"") * 5000],
    ids=["one member", "many members", "empty members"],
)
async def test_a_gzip_bomb(gateway: RunningGateway, backend: ScriptedBackend, bomb: bytes) -> None:
    before = arrived(gateway, backend)
    started = time.monotonic()
    headers = fields(gateway, ("grpc-encoding", "gzip"))
    assert (await gateway.ask(request(DEMO + "Echo", headers, message(bomb, flags=1)))).code == 8
    assert time.monotonic() - started < 1.0
    assert arrived(gateway, backend) == before


@pytest.mark.parametrize("body", [b"", ECHO, ECHO[:3]], ids=["nothing", "a message", "half a prefix"])
async def test_a_body_that_stalls(gateway: RunningGateway, body: bytes) -> None:
    async with connect(gateway.port) as wire:
        started = time.monotonic()
        answer = await wire.ask(request(DEMO + "Collect", fields(gateway, ("content-length", "999")), None) + body)
        assert answer.code == 4
        assert STALL * 0.9 < time.monotonic() - started < STALL + 1


async def test_a_body_that_trickles_is_slow_and_no_more(gateway: RunningGateway) -> None:
    async with connect(gateway.port) as wire:
        await wire.send(request(DEMO + "Collect", fields(gateway, ("content-length", str(len(ECHO)))), None))
        started = time.monotonic()
        for byte in ECHO:
            await asyncio.sleep(0.06)
            await wire.send(bytes((byte,)))
        answer = await wire.answer()
        assert time.monotonic() - started > STALL
        assert demo_pb2.CollectReply.FromString(answer.grpc()[0][0]).count == 1


async def test_continue_is_not_said_to_whom_it_does_not_concern(gateway: RunningGateway) -> None:
    for expectation, version in (("100-continue", b"HTTP/1.0"), ("zqxjk", b"HTTP/1.1")):
        headers = fields(gateway, ("expect", expectation), ("content-length", str(len(ECHO))), ("connection", "close"))
        async with connect(gateway.port) as wire:
            await wire.send(request(DEMO + "Echo", headers, None).replace(b"HTTP/1.1", version, 1))
            await asyncio.sleep(0.05)
            await wire.send(ECHO)
            assert (await wire.rest()).startswith(b"HTTP/1.1 200 ")


# --- readers


def context_for(gateway: RunningGateway) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(gateway.world.pki.ca))


def doors(gateway: RunningGateway, tls: bool) -> tuple[int, ssl.SSLContext | None]:
    return (int(gateway.gateway.urls[1].rpartition(":")[2]), context_for(gateway)) if tls else (gateway.port, None)


@pytest.mark.parametrize("tls", [False, True])
async def test_a_reader_that_never_reads(
    gateway: RunningGateway, backend: ScriptedBackend, tls: bool, defects: list[str]
) -> None:
    port, context = doors(gateway, tls)
    async with connect(port, context=context, deaf=True) as wire:
        wire.stop_reading()
        already = backend.sent
        await wire.send(request(SCRIPT + "Flood", fields(gateway), b""))
        await eventually(lambda: backend.sent > already)

        async def standstill() -> int:
            while (before := backend.sent) != await asyncio.sleep(0.1, backend.sent) or before != backend.sent:
                pass
            return backend.sent - already

        sent = await asyncio.wait_for(standstill(), 3)
        assert sent * 50_000 < 16 * 1024 * 1024  # what the kernel, the windows and the gateway hold, and no more
        assert gateway.open_calls == 1
        await eventually(lambda: gateway.open_calls == 0, STALL + 2)
        await eventually(lambda: backend.open == 0)


@pytest.mark.parametrize("tls", [False, True])
async def test_a_reader_that_is_slow_loses_nothing(gateway: RunningGateway, tls: bool) -> None:
    size = 8_000_000  # more than the kernel holds
    port, context = doors(gateway, tls)
    async with connect(port, context=context, deaf=True) as wire:
        wire.stop_reading()
        started = time.monotonic()
        await wire.send(
            request(DEMO + "Count", fields(gateway), message(demo_pb2.CountRequest(count=1, payload_bytes=size)))
        )
        await asyncio.sleep(STALL / 2)
        wire.read_again()
        head = await wire.head()
        received = bytearray()
        while b"grpc-status:" not in received[-100:]:
            slow = time.monotonic() - started < 4 * STALL
            data = await asyncio.wait_for(wire.reader.read(16_000 if slow else 1_000_000), 5)
            assert data, "cut off"
            received += data
            if slow:
                await asyncio.sleep(0.02)
        assert head.status == 200
        assert len(received) > size


# --- leaving


def close(wire: Wire) -> None:
    wire.writer.close()


LEAVING = pytest.mark.parametrize("leave", [close, Wire.reset], ids=["closed", "reset"])


async def assert_over_soon(gateway: RunningGateway, backend: ScriptedBackend, started: float) -> None:
    await eventually(lambda: gateway.open_calls == 0)
    await eventually(lambda: backend.open + gateway.world.backend.open_streams == 0)
    assert time.monotonic() - started < 0.5  # 0.1 on a machine with nothing else to do


async def nothing_sent(gateway: RunningGateway, wire: Wire) -> None:
    pass


async def half_a_head(gateway: RunningGateway, wire: Wire) -> None:
    await wire.send(b"POST /demo.v1.Demo/Echo HTTP/1.1\r\nHost: x")


async def head_without_body(gateway: RunningGateway, wire: Wire) -> None:
    await wire.send(request(DEMO + "Collect", fields(gateway, ("content-length", "99")), None))
    await gateway.world.backend.wait_open(1)


async def half_a_body(gateway: RunningGateway, wire: Wire) -> None:
    await wire.send(request(DEMO + "Collect", fields(gateway, ("content-length", "99")), None) + ECHO[:-1])
    await gateway.world.backend.wait_open(1)


async def open_chunks(gateway: RunningGateway, wire: Wire) -> None:
    await wire.send(request(DEMO + "Chat", fields(gateway, ("transfer-encoding", "chunked")), None) + chunked(ECHO))
    await wire.head()
    assert await wire.chunk() == ECHO


async def no_reply_yet(gateway: RunningGateway, wire: Wire) -> None:
    await wire.send(request(SCRIPT + "Silent", fields(gateway), b""))
    await eventually(lambda: gateway.open_calls == 1)
    await asyncio.sleep(0.05)


async def idle_stream(gateway: RunningGateway, wire: Wire) -> None:
    await wire.send(idle(gateway))
    await wire.head()
    await wire.chunk()


async def busy_stream(gateway: RunningGateway, wire: Wire) -> None:
    await wire.send(request(SCRIPT + "Flood", fields(gateway), b""))
    await wire.head()
    await wire.chunk()


async def pipelined_behind_a_stream(gateway: RunningGateway, wire: Wire) -> None:
    await idle_stream(gateway, wire)
    await wire.send(request(DEMO + "Echo", fields(gateway), ECHO) * 50)
    await asyncio.sleep(0.1)


async def upload_behind_a_stream(gateway: RunningGateway, wire: Wire) -> None:
    await idle_stream(gateway, wire)
    wire.writer.write(request(DEMO + "Collect", fields(gateway, ("content-length", "99999999")), None) + bytes(700_000))
    await asyncio.sleep(0.1)


async def upload_that_the_backend_holds_up(gateway: RunningGateway, wire: Wire) -> None:
    await wire.send(request(SCRIPT + "Deaf", fields(gateway, ("transfer-encoding", "chunked")), None))
    await wire.head()
    connections = list(gateway.gateway._server.connections)
    part = chunked(message(bytes(100_000)))

    def held_up() -> bool:
        return any(each.transport is not None and not each.transport.is_reading() for each in connections)

    async with asyncio.timeout(5):
        while not held_up():
            await wire.send(part)
            await asyncio.sleep(0.002)


@LEAVING
@pytest.mark.parametrize(
    "stage",
    [
        nothing_sent,
        half_a_head,
        head_without_body,
        half_a_body,
        open_chunks,
        no_reply_yet,
        idle_stream,
        busy_stream,
        pipelined_behind_a_stream,
        upload_behind_a_stream,
        upload_that_the_backend_holds_up,
    ],
)
async def test_who_leaves_takes_the_call_along(
    gateway: RunningGateway,
    backend: ScriptedBackend,
    stage: Callable[[RunningGateway, Wire], Awaitable[None]],
    leave: Leave,
) -> None:
    async with connect(gateway.port) as wire:
        await stage(gateway, wire)
        started = time.monotonic()
        leave(wire)
        await assert_over_soon(gateway, backend, started)


@LEAVING
async def test_who_leaves_a_tls_connection_takes_the_call_along(
    gateway: RunningGateway, backend: ScriptedBackend, leave: Leave
) -> None:
    port, context = doors(gateway, tls=True)
    async with connect(port, context=context) as wire:
        await idle_stream(gateway, wire)
        started = time.monotonic()
        leave(wire)
        await assert_over_soon(gateway, backend, started)


async def test_who_leaves_a_tls_connection_that_is_held_up(gateway: RunningGateway, backend: ScriptedBackend) -> None:
    port, context = doors(gateway, tls=True)
    async with connect(port, context=context) as wire:
        await upload_that_the_backend_holds_up(gateway, wire)
        started = time.monotonic()
        wire.reset()
        await assert_over_soon(gateway, backend, started)


@pytest.mark.parametrize("stage", [nothing_sent, half_a_head, half_a_body, open_chunks, no_reply_yet, idle_stream])
async def test_half_closed_is_left(
    gateway: RunningGateway,
    backend: ScriptedBackend,
    stage: Callable[[RunningGateway, Wire], Awaitable[None]],
) -> None:
    """A browser never half-closes: the end of what it sends is how its leaving shows."""
    async with connect(gateway.port) as wire:
        await stage(gateway, wire)
        started = time.monotonic()
        wire.half_close()
        assert b"HTTP/" not in await wire.rest()
        await assert_over_soon(gateway, backend, started)


@LEAVING
async def test_who_leaves_while_the_gate_waits(leave: Leave) -> None:
    async with key_server() as server:
        server.held["/introspect"] = asyncio.Event()
        server.pages["/introspect"] = b'{"active": true, "sub": "alice", "roles": ["reader"]}'

        async with running(introspecting(server)) as gateway:
            async with connect(gateway.port) as wire:
                headers = dict(fields(gateway)) | {"authorization": "Bearer opaque"}
                await wire.send(request(DEMO + "Echo", list(headers.items()), ECHO))
                await server.arrived.wait()
                assert gateway.open_calls == 1
                leave(wire)
                await eventually(lambda: gateway.open_calls == 0)
            server.held["/introspect"].set()
            await eventually(lambda: not gateway.gateway._gate._waiting)  # type: ignore[union-attr]
            assert gateway.backend_calls == 0


def introspecting(server: KeyServer) -> Callable[[dict[str, Any]], None]:
    def change(configuration: dict[str, Any]) -> None:
        configuration["auth"]["introspection"] = {
            "url": server.url + "/introspect", "client_id": "gateway", "client_secret": "secret",
        }  # fmt: skip

    return change


async def test_many_who_come_and_go(gateway: RunningGateway, backend: ScriptedBackend) -> None:
    async def come_and_go(number: int) -> None:
        async with connect(gateway.port) as wire:
            await wire.send(idle(gateway))
            if number % 2:
                await wire.head()
            if number % 3:
                wire.reset()

    started = time.monotonic()
    await asyncio.gather(*map(come_and_go, range(100)))
    await eventually(lambda: gateway.open_calls == 0 and gateway.world.backend.open_streams == 0)
    assert time.monotonic() - started < 5
