"""Backends that die, hang or talk nonsense: every call ends once, and properly."""

import asyncio
import struct
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from tests.faults.streams import AT_ONCE, ECHO, Configuration, assert_unavailable, begun, counting, finish
from tests.support.backends import (
    GRPC_HEAD,
    HEADERS,
    RST_STREAM,
    SCRIPT,
    Relay,
    Requests,
    block,
    raw_http2,
    relay,
    scripted,
)
from tests.support.frames import message
from tests.support.gateway import BINARY, DEMO, ORIGIN, TEXT, RunningGateway, eventually, running
from tests.support.wire import Answer, connect, request, untext


@pytest.fixture(params=["h2", "grpcio"])
def transport(request: pytest.FixtureRequest) -> str:
    """Backends fail in the same way for either client."""
    return str(request.param)


def behind(
    wire: Relay, transport: str, change: Callable[[Configuration], None] | None = None
) -> Callable[[Configuration], None]:
    """The backend is reached over `wire` alone."""

    def through(configuration: Configuration) -> None:
        upstream = configuration["upstreams"]["demo"]
        upstream["transport"] = transport
        wire.backend_port = int(upstream["targets"][0].rpartition(":")[2])
        upstream["targets"] = [f"127.0.0.1:{wire.port}"]
        if change is not None:
            change(configuration)

    return through


@pytest.fixture
async def line() -> AsyncIterator[Relay]:
    async with relay() as line:
        yield line


@pytest.fixture
async def gateway(line: Relay, transport: str) -> AsyncIterator[RunningGateway]:
    async with running(behind(line, transport)) as gateway:
        yield gateway
        await eventually(lambda: gateway.open_calls == 0)


# --- lost


@pytest.mark.parametrize("kind", [BINARY, TEXT])
async def test_a_backend_is_killed_in_mid_stream(gateway: RunningGateway, line: Relay, kind: str) -> None:
    async with connect(gateway.port) as wire:
        answer = await begun(wire, counting(gateway, kind))
        started = time.monotonic()
        line.cut()
        await finish(wire, answer)
        assert_unavailable(answer, messages=1)
        assert time.monotonic() - started < AT_ONCE
        if kind == TEXT:
            assert all(map(untext, answer.chunks))
        assert gateway.backend_calls == 1  # and not tried again
        # The connection to the browser is good for another call, and soon the backend is.
        async with asyncio.timeout(5):
            while (await wire.ask(request(DEMO + "Echo", gateway.fields(), ECHO))).code:
                await asyncio.sleep(0.02)


async def test_a_backend_is_killed_before_it_replies(gateway: RunningGateway, line: Relay) -> None:
    async with connect(gateway.port) as wire:
        await wire.send(request(DEMO + "Collect", gateway.fields(("content-length", "99")), None) + ECHO)
        await gateway.world.backend.wait_open(1)
        started = time.monotonic()
        line.cut()
        assert_unavailable(await wire.answer())  # though half of the body is still to come
        assert time.monotonic() - started < AT_ONCE
    assert gateway.backend_calls == 1


async def test_every_call_on_a_lost_connection_ends_once(gateway: RunningGateway, line: Relay) -> None:
    async def one() -> Answer:
        async with connect(gateway.port) as wire:
            answer = await begun(wire, counting(gateway))
            ready.release()
            return await finish(wire, answer)

    ready = asyncio.Semaphore(0)
    calls = [asyncio.create_task(one()) for _ in range(30)]
    for _ in calls:
        await ready.acquire()
    line.cut()
    for answer in await asyncio.gather(*calls):
        assert_unavailable(answer, messages=1)


async def test_a_backend_stops(gateway: RunningGateway) -> None:
    async with connect(gateway.port) as wire:
        answer = await begun(wire, counting(gateway))
        await gateway.world.backend.stop()
        await finish(wire, answer)
        received, status, _ = answer.grpc()
        assert len(received) == 1
        assert status.code in (1, 14)  # grpc's server cancels what runs when it stops without grace


async def test_a_backend_that_is_down(gateway: RunningGateway, line: Relay) -> None:
    line.stop()
    for _ in range(3):
        started = time.monotonic()
        assert_unavailable(await gateway.ask(request(DEMO + "Echo", gateway.fields(), ECHO)))
        assert_unavailable(await gateway.ask(counting(gateway, TEXT)))
        assert time.monotonic() - started < AT_ONCE
    assert gateway.backend_calls == 0
    await line.start()

    async def works() -> bool:
        return (await gateway.echo()).code == 0

    async with asyncio.timeout(5):
        while not await works():
            await asyncio.sleep(0.05)


# --- silent


async def test_a_black_hole_swallows_no_deadline(line: Relay, transport: str) -> None:
    async with scripted() as other:

        async def answer(requests: Requests, context: Any) -> AsyncIterator[bytes]:
            yield b"here"

        other.methods["Do"] = answer

        def change(configuration: Configuration) -> None:
            line.backend_port = None
            configuration["upstreams"]["script"] = other.section()
            configuration["authorization"]["default"] = "authenticated"

        async with running(behind(line, transport, change)) as gateway:
            over = 0

            async def swallowed(path: str) -> None:
                nonlocal over
                started = time.monotonic()
                headers = gateway.fields(("grpc-timeout", "1S"))
                reply = await gateway.ask(request(path, headers, message(b"")))
                assert (reply.code, reply.value("access-control-allow-origin")) == (4, ORIGIN)
                assert 0.99 < time.monotonic() - started < 1 + AT_ONCE
                over += 1

            async def others() -> None:
                await eventually(lambda: gateway.open_calls > 10)
                assert (await gateway.ask(request(SCRIPT + "Do", gateway.fields(), b""))).code == 0
                assert not over  # it has waited for none of them

            await asyncio.gather(*(swallowed(DEMO + method) for method in ("Echo", "Count", "Chat") * 5), others())
            assert line.connections > 0
            # Without a deadline the browser decides how long it waits.
            async with connect(gateway.port) as wire:
                await wire.send(request(DEMO + "Echo", gateway.fields(), ECHO))
                await eventually(lambda: gateway.open_calls == 1)
                wire.reset()
                await eventually(lambda: gateway.open_calls == 0)


async def test_a_deadline_holds_when_the_wire_freezes(gateway: RunningGateway, line: Relay) -> None:
    async with connect(gateway.port) as wire:
        answer = await begun(wire, counting(gateway, BINARY, ("grpc-timeout", "400m")))
        line.freeze()
        await finish(wire, answer)
        received, status, _ = answer.grpc()
        assert (len(received), status.code) == (1, 4)
    line.thaw()


# --- talking nonsense


@pytest.mark.parametrize(
    "words",
    [b"HTTP/1.1 400 zqxjk\r\nContent-Length: 5\r\n\r\nzqxjk", b"zqxjk" * 100, b""],
    ids=["HTTP/1.1", "noise", "bye"],
)
async def test_a_backend_that_does_not_speak_http2(words: bytes, transport: str) -> None:
    async def nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(words)
        writer.close()

    server = await asyncio.start_server(nonsense, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]

    def change(configuration: Configuration) -> None:
        upstream = configuration["upstreams"]["demo"]
        upstream |= {"targets": [f"127.0.0.1:{port}"], "plaintext": True, "allow_insecure_tokens": True}
        upstream["transport"] = transport
        del upstream["tls"]

    try:
        async with running(change) as gateway:
            started = time.monotonic()
            answer = await gateway.ask(request(DEMO + "Echo", gateway.fields(), ECHO))
            assert_unavailable(answer)
            assert b"zqxjk" not in answer.raw
            assert time.monotonic() - started < AT_ONCE
    finally:
        server.close()


FIRST = ((0, 0), message(b"m"))  # DATA


def at(section: Configuration) -> Callable[[Configuration], None]:
    """Over grpcio; for HTTP/2 of our own these tables are in tests/unit/upstream/test_h2_stream_ends.py."""

    def change(configuration: Configuration) -> None:
        configuration["upstreams"]["demo"] = {"services": ["demo.v1.Demo"], "transport": "grpcio", **section}

    return change


@pytest.mark.parametrize(
    ("http", "code"),
    [(400, 13), (401, 16), (403, 7), (404, 12), (429, 14), (500, 2), (502, 14), (503, 14), (504, 14), (418, 2)],
)
async def test_a_backend_that_answers_with_an_http_status(http: int, code: int) -> None:
    head = block((b":status", b"%d" % http), (b"content-type", b"text/html"))
    async with raw_http2((HEADERS, head), ((0, 1), b"<h1>zqxjk</h1>")) as section, running(at(section)) as gateway:
        answer = await gateway.ask(request(DEMO + "Count", gateway.fields(), message(b"")))
        received, status, _ = answer.grpc()
        assert (received, status.code) == ([], code)
        assert answer.value("access-control-allow-origin") == ORIGIN


@pytest.mark.parametrize(
    ("error", "code"),
    [(0, 13), (1, 13), (2, 13), (3, 13), (4, 13), (6, 13), (7, 14), (8, 1), (9, 13), (10, 13), (11, 8), (12, 7)],
)
@pytest.mark.parametrize("begun_already", [False, True])
async def test_a_backend_that_resets_the_stream(error: int, code: int, begun_already: bool) -> None:
    before = [(HEADERS, GRPC_HEAD), FIRST] if begun_already else []
    async with raw_http2(*before, (RST_STREAM, struct.pack(">I", error))) as section, running(at(section)) as gateway:
        answer = await gateway.ask(request(DEMO + "Count", gateway.fields(), message(b"")))
        received, status, _ = answer.grpc()
        assert (len(received), status.code) == (int(begun_already), code)


@pytest.mark.parametrize("wrong", ["server_name", "ca", "no certificate"])
async def test_a_backend_that_is_not_trusted_or_does_not_trust(wrong: str, transport: str) -> None:
    def change(configuration: Configuration) -> None:
        configuration["upstreams"]["demo"]["transport"] = transport
        tls = configuration["upstreams"]["demo"]["tls"]
        if wrong == "server_name":
            tls["server_name"] = "other.demo.internal"
        elif wrong == "ca":
            tls["ca"] = "stranger.pem"
        else:
            del tls["certificate"], tls["private_key"]

    async with running(change) as gateway:
        assert_unavailable(await gateway.ask(request(DEMO + "Echo", gateway.fields(), ECHO)))
        assert gateway.backend_calls == 0
