"""Connections over HTTP/1.1: what is no request, who leaves and what is left of them then, and who is too old."""

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest
from structlog.testing import capture_logs

from gateway.call import Call
from gateway.front.census import Census
from gateway.front.connection import MAX_HEAD, Connection, Http1Server, Request
from gateway.front.http1 import Exchange, Http1Front
from gateway.front.snapshot import FrontSnapshot
from gateway.protocol.status import Code, Status
from tests.support.ends import Road
from tests.support.frames import message
from tests.support.gateway import eventually
from tests.support.memory import MemoryTransport
from tests.support.wire import Answer, Wire, chunked, connect, request
from tests.unit.front.world import Watched

DO = "/test.v1.Test/Do"
FIELDS = [("content-type", "application/grpc-web+proto")]
CHUNKED = [*FIELDS, ("transfer-encoding", "chunked")]
FRAME = message(b"abc")
FREED = (Connection, Request, Exchange, Call)
HOST = b"Host: gateway.test\r\n"


@dataclass
class World:
    """A front with a listener. Lists stand for the backend."""

    port: int
    server: Http1Server
    census: Census
    road: Road

    def forget(self) -> None:
        """What the lists know of calls."""
        self.road.up.replies.clear()
        self.road.gate.answer = None
        self.road.over.clear()

    async def call(self, wire: Wire) -> Answer:
        self.road.up.events.clear()
        await no_reply_yet(wire, self)
        self.road.up.replies[-1].reply_end(Status(Code.OK), [])
        return await wire.answer()

    def tick(self, seconds: float) -> None:
        """As if so much later."""
        self.server.tick(asyncio.get_running_loop().time() + seconds)


@contextlib.asynccontextmanager
async def world(max_connection_age: float | None = None) -> AsyncIterator[World]:
    road, reception, census = Road(), Watched(), Census(100, max_connection_age)
    front = Http1Front(lambda: FrontSnapshot(reception, road.side, 30.0), census)
    server = Http1Server(front.handle, census)
    listener = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
    async with listener:
        yield World(listener.sockets[0].getsockname()[1], server, census, road)
    await server.shutdown(0)


# --- what is no request


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"zqxjk zqxjk\r\n\r\n", "request_line"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "request_line"),  # TLS
        (b"GET / ZQXJK/1.1\r\n\r\n", "request_line"),
        (b"GET http://[zqxjk HTTP/1.1\r\n" + HOST + b"\r\n", "target"),
        (b"GET / HTTP/2.0\r\n" + HOST + b"\r\n", "version"),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: zqxjk, chunked\r\n\r\n0\r\n\r\n", "transfer_encoding"),
        (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "transfer_encoding"),
        (b"GET /" + b"a" * 8192 + b" HTTP/1.1\r\n" + HOST + b"\r\n", "too_long"),
        (b"GET / HTTP/1.1\r\n" + HOST + b"zqxjk: " + b"a" * 17_000 + b"\r\n\r\n", "too_long"),
        (b"GET / HTTP/1.1\r\n" + HOST + b"zqxjk zqxjk: 1\r\n\r\n", "malformed"),
        (b"GET / HTTP/1.1\r\n\r\n", "malformed"),  # no Host
        (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\na", "malformed"),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\nzqxjk\r\n", "malformed"),
    ],
)
async def test_what_was_wrong_is_said_in_a_word_of_ours(sent: bytes, reason: str) -> None:
    async with world() as here, connect(here.port) as wire:
        with capture_logs() as events:
            await wire.send(sent)
            answer = await wire.rest()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.endswith(b"\r\n\r\nbad request\n")
    assert events == [{"event": "bad_request", "peer": "127.0.0.1", "reason": reason, "log_level": "info"}]


async def test_a_head_that_grows_and_grows_is_too_long() -> None:
    lines = [b"x-%d: " % number + b"a" * 8000 + b"\r\n" for number in range(MAX_HEAD // 8000 + 1)]
    async with world() as here, connect(here.port) as wire:
        with capture_logs() as events:
            await wire.send(b"GET / HTTP/1.1\r\n" + b"".join(lines))
            assert await wire.rest() == b""
    assert [(event["event"], event["reason"]) for event in events] == [("bad_request", "too_long")]


# --- who leaves


class Held(MemoryTransport):
    """Nothing is read from it."""

    def is_reading(self) -> bool:
        return False


async def test_a_peer_is_looked_for_after_the_end_of_tls() -> None:
    """Between the two the event loop knows of no socket any more."""
    census = Census(1)
    connection = Http1Server(Http1Front(lambda: pytest.fail("a request"), census).handle, census)()
    assert isinstance(connection, Connection)
    transport = Held(socket=None)
    transport.connect(connection)
    connection._look_for_peer()
    assert not transport.aborted
    transport.abort()
    await asyncio.sleep(0)
    assert census.connections == 0


async def idle(wire: Wire, here: World) -> None:
    await wire.send(b"POST ")


async def half_a_body(wire: Wire, here: World) -> None:
    await wire.send(request(DO, [*FIELDS, ("content-length", "99")], None) + FRAME)
    await eventually(lambda: here.road.up.chunks != [])


async def chunks(wire: Wire, here: World) -> None:
    await wire.send(request(DO, CHUNKED, None) + chunked(FRAME))
    await eventually(lambda: here.road.up.chunks != [])
    here.road.up.replies[-1].reply_bytes(FRAME)
    await wire.head()


async def a_body_that_is_held_up(wire: Wire, here: World) -> None:
    await chunks(wire, here)
    here.road.up.replies[-1].pause_request()
    wire.writer.write(chunked(message(bytes(1_000_000))))
    await asyncio.sleep(0.02)


async def a_malformed_body(wire: Wire, here: World) -> None:
    await chunks(wire, here)
    await wire.send(b"zqxjk\r\n")
    await wire.rest()


async def no_reply_yet(wire: Wire, here: World) -> None:
    await wire.send(request(DO, FIELDS, FRAME))
    await eventually(lambda: here.road.up.events != [])


async def half_a_reply(wire: Wire, here: World) -> None:
    await no_reply_yet(wire, here)
    here.road.up.replies[-1].reply_bytes(FRAME)
    await wire.head()


async def a_reply_that_breaks_off(wire: Wire, here: World) -> None:
    await no_reply_yet(wire, here)
    here.road.up.replies[-1].reply_bytes(FRAME[:-1])
    here.road.up.replies[-1].reply_end(Status(Code.OK), [])
    await wire.rest()


async def a_reply_that_is_not_read(wire: Wire, here: World) -> None:
    await no_reply_yet(wire, here)
    wire.stop_reading()
    here.road.up.replies[-1].reply_bytes(message(bytes(10_000_000)))
    await asyncio.sleep(0.02)


async def requests_behind_one(wire: Wire, here: World) -> None:
    await no_reply_yet(wire, here)
    await wire.send(request(DO, FIELDS, FRAME) * 5)
    await asyncio.sleep(0.02)


async def a_whole_call(wire: Wire, here: World) -> None:
    await no_reply_yet(wire, here)
    here.road.up.replies[-1].reply_end(Status(Code.OK), [])
    assert (await wire.answer()).code == 0


async def rubbish(wire: Wire, here: World) -> None:
    await wire.send(b"zqxjk zqxjk\r\n\r\n")
    await wire.rest()


@pytest.mark.parametrize("leave", [lambda wire: wire.writer.close(), Wire.reset], ids=["closed", "reset"])
@pytest.mark.parametrize(
    "stage",
    [
        idle,
        half_a_body,
        chunks,
        a_body_that_is_held_up,
        a_malformed_body,
        no_reply_yet,
        half_a_reply,
        a_reply_that_breaks_off,
        a_reply_that_is_not_read,
        requests_behind_one,
        a_whole_call,
        rubbish,
    ],
)
async def test_who_leaves_leaves_no_cycle_behind(
    stage: Callable[[Wire, World], Awaitable[None]], leave: Callable[[Wire], object]
) -> None:
    """The collector is set to run rarely."""
    async with world() as here:
        gc.freeze()  # what is there already is not looked at
        gc.disable()
        try:
            for _ in range(3):
                async with connect(here.port) as wire:
                    await stage(wire, here)
                    leave(wire)
                    await eventually(lambda: not here.census.calls and not here.census.connections)
                here.road.up.chunks.clear()
                here.road.up.events.clear()
                here.forget()
            await eventually(lambda: not any(type(each) in FREED for each in gc.get_objects()))
        finally:
            gc.enable()
            gc.unfreeze()


# --- who is too old


async def test_who_is_too_old_hears_of_it_with_the_next_answer() -> None:
    async with world(100.0) as here, connect(here.port) as wire:
        assert (await here.call(wire)).value("connection") is None
        here.tick(89)
        assert (await here.call(wire)).value("connection") is None
        here.tick(111)
        here.tick(112)
        last = await here.call(wire)  # which may have been on its way: the connection was not closed under it
        assert (last.code, last.value("connection")) == (0, "close")
        assert await wire.rest() == b""


async def test_a_page_may_be_the_last_answer() -> None:
    async with world(100.0) as here, connect(here.port) as wire:
        await here.call(wire)
        here.tick(111)
        assert (await wire.ask(request("/", [], None, "GET"))).value("connection") == "close"
        assert await wire.rest() == b""


async def test_a_call_that_runs_meanwhile_is_the_last_if_its_answer_can_say_so() -> None:
    async with world(100.0) as here, connect(here.port) as wire:
        await no_reply_yet(wire, here)
        here.tick(111)
        here.road.up.replies[-1].reply_bytes(FRAME)
        assert (await wire.head()).value("connection") == "close"
        await to_its_end(wire, here)
        assert await wire.rest() == b""


async def to_its_end(wire: Wire, here: World) -> None:
    """Of half a reply."""
    here.road.up.replies[-1].reply_end(Status(Code.OK), [])
    while await wire.chunk():
        pass


async def test_an_answer_that_could_not_say_so_is_not_the_last() -> None:
    async with world(100.0) as here, connect(here.port) as wire:
        await half_a_reply(wire, here)
        here.tick(111)
        await to_its_end(wire, here)
        last = await here.call(wire)
        assert (last.code, last.value("connection")) == (0, "close")
        assert await wire.rest() == b""


@pytest.mark.parametrize("first", ["age", "drain"])
async def test_a_drain_waits_for_no_further_answer(first: str) -> None:
    async with world(100.0) as here, connect(here.port) as wire:
        await half_a_reply(wire, here)
        for step in (first, {"age": "drain", "drain": "age"}[first]):
            if step == "age":
                here.tick(111)
            else:
                here.server.drain()
        await to_its_end(wire, here)
        assert await wire.rest() == b""


async def test_who_is_silent_is_closed_soon_after_a_drain_and_who_is_not_is_answered_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gateway.front.connection.DRAIN_NOTICE", 0.2)
    async with world() as here, connect(here.port) as idle, connect(here.port) as used, connect(here.port) as fresh:
        await here.call(used)
        await eventually(lambda: here.census.connections == 3)
        here.server.drain()
        for wire in (fresh, used):
            assert (await here.call(wire)).value("connection") == "close"
            assert await wire.rest() == b""
        assert here.census.connections == 1
        assert await idle.rest() == b""


async def test_another_age_holds_for_who_is_there() -> None:
    async with world() as here, connect(here.port) as wire:
        await here.call(wire)
        here.tick(1e9)
        assert (await here.call(wire)).value("connection") is None
        here.census.max_connection_age = 100.0
        here.tick(111)
        assert (await here.call(wire)).value("connection") == "close"
