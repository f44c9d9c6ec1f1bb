"""A hostile peer over HTTP/1.1: bodies that break, stall, trickle or swell."""

import asyncio
import gzip
import struct
import time

import pytest

from gateway.demo.pb import demo_pb2
from tests.faults.hostile_http1.attack import ECHO, STALL, assert_gives_nothing_away
from tests.support.backends import ScriptedBackend
from tests.support.frames import message
from tests.support.gateway import DEMO, RunningGateway, untouched
from tests.support.wire import PATIENCE, chunked, connect, request

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize(
    "bad", [b"zqxjk\r\n", b"4\r\nabcdXX", b"-1\r\n", b"0\r\nx" + b"a" * 17_000, b"0\r\n" + b"x: 1\r\n" * 200, b"\n"]
)
@pytest.mark.parametrize("method", ["Collect", "Chat"])
async def test_a_body_that_breaks_on_its_way(gateway: RunningGateway, bad: bytes, method: str) -> None:
    async with connect(gateway.port) as wire:
        await wire.send(request(DEMO + method, gateway.fields(("transfer-encoding", "chunked")), None) + chunked(ECHO))
        await gateway.world.backend.wait_open(1)
        await wire.send(bad)
        rest = await wire.rest()
    assert b"grpc-status:3\r\n" in rest  # and not 4, as after a stall
    assert rest.count(b"HTTP/1.") == 1
    assert_gives_nothing_away(rest)


async def test_a_message_of_4_gib_in_a_body_of_ten_bytes(gateway: RunningGateway, backend: ScriptedBackend) -> None:
    for flags in (0, 1):
        body = struct.pack(">BI", flags, 0xFFFFFFFF) + b"hello"
        async with untouched(gateway, backend):
            answer = await gateway.ask(request(DEMO + "Echo", gateway.fields(("grpc-encoding", "gzip")), body))
        assert answer.code == 8


@pytest.mark.parametrize(
    "bomb",
    [gzip.compress(bytes(64 * 1024 * 1024)), gzip.compress(bytes(100_000)) * 100, gzip.compress(b"") * 5000],
    ids=["one member", "many members", "empty members"],
)
async def test_a_gzip_bomb(gateway: RunningGateway, backend: ScriptedBackend, bomb: bytes) -> None:
    started = time.process_time()  # client and gateway are one process, whatever others do with the machine
    headers = gateway.fields(("grpc-encoding", "gzip"))
    async with untouched(gateway, backend):
        assert (await gateway.ask(request(DEMO + "Echo", headers, message(bomb, flags=1)))).code == 8
    assert time.process_time() - started < 1.0


@pytest.mark.parametrize("body", [b"", ECHO, ECHO[:3]], ids=["nothing", "a message", "half a prefix"])
async def test_a_body_that_stalls(gateway: RunningGateway, body: bytes) -> None:
    async with connect(gateway.port) as wire:
        started = time.monotonic()
        answer = await wire.ask(request(DEMO + "Collect", gateway.fields(("content-length", "999")), None) + body)
        assert answer.code == 4
        assert STALL * 0.9 < time.monotonic() - started < STALL + PATIENCE


async def test_a_body_that_trickles_is_slow_and_no_more(gateway: RunningGateway) -> None:
    async with connect(gateway.port) as wire:
        await wire.send(request(DEMO + "Collect", gateway.fields(("content-length", str(len(ECHO)))), None))
        started = time.monotonic()
        for byte in ECHO:
            await asyncio.sleep(0.06)
            await wire.send(bytes((byte,)))
        answer = await wire.answer()
        assert time.monotonic() - started > STALL
        assert demo_pb2.CollectReply.FromString(answer.grpc()[0][0]).count == 1


async def test_continue_is_not_said_to_whom_it_does_not_concern(gateway: RunningGateway) -> None:
    for expectation, version in (("100-continue", b"HTTP/1.0"), ("zqxjk", b"HTTP/1.1")):
        headers = gateway.fields(("expect", expectation), ("content-length", str(len(ECHO))), ("connection", "close"))
        async with connect(gateway.port) as wire:
            await wire.send(request(DEMO + "Echo", headers, None).replace(b"HTTP/1.1", version, 1))
            await asyncio.sleep(0.05)
            await wire.send(ECHO)
            assert (await wire.rest()).startswith(b"HTTP/1.1 200 ")
