"""Backends over HTTP/2 that leave, stall, lie or die, seen from the browser's end of a whole gateway."""

import asyncio
import contextlib
import itertools
import socket
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway import http2
from gateway.protocol import timeout
from gateway.protocol.status import Status
from gateway.upstream import pool
from gateway.upstream.backend_link import Dialling
from gateway.upstream.h2 import H2Upstream
from tests.support.backend_http2 import Backend, ErrorCodes, Request, backend, ok, papers, silent
from tests.support.backends import relay
from tests.support.frames import message
from tests.support.gateway import BINARY, ORIGIN, Change, RunningGateway, eventually, running
from tests.support.wire import Wire, chunked, connect, request

CALL = "/test.v1.Test/Do"
FAST = "/test.v1.Test/Fast"
KIB, MIB = 1024, 1024 * 1024
OK = (b"grpc-status", b"0")
SOON = 0.1  # seconds within which a browser's leave must reach the backend
AT_ONCE = 1.5  # seconds: far less than any time-out, far more than it takes
CLUES = ("127.0.0.1", "::1", "errno", "socket", "connect to", "goaway", "rst", "ssl", "tls", "alpn", "certif", "name")


def to(*backends: Backend, **more: Any) -> Change:
    """The service of `CALL` is behind these."""

    def change(configuration: dict[str, Any]) -> None:
        section = backends[0].section(services=["test.v1.Test"], transport="h2")
        section["targets"] = [each.target for each in backends]
        if "tls" in more:
            section |= {"plaintext": False, "allow_insecure_tokens": False}
        configuration["upstreams"]["test"] = section | more
        configuration["authorization"]["default"] = "authenticated"

    return change


def fields(gateway: RunningGateway, *more: tuple[str, str]) -> list[tuple[str, str]]:
    return [*gateway.headers().items(), *more]


async def fast_or_silent(request: Request) -> None:
    if request.fields[b":path"] == FAST.encode():
        await ok(request)


async def fast(gateway: RunningGateway) -> None:
    """Another call on the same connection to the backend, at once."""
    async with asyncio.timeout(AT_ONCE):
        reply = await gateway.post(FAST, message(b"fast"))
    assert (reply.code, reply.messages) == (0, [b"fast"])


class Load:
    """Callers that call one after the other, and count how it went."""

    def __init__(self, gateway: RunningGateway, callers: int = 8) -> None:
        self.codes: Counter[int] = Counter()
        self._gateway = gateway
        self._numbers = itertools.count()
        self._over = False
        self._callers = [asyncio.create_task(self._call()) for _ in range(callers)]

    @property
    def calls(self) -> int:
        return self.codes.total()

    async def more(self, count: int) -> None:
        """Return after so many calls more."""
        calls = self.calls + count
        await eventually(lambda: self.calls >= calls or any(caller.done() for caller in self._callers), 10)

    async def stop(self) -> None:
        self._over = True
        async with asyncio.timeout(10):
            await asyncio.gather(*self._callers)

    async def _call(self) -> None:
        headers = self._gateway.headers()
        while not self._over:
            number = next(self._numbers)
            reply = await self._gateway.post(CALL, message(b"%d" % number), headers | {"x-call": str(number)})
            self.codes[reply.code] += 1
            assert reply.messages == ([b"%d" % number] if reply.code == 0 else [])


@contextlib.asynccontextmanager
async def under_load(gateway: RunningGateway) -> AsyncIterator[Load]:
    load = Load(gateway)
    try:
        yield load
    finally:
        await load.stop()


class Ledger:
    """Which calls the handlers of one or more backends have seen."""

    def __init__(self) -> None:
        self.processed: Counter[bytes] = Counter()

    async def __call__(self, request: Request) -> None:
        self.processed[request.fields[b"x-call"]] += 1
        await asyncio.sleep(0.002)
        await ok(request)


# --- leaving


async def test_a_rolling_restart_loses_nothing() -> None:
    ledger = Ledger()
    async with backend(ledger) as one, backend(ledger) as two, backend(ledger) as three:
        async with running(to(one, two, three)) as gateway, under_load(gateway) as load:
            for each in (one, two, three):
                await each.until(lambda each=each: bool(each.standing))  # type: ignore[misc]
            for each in (one, two, three, one):
                await load.more(50)
                old = each.standing
                each.stop()
                for connection in old:
                    connection.say_goaway()
                    connection.say_goaway(max(connection.requests, default=0))
                await each.until(lambda old=old: all(connection.closed for connection in old))  # type: ignore[misc]
                await load.more(20)
                await each.start()
                await each.until(lambda each=each: bool(each.standing))  # type: ignore[misc]
        assert load.codes.keys() == {0}
        assert set(ledger.processed.values()) == {1}
        assert len(ledger.processed) == load.calls


async def test_connections_of_a_limited_age_lose_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one backend that there is takes its leave of every connection, and takes new ones."""
    monkeypatch.setattr(pool, "STOOD", 0.02)
    ledger = Ledger()
    async with backend(ledger) as there, running(to(there)) as gateway, under_load(gateway) as load:
        for age in range(20):
            await there.until(lambda age=age: len(there.connections) > age and bool(there.connections[-1].requests))  # type: ignore[misc]
            await load.more(10)
            connection = there.connections[-1]
            connection.say_goaway()
            await asyncio.sleep(0.002)  # as long as a round trip
            if not connection.closed:  # it may have had nothing more to do
                connection.say_goaway(max(connection.requests))
        await load.more(10)
        await there.until(lambda: len(there.standing) == 1)
    assert load.codes.keys() == {0}
    assert set(ledger.processed.values()) == {1}


async def test_a_backend_that_is_killed_fails_what_it_had_once_and_comes_back() -> None:
    ledger = Ledger()
    async with backend(ledger) as one, backend(ledger) as two:
        async with running(to(one, two)) as gateway, under_load(gateway) as load:
            for _ in range(3):
                await load.more(50)
                one.die()
                await load.more(50)
                await one.start()
                await one.until(lambda: bool(one.standing))
            failed = load.codes[14]
            await load.more(50)
            assert load.codes[14] == failed
        assert load.codes.keys() <= {0, 14}
        assert failed <= 3 * 8  # what was on the connection when it was lost
        assert set(ledger.processed.values()) == {1}  # no call was sent twice


async def test_a_backend_that_is_down_is_found_again_within_seconds() -> None:
    async with backend() as there, running(to(there)) as gateway:
        await there.until(lambda: bool(there.standing))
        there.die()
        await asyncio.sleep(1.0)
        started = time.monotonic()
        reply = await gateway.post(CALL, message(b""))
        assert (reply.code, reply.status) == (14, Status(14, "the backend cannot be reached"))
        assert time.monotonic() - started < AT_ONCE
        await there.start()
        started = time.monotonic()
        async with asyncio.timeout(3):
            while (await gateway.post(CALL, message(b""))).code:
                await asyncio.sleep(0.02)


# --- not trusted


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ("name", "Hostname mismatch"),
        ("authority", "certificate is refused"),
        ("no certificate", "does it accept the gateway's certificate"),
        ("no ALPN", "ALPN h2"),
        ("HTTP/1.1", "ALPN h2"),
        ("plaintext", "TLS failed"),
    ],
)
async def test_a_connection_that_cannot_be_trusted_is_none(tmp_path: Path, wrong: str, problem: str) -> None:
    files = papers(tmp_path)
    tls = {
        "name": files.tls(server_name="other.test"),
        "authority": files.tls(ca=stranger(tmp_path)),
        "no certificate": files.tls(certificate=None, private_key=None),
    }.get(wrong, files.tls())
    context: ssl.SSLContext | None = files.context(alpn={"no ALPN": (), "HTTP/1.1": ("http/1.1",)}.get(wrong, ("h2",)))
    with capture_logs() as events:
        async with (
            talking_http1() if wrong == "plaintext" else backend(context=context) as there,
            running(to(there, tls=tls)) as gateway,
        ):
            reply = await gateway.post(CALL, message(b""))
            assert reply.code == 14
            assert reply.status is not None
            assert not any(clue in reply.status.message.lower() for clue in CLUES), reply.status
            assert reply.headers["access-control-allow-origin"] == ORIGIN
            assert problem in gateway.gateway.upstream("test").problem
            assert not there.requests
    reports = [event for event in events if event["event"] == "backend_unreachable"]
    assert [(event["upstream"], event["address"]) for event in reports] == [("test", there.target)]
    assert problem in reports[0]["problem"]


def stranger(folder: Path) -> Path:
    (folder / "stranger").mkdir()
    return papers(folder / "stranger").ca


@contextlib.asynccontextmanager
async def talking_http1() -> AsyncIterator[Backend]:
    """Speaks before it has heard anything, and no TLS."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    there = Backend(ok, None, {})
    there.port = server.sockets[0].getsockname()[1]
    try:
        yield there
    finally:
        server.close()


# --- the browser leaves, the deadline passes


@pytest.mark.parametrize("begun", [False, True])
async def test_a_browser_that_leaves_is_heard_by_the_backend(begun: bool) -> None:
    async def answer(request: Request) -> None:
        if begun:
            request.head()
            await request.send(message(b"m"))

    async with backend(answer) as there, running(to(there)) as gateway:
        async with connect(gateway.port) as wire:
            await wire.send(request(CALL, fields(gateway), message(b"")))
            (stream,) = await there.arrivals(1)
            if begun:
                await wire.head()
                await wire.chunk()
            left_at = asyncio.get_running_loop().time()
            wire.reset()
            await there.until(lambda: stream.reset is not None)
            assert stream.reset == ErrorCodes.CANCEL
            assert stream.reset_at - left_at < SOON
        await eventually(lambda: gateway.open_calls == 0)
        assert there.standing


async def test_a_deadline_is_told_and_kept() -> None:
    async with backend(silent) as there, running(to(there)) as gateway:
        started = time.monotonic()
        reply = await gateway.post(CALL, message(b""), gateway.headers(grpc_timeout="300m"))
        assert reply.code == 4
        assert 0.29 < time.monotonic() - started < AT_ONCE
        (stream,) = there.requests
        assert 0.0 < timeout.parse(stream.fields[b"grpc-timeout"]) <= 0.3
        await there.until(lambda: stream.reset == ErrorCodes.CANCEL)


async def test_a_deadline_is_kept_while_nobody_is_connected() -> None:
    async with backend() as there:
        there.greets = False
        async with running(to(there)) as gateway:
            reply = await gateway.post(CALL, message(b""), gateway.headers(grpc_timeout="300m"))
            assert reply.code == 4
            await eventually(lambda: gateway.open_calls == 0)
            there.connections[0].greet()
            assert (await gateway.post(CALL, message(b"m"))).messages == [b"m"]
            assert len(there.requests) == 1  # the other one is not sent when nobody waits for it


# --- silence


async def test_keepalive_finds_a_black_hole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Faster than any configuration may say."""
    monkeypatch.setattr(http2.wire, "PING_TIMEOUT", 0.3)

    def impatient(*parts: Any) -> Dialling:
        return replace(Dialling(*parts), keepalive=0.2)

    monkeypatch.setattr("gateway.upstream.pool.Dialling", impatient)
    async with relay() as line, backend(fast_or_silent) as there:
        line.backend_port = there.port

        def change(configuration: dict[str, Any]) -> None:
            to(there)(configuration)
            configuration["upstreams"]["test"]["targets"] = [f"127.0.0.1:{line.port}"]

        async with running(change) as gateway, connect(gateway.port) as wire:
            await wire.send(request(CALL, fields(gateway), message(b"")))
            await there.arrivals(1)
            await there.until(lambda: there.connections[0].pings > 0)  # which are answered
            await fast(gateway)
            line.freeze()
            started = time.monotonic()
            assert (await wire.answer()).code == 14
            assert time.monotonic() - started < 4  # a second between ticks, two of them, and the time-out
            line.thaw()
            async with asyncio.timeout(5):
                while (await gateway.post(FAST, message(b""))).code:
                    await asyncio.sleep(0.05)


# --- standing still


async def test_browsers_that_stand_still_stop_neither_others_nor_fill_the_memory() -> None:
    async def answer(request: Request) -> None:
        if request.fields[b":path"] == FAST.encode():
            await ok(request)
            return
        request.head()
        piece = message(bytes(64 * KIB))
        for _ in range(1024):
            await request.send(piece)
        request.trailers(OK)

    async with backend(answer) as there, running(to(there)) as gateway, contextlib.AsyncExitStack() as exits:
        wires = [await exits.enter_async_context(connect(gateway.port, deaf=True)) for _ in range(24)]
        for wire in wires:
            exits.callback(wire.writer.transport.abort)
            await wire.send(request(CALL, fields(gateway), message(b"")))
            wire.stop_reading()
        await there.arrivals(24)
        stalled = list(there.requests)
        await at_rest(lambda: sum(each.sent for each in stalled))
        assert all(MIB <= each.sent < 8 * MIB for each in stalled), [each.sent for each in stalled]  # sockets included
        for _ in range(5):
            await fast(gateway)
        big = await gateway.post(FAST, message(bytes(1000 * KIB)))
        assert len(big.messages[0]) == 1000 * KIB
        assert len(there.connections) == 1
        sent = stalled[0].sent
        wires[0].read_again()
        reading = asyncio.create_task(wires[0].rest())
        await there.until(lambda: stalled[0].sent > sent + 4 * MIB)  # whoever reads again goes on
        for wire in wires:
            wire.reset()
        await reading
        await there.until(lambda: not there.connections[0].open)
        await eventually(lambda: gateway.open_calls == 0)
        await fast(gateway)


async def test_a_backend_that_stands_still_stops_its_own_callers_alone() -> None:
    async with backend(fast_or_silent) as there:
        there.holds = True
        async with running(to(there)) as gateway, contextlib.AsyncExitStack() as exits:
            await there.until(lambda: bool(there.connections))
            there.connections[0].widen(64 * MIB)
            wires = [await exits.enter_async_context(connect(gateway.port, deaf=True)) for _ in range(24)]
            sent = Counter[Wire]()

            async def upload(wire: Wire) -> None:
                for _ in range(512):
                    await wire.send(chunked(message(bytes(64 * KIB))))
                    sent[wire] += 64 * KIB

            uploads = []
            for wire in wires:
                exits.callback(wire.writer.transport.abort)
                wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 * KIB)
                await wire.send(request(CALL, [*fields(gateway), ("transfer-encoding", "chunked")], None))
                uploads.append(asyncio.create_task(upload(wire)))
            await there.arrivals(24)
            await at_rest(sent.total)
            taken = [call.request_bytes_seen for call in gateway.gateway._census.calls]  # the rest is in the sockets
            assert len(taken) == 24
            assert all(64 * KIB < each < MIB for each in taken), taken
            for _ in range(5):
                await fast(gateway)
            there.connections[0].release()
            before = sent.total()
            await eventually(lambda: sent.total() > before + 24 * MIB, 10)  # and they go on
            for wire in wires:
                wire.reset()
            await asyncio.gather(*uploads, return_exceptions=True)
            await there.until(lambda: not there.connections[0].open)
            await eventually(lambda: gateway.open_calls == 0)


async def at_rest(amount: Callable[[], int]) -> None:
    """Return once it no longer grows."""
    async with asyncio.timeout(10):
        before = -1
        while amount() != before:
            before = amount()
            await asyncio.sleep(0.25)


# --- renewal


async def test_certificates_renewed_under_calls(tmp_path: Path) -> None:
    """Calls that last go on under the old identity; the old connection closes with them; nothing fails."""
    files = papers(tmp_path)
    ledger = Ledger()
    finish = asyncio.Event()

    async def answer(request: Request) -> None:
        if request.fields[b":path"] == FAST.encode():
            request.head()
            await request.send(message(b"begun"))
            await finish.wait()
            request.trailers(OK)
        else:
            await ledger(request)

    async with backend(answer, context=files.context()) as there:
        async with running(to(there, tls=files.tls(), connections=2)) as gateway, under_load(gateway) as load:
            await there.until(lambda: len(there.standing) == 2)
            lasting = [asyncio.create_task(gateway.post(FAST, message(b""))) for _ in range(4)]
            for name in ("second.test", "third.test"):
                await load.more(50)
                known = len(there.connections)
                files.issue(name, "gateway")
                await there.until(lambda known=known: len(there.connections) == known + 2)  # type: ignore[misc]
                await load.more(50)
                assert {each.identities for each in there.connections[known:]} == {(name,)}
            await there.until(lambda: len(there.standing) == 4)  # the second pair had no call that lasts
            assert [each.identities for each in there.standing[:2]] == [("gateway.test",)] * 2
            finish.set()
            assert [reply.code for reply in await asyncio.gather(*lasting)] == [0] * 4
            await there.until(lambda: {each.identities for each in there.standing} == {("third.test",)})
        assert load.codes.keys() == {0}
        assert set(ledger.processed.values()) == {1}


# --- nothing is left


async def test_nothing_is_left_of_calls_half_of_which_are_broken_off() -> None:
    async with backend(fast_or_silent) as there:
        before = asyncio.all_tasks()
        async with running(to(there, connections=3)) as gateway:
            await there.until(lambda: len(there.standing) == 3)
            await fast(gateway)
            tasks = len(asyncio.all_tasks())

            async def leave() -> None:
                async with connect(gateway.port) as wire:
                    known = len(there.requests)
                    await wire.send(request(CALL, fields(gateway), message(b"")))
                    await there.until(lambda: len(there.requests) > known)
                    wire.reset()

            for _ in range(10):
                await asyncio.gather(*(leave() for _ in range(10)), *(fast(gateway) for _ in range(10)))
            await there.until(lambda: not any(each.open for each in there.connections))
            await eventually(lambda: gateway.open_calls == 0)
            await eventually(lambda: len(asyncio.all_tasks()) <= tasks + 10)  # idle connections of the test's client
            upstream = gateway.gateway.upstream("test")
            assert isinstance(upstream, H2Upstream)
            assert not any(link.streams for link in upstream.pool.ready)
            assert len(there.connections) == 3
        await there.until(lambda: not there.standing)
        assert {each.goaway for each in there.connections} == {(0, 0)}
        await eventually(lambda: asyncio.all_tasks() <= before)


async def test_the_message_of_an_http_error_is_short_and_says_nothing_of_addresses() -> None:
    async def answer(request: Request) -> None:
        request.head(status=502, kind=b"text/html")
        await request.send(b"<h1>schlecht</h1>\r\n" * 10_000)

    async with backend(answer) as there, running(to(there)) as gateway:
        async with asyncio.timeout(AT_ONCE):
            reply = await gateway.post(CALL, message(b""))
        assert reply.status is not None
        assert reply.code == 14
        assert reply.status.message.startswith("the backend answered with HTTP status 502: <h1>schlecht</h1>")
        assert len(reply.status.message) < 1200
        assert reply.headers["content-type"] == BINARY
