"""Over HTTP/2: how a connection begins, how many there may be, how long, and how a drain ends them."""

import asyncio
import contextlib
from typing import Any

import pytest

from gateway.demo.pb import demo_pb2
from gateway.front import http2 as front
from gateway.front import switch
from gateway.front.http2 import CONNECTION_WINDOW
from gateway.http2 import MAX_STREAMS, STREAM_WINDOW
from tests.integration.wire.ways import ECHO, ENDLESS, NATIVE, OK_FRAME, Http2Way, echoed
from tests.support import http2, wire
from tests.support.backends import ScriptedBackend
from tests.support.frames import message
from tests.support.gateway import BINARY, DEMO, RunningGateway, eventually, running
from tests.support.http2 import ErrorCodes, GoAway, SettingCodes

pytestmark = pytest.mark.asyncio(loop_scope="module")


# --- how one begins


async def test_what_the_gateway_takes(way: Http2Way) -> None:
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
    port, context = gateway.door(True, *offered)
    async with wire.connect(port, context=context) as line:
        assert line.writer.get_extra_info("ssl_object").selected_alpn_protocol() == chosen
        if chosen == "h2":
            await line.send(switch.PREFACE + http2.frame(http2.SETTINGS, 0, 0))
            async with asyncio.timeout(wire.PATIENCE):
                assert (await line.reader.readexactly(9))[3] == http2.SETTINGS
        else:
            ask = wire.request(DEMO + "Echo", gateway.fields(), ECHO)
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
        ask = wire.request(DEMO + "Echo", gateway.fields(), ECHO)
        assert (await line.ask(ask[1:])).code == 0


async def test_http2_can_be_left_out(backend: ScriptedBackend) -> None:
    def change(configuration: dict[str, Any]) -> None:
        for listener in configuration["listeners"]:
            listener["http2"] = False

    async with running(change) as gateway:
        for offered, chosen in ((["h2", "http/1.1"], "http/1.1"), (["h2"], None)):
            port, context = gateway.door(True, *offered)
            async with wire.connect(port, context=context) as line:
                assert line.writer.get_extra_info("ssl_object").selected_alpn_protocol() == chosen
                ask = wire.request(DEMO + "Echo", gateway.fields(), ECHO)
                assert (await line.ask(ask)).code == 0
        async with wire.connect(gateway.port) as line:
            await line.send(switch.PREFACE + http2.frame(http2.SETTINGS, 0, 0))
            refused = await line.rest()
        assert refused.startswith(b"HTTP/1.1 4")


# --- how many, and how long


async def test_connections_are_counted_those_included_that_say_nothing(backend: ScriptedBackend) -> None:
    async with running(backend.behind(max_connections=3)) as gateway:
        secure, plain = Http2Way(gateway, True), Http2Way(gateway, False)
        census = gateway.gateway._census
        async with contextlib.AsyncExitStack() as stack:
            silent = [await stack.enter_async_context(wire.connect(plain.port)) for _ in range(2)]
            client = await stack.enter_async_context(secure.connect())
            await eventually(lambda: census.connections == 3)
            async with wire.connect(plain.port) as refused:
                assert await refused.rest() == b""
            port, context = gateway.door(True, "h2")
            async with wire.connect(port, context=context) as refused:
                goodbye = await refused.rest()
                assert goodbye.endswith(http2.frame(http2.GOAWAY, 0, 0, bytes(8)))
            await echoed(secure, client)
            silent[0].reset()
            await eventually(lambda: census.connections == 2)
            async with plain.connect() as other:  # its preface takes no second place
                await echoed(plain, other)
                assert census.connections == 3
        await eventually(lambda: census.connections == 0)


async def test_calls_at_once_are_counted(backend: ScriptedBackend) -> None:
    def two(configuration: dict[str, Any]) -> None:
        backend.behind(max_calls=2)(configuration)
        for upstream in configuration["upstreams"].values():
            upstream["max_calls"] = 2  # beside another one it would have half

    async with running(two) as gateway:
        plain = Http2Way(gateway, False)
        async with plain.connect() as client:
            streams = [await client.request(plain.head(DEMO + "Count"), ENDLESS) for _ in range(2)]
            for stream in streams:
                await stream.received(5)
            full = await (await client.request(plain.head(DEMO + "Echo"), ECHO)).response()
            assert full.answer.code == 8
            await streams[0].cancel()
            await asyncio.wait_for(gateway.world.backend.wait_open(1), wire.PATIENCE)
            await echoed(plain, client)


async def test_who_says_nothing_is_let_go(backend: ScriptedBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(switch, "FIRST_BYTES_TIMEOUT", 0.3)
    monkeypatch.setattr(front, "GREETING_TIMEOUT", 0.3)
    monkeypatch.setattr(front, "IDLE_TIMEOUT", 0.6)
    async with running(backend.behind()) as gateway:
        secure, plain = Http2Way(gateway, True), Http2Way(gateway, False)

        async def says(words: bytes, tls: bool) -> bytes:
            port, context = gateway.door(tls, "h2")
            async with wire.connect(port, context=context) as line:
                await line.send(words)
                return await line.rest()

        async def idles(way: Http2Way) -> GoAway | None:
            async with way.connect() as client:
                await echoed(way, client)
                await client.until_closed()
                return client.goaway

        async def waits_for_a_stream(way: Http2Way) -> None:
            async with way.connect() as client:
                body = message(demo_pb2.CountRequest(count=2, interval_ms=2000))
                stream = await client.request(way.head(DEMO + "Count"), body)
                assert len((await stream.response()).answer.grpc()[0]) == 2

        quiet, idle, _ = await asyncio.gather(
            asyncio.gather(*(says(words, tls) for words in (b"", switch.PREFACE) for tls in (False, True))),
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
    async with running(backend.behind()) as gateway:
        plain = Http2Way(gateway, False)
        async with plain.connect() as client, plain.connect() as dead:
            streams = [await each.request(plain.head(DEMO + "Count"), ENDLESS) for each in (client, dead)]
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
    def change(configuration: dict[str, Any]) -> None:
        backend.behind()(configuration)
        configuration["drain"] = "30s"  # far more than the stream takes

    async with running(change) as gateway:
        secure, plain = Http2Way(gateway, True), Http2Way(gateway, False)
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
            assert len(running_stream.answer.grpc()[0]) == 30
            assert not refused.headers
            await one.until_closed()
            await asyncio.wait_for(draining, wire.PATIENCE)
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", plain.port)
            await gateway.gateway.stop()
            assert await silent.rest() == b""


async def test_a_drain_ends_what_does_not_finish(backend: ScriptedBackend) -> None:
    def change(configuration: dict[str, Any]) -> None:
        backend.behind()(configuration)
        configuration["drain"] = "300ms"

    async with running(change) as gateway:
        secure = Http2Way(gateway, True)
        async with secure.connect() as client:
            streams = [
                await client.request(secure.head(DEMO + "Count", content_type=kind), ENDLESS)
                for kind in (BINARY, NATIVE)
            ]
            for stream in streams:
                await stream.received(5)
            await asyncio.wait_for(gateway.gateway.drain(), wire.PATIENCE)
            for stream in streams:
                await stream.response()
            assert streams[0].answer.code == 14
            assert dict(streams[1].trailers or [])[b"grpc-status"] == b"14"
            await gateway.world.backend.wait_open(0)
            await client.until_closed()
