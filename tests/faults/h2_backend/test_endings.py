"""How calls to a backend over HTTP/2 end: browsers leave, deadlines pass, lines go dead. Nothing is left of them."""

import asyncio
import time
from dataclasses import replace
from typing import Any

import pytest

from gateway import http2
from gateway.protocol import timeout
from gateway.upstream.backend_link import Dialling
from gateway.upstream.h2 import H2Upstream
from tests.faults.h2_backend.load import AT_ONCE, CALL, FAST, fast, fast_or_silent, to
from tests.support.backend_http2 import ErrorCodes, Request, backend, silent
from tests.support.backends import relay
from tests.support.frames import message
from tests.support.gateway import BINARY, eventually, running
from tests.support.wire import connect, request

SOON = 0.1  # seconds within which a browser's leave must reach the backend


# --- the browser leaves, the deadline passes


@pytest.mark.parametrize("begun", [False, True])
async def test_a_browser_that_leaves_is_heard_by_the_backend(begun: bool) -> None:
    async def answer(request: Request) -> None:
        if begun:
            request.head()
            await request.send(message(b"m"))

    async with backend(answer) as there, running(to(there)) as gateway:
        async with connect(gateway.port) as wire:
            await wire.send(request(CALL, gateway.fields(), message(b"")))
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
            await wire.send(request(CALL, gateway.fields(), message(b"")))
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
                    await wire.send(request(CALL, gateway.fields(), message(b"")))
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
