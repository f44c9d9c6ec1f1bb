"""A hostile peer over HTTP/1.1: requests that are none. Each gets one bare refusal, and nobody else notices."""

import asyncio
import time
from collections.abc import Callable

import pytest

from gateway.demo.pb import demo_pb2
from gateway.front import connection as front_connection
from gateway.front.reception import Reception
from tests.faults.hostile_http1.attack import BYE, CANARY, ECHO, assert_gives_nothing_away
from tests.support.backends import ScriptedBackend
from tests.support.frames import message, take_apart
from tests.support.gateway import DEMO, RunningGateway, untouched
from tests.support.wire import PATIENCE, chunked, connect, request

pytestmark = pytest.mark.asyncio(loop_scope="module")


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


def good(gateway: RunningGateway) -> bytes:
    """The header lines of a good request, without host and length."""
    return b"".join(f"{name}: {value}\r\n".encode() for name, value in gateway.fields())


async def assert_bare_400(gateway: RunningGateway, sent: bytes) -> None:
    async with connect(gateway.port) as wire:
        await wire.send(sent)
        answer = await wire.rest()
    assert answer.startswith(b"HTTP/1.1 400 "), answer  # our version, not the client's (RFC 9110, section 2.5)
    assert answer.count(b"HTTP/") == 1
    assert answer.endswith(b"\r\n\r\nbad request\n")
    assert_gives_nothing_away(answer)


@pytest.mark.parametrize("name", MALFORMED)
async def test_a_malformed_request_gets_one_bare_400(
    gateway: RunningGateway, backend: ScriptedBackend, name: str
) -> None:
    async with untouched(gateway, backend):
        # What follows on the connection must not be taken for a request either.
        await assert_bare_400(gateway, MALFORMED[name](good(gateway)) + request(DEMO + "Echo", gateway.fields(), ECHO))


@pytest.mark.parametrize("line", ["POST /demo.v1.Demo/Echo HTTP/2.0", "POST /demo.v1.Demo/Echo HTTP/0.9", "GET /zqxjk"])
async def test_another_version_is_refused_in_ours(gateway: RunningGateway, backend: ScriptedBackend, line: str) -> None:
    """With nothing behind it the parser takes these for requests."""
    sent = raw(line=line.encode())(good(gateway)) if "HTTP" in line else line.encode() + b"\r\n\r\n"
    async with untouched(gateway, backend):
        await assert_bare_400(gateway, sent)


@pytest.mark.parametrize(
    "host", ["", "a b", "a/zqxjk", "zqxjk@a", "a\\", "a:b", "a:123456", "[::1", "a,b", "a?b", "<zqxjk>", "\xff"]
)
async def test_a_host_that_is_none(gateway: RunningGateway, backend: ScriptedBackend, host: str) -> None:
    async with untouched(gateway, backend):
        answer = await gateway.ask(request(DEMO + "Echo", gateway.fields(("host", host)), ECHO))
    assert answer.status == 400
    assert_gives_nothing_away(answer.raw)


@pytest.mark.parametrize("host", ["gateway.test:8443", "127.0.0.1", "[::1]:8443", "a_b.test", "xn--bcher-kva.test"])
async def test_a_host(gateway: RunningGateway, host: str) -> None:
    answer = await gateway.ask(request(DEMO + "WhoAmI", gateway.fields(("host", host)), message(b"")))
    seen = demo_pb2.WhoAmIReply.FromString(answer.grpc()[0][0])
    assert seen.metadata["x-forwarded-host"] == host


@pytest.mark.parametrize(
    "target",
    ["http://gateway.test/demo.v1.Demo/Echo", "http://zqxjk.test/demo.v1.Demo/Echo", "https://gateway.test:443/a/b?c"],
)
async def test_an_absolute_target_is_no_path(gateway: RunningGateway, backend: ScriptedBackend, target: str) -> None:
    async with untouched(gateway, backend):
        answer = await gateway.ask(request(target, gateway.fields(), ECHO))
    assert answer.status == 404
    assert_gives_nothing_away(answer.raw)


async def test_a_tunnel_is_not_opened(gateway: RunningGateway, backend: ScriptedBackend) -> None:
    inside = request(DEMO + "Echo", gateway.fields(), ECHO)
    for target in (b"zqxjk.test:443", b"/demo.v1.Demo/Echo"):
        async with untouched(gateway, backend), connect(gateway.port) as wire:
            await wire.send(b"CONNECT " + target + b" HTTP/1.1\r\nHost: zqxjk.test:443\r\n\r\n" + inside)
            answer = await wire.rest()
        assert answer.split(b" ", 2)[1] in (b"400", b"404", b"405"), answer
        assert_gives_nothing_away(answer)


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
        assert 0.25 < time.monotonic() - started < PATIENCE
    async with connect(gateway.port) as wire:  # the same between two requests, and not during one
        call = request(DEMO + "Count", gateway.fields(), message(demo_pb2.CountRequest(count=2, interval_ms=400)))
        assert len((await wire.ask(call)).grpc()[0]) == 2
        started = time.monotonic()
        assert await wire.rest() == b""
        assert 0.25 < time.monotonic() - started < PATIENCE


async def test_a_defect_of_ours_gives_nothing_away(
    gateway: RunningGateway, defects: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    defects.append("unexpected_error")

    def broken(*_: object) -> object:
        raise RuntimeError(CANARY)

    with monkeypatch.context() as patch:
        patch.setattr(Reception, "receive", broken)
        async with connect(gateway.port) as wire:
            answer = await wire.ask(request(DEMO + "Echo", gateway.fields(), ECHO))
            assert (answer.status, answer.body) == (500, b"internal error\n")
            assert_gives_nothing_away(answer.raw)
            assert await wire.rest() == b""


async def test_others_do_not_notice(gateway: RunningGateway) -> None:
    headers = good(gateway)
    async with connect(gateway.port) as bystander:
        await bystander.send(request(DEMO + "Chat", gateway.fields(("transfer-encoding", "chunked")), None))
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
