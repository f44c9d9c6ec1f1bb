"""Connections that are too old, over real sockets: they are told to go, and no call notices."""

import asyncio
from collections.abc import Callable
from typing import Any

from gateway.demo.pb import demo_pb2
from gateway.front.connection import Connection
from tests.integration.wire.ways import ECHO, OK_FRAME, Http2Way
from tests.support import wire
from tests.support.callers import Http1Caller, Http2Caller, NativeCaller, calling
from tests.support.frames import message, take_apart
from tests.support.gateway import DEMO, RunningGateway, eventually, running
from tests.support.http2 import ErrorCodes, GoAway

NOTICE = GoAway(2**31 - 1, ErrorCodes.NO_ERROR, b"")  # streams that are on their way are still served
OLD = 2.3  # seconds: more than an age of one, a tenth, and the second until somebody looks
LONG = message(demo_pb2.CountRequest(count=20, interval_ms=200))  # twice as long as a connection becomes old


def aged(age: str) -> Callable[[dict[str, Any]], None]:
    def change(configuration: dict[str, Any]) -> None:
        configuration["limits"] = {"max_connection_age": age}

    return change


def is_over(gateway: RunningGateway) -> bool:
    """Whether every connection over HTTP/1.1 knows that it is too old."""
    return all(isinstance(each, Connection) and each.closing for each in gateway.gateway._server.connections)


async def over_http1(gateway: RunningGateway) -> None:
    """An answer whose head has left before cannot tell; the next one does."""
    echo = wire.request(DEMO + "Echo", gateway.fields(), ECHO)
    async with wire.connect(gateway.port) as line:
        answer = await line.ask(wire.request(DEMO + "Count", gateway.fields(), LONG))
        assert answer.value("connection") is None
        messages, status, _ = answer.grpc()
        assert (len(messages), status.code) == (20, 0)
        last = await line.ask(echo)
        assert (last.code, last.value("connection")) == (0, "close")
        assert await line.rest() == b""


async def over_http2(way: Http2Way) -> None:
    async with way.connect() as client:
        stream = await client.request(way.head(DEMO + "Count"), LONG)
        await client.until(lambda: client.goaway is not None)
        assert client.goaway == NOTICE
        on_its_way = await client.request(way.head(DEMO + "Echo"), ECHO)
        assert (await on_its_way.response()).data == ECHO + OK_FRAME
        await client.until(lambda: client.goaway == GoAway(on_its_way.id, ErrorCodes.NO_ERROR, b""))
        messages, status, _ = take_apart((await stream.response()).data)
        assert (len(messages), status.code) == (20, 0)
        await client.until_closed()


async def test_who_is_too_old_is_told_to_go_and_what_runs_is_finished() -> None:
    async with running(aged("1s")) as gateway:
        await asyncio.gather(over_http1(gateway), *(over_http2(Http2Way(gateway, tls)) for tls in (True, False)))
        await eventually(lambda: gateway.gateway.census.connections == 0)


async def test_who_comes_back_loses_no_call() -> None:
    async with running(aged("1s")) as gateway:
        fields = gateway.fields()
        callers = (
            Http1Caller(gateway.port, fields),
            Http2Caller(gateway.tls_port, fields, gateway.world.pki.ca),
            NativeCaller(gateway.port, fields),
        )
        over_http1: set[object] = set()
        over_http2: set[object] = set()

        def came_back() -> bool:
            over_http1.update(gateway.gateway._server.connections)
            over_http2.update(gateway.gateway._http2.links)
            return len(over_http1) >= 3 and len(over_http2) >= 6

        async with calling(*callers) as tally:
            await eventually(came_back, 30.0)
        assert (tally.bad, tally.resent) == ([], 0)
        assert tally.good > 0


async def test_a_changed_age_holds_for_connections_that_are_there() -> None:
    async with running(aged("none")) as gateway:
        way = Http2Way(gateway, True)
        echo = wire.request(DEMO + "Echo", gateway.fields(), ECHO)
        async with wire.connect(gateway.port) as line, way.connect() as client:
            assert (await line.ask(echo)).code == 0
            await asyncio.sleep(OLD)
            assert client.goaway is None
            assert (await line.ask(echo)).value("connection") is None
            assert await gateway.reconfigure(aged("1s"))
            await client.until(lambda: client.goaway == NOTICE)
            await eventually(lambda: is_over(gateway))
            last = await line.ask(echo)
            assert (last.code, last.value("connection")) == (0, "close")


async def test_over_http1_who_is_quiet_hears_of_it_when_it_calls_again() -> None:
    async with running(aged("1s")) as gateway, wire.connect(gateway.port) as line:
        echo = wire.request(DEMO + "Echo", gateway.fields(), ECHO)
        assert (await line.ask(echo)).value("connection") is None
        await eventually(lambda: is_over(gateway))
        last = await line.ask(echo)
        assert (last.code, last.value("connection")) == (0, "close")
        assert await line.rest() == b""
