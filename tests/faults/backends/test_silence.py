"""Backends that swallow calls, answer late, or are gone without a word: deadlines hold, and nobody else waits."""

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.http2 import wire
from gateway.protocol.status import Status
from gateway.settings import Upstream
from gateway.upstream import backend_link, channels
from gateway.upstream.backend_link import Dialling
from gateway.upstream.base import FULL
from gateway.upstream.pool import Pool
from gateway.upstream.resolver import Target
from tests.faults.conftest import Figures
from tests.faults.h2_backend.load import CALL, OK
from tests.support import http2
from tests.support.backend_http2 import Backend, Request, backend, ok, silent
from tests.support.frames import message
from tests.support.gateway import RunningGateway, eventually, running

OTHER = "/test.v1.Other/Do"
MAX_CALLS = 40
AT_ONCE = 2.0  # seconds
UNAVAILABLE = 14
DEADLINE_EXCEEDED = 4


@contextlib.asynccontextmanager
async def gateway_before(one: list[Backend], other: Backend, **more: Any) -> AsyncIterator[RunningGateway]:
    """`CALL` goes to the upstream of `one`, `OTHER` to another."""

    def change(configuration: dict[str, Any]) -> None:
        section = one[0].section(services=["test.v1.Test"], targets=[each.target for each in one], **more)
        configuration["upstreams"]["test"] = section
        configuration["upstreams"]["other"] = other.section(services=["test.v1.Other"])
        configuration["authorization"]["default"] = "authenticated"
        configuration["limits"] = {"max_calls": MAX_CALLS}

    async with running(change) as gateway:
        yield gateway


async def at_once(gateway: RunningGateway, path: str) -> Status:
    async with asyncio.timeout(AT_ONCE):
        status = (await gateway.post(path, message(b"x"))).status
    assert status is not None
    return status


@pytest.mark.parametrize("transport", ["h2", "grpcio"])
async def test_a_black_hole_does_not_fill_the_house(transport: str) -> None:
    async with backend(silent) as hole, backend() as other:
        over: dict[str, Any] = {"transport": transport}
        async with gateway_before([hole], other, **over) as gateway, http2.connect(gateway.port) as client:
            head = http2.head(CALL, *gateway.fields(), scheme="http")
            swallowed = [await client.request(head, message(b"x")) for _ in range(MAX_CALLS)]
            refused = swallowed[MAX_CALLS // 2 :]
            for stream in refused:
                assert (await stream.response(AT_ONCE)).answer.grpc()[1] == FULL.status
            assert not any(stream.over for stream in swallowed[: MAX_CALLS // 2])
            for _ in range(20):
                assert (await at_once(gateway, OTHER)).code == 0
            # Whoever leaves makes room.
            await swallowed[0].cancel()
            await eventually(lambda: gateway.upstreams["test"].calls == MAX_CALLS // 2 - 1)
            seventh = await client.request(head, message(b"x"))
            with pytest.raises(TimeoutError):
                await seventh.response(0.2)
        await eventually(lambda: gateway.upstreams["test"].calls == 0)


@pytest.mark.parametrize("transport", ["h2", "grpcio"])
async def test_a_backend_that_answers_after_a_second(transport: str, figures: Figures) -> None:
    async def late(request: Request) -> None:
        await asyncio.sleep(1.0)
        await ok(request)

    async with backend(late) as slow, backend() as other:
        over: dict[str, Any] = {"transport": transport}
        async with gateway_before([slow], other, **over) as gateway:

            async def timed(timeout: str) -> tuple[int, float]:
                started = time.monotonic()
                reply = await gateway.post(CALL, message(b"x"), gateway.headers(grpc_timeout=timeout))
                return reply.code, time.monotonic() - started

            short = [asyncio.create_task(timed("300m")) for _ in range(8)]
            long = [asyncio.create_task(timed("5S")) for _ in range(8)]
            await slow.arrivals(16)
            others = []
            for _ in range(20):
                begun = time.monotonic()
                assert (await at_once(gateway, OTHER)).code == 0
                others.append(time.monotonic() - begun)
            ended = await asyncio.gather(*short)
            for code, seconds in ended:
                assert (code, 0.29 < seconds < 0.3 + AT_ONCE) == (DEADLINE_EXCEEDED, True)
            figures(
                deadlines=len(ended),
                latest_ms=round(1000 * (max(seconds for _, seconds in ended) - 0.3)),
                others=len(others),
                slowest_other_ms=round(1000 * max(others)),
            )
            for code, seconds in await asyncio.gather(*long):
                assert (code, 0.99 < seconds < 1.0 + AT_ONCE) == (0, True)


async def test_a_wire_that_is_cut_without_a_word_is_found(monkeypatch: pytest.MonkeyPatch, figures: Figures) -> None:
    """One of two backends reads and says nothing any more. The first deadline that passes makes the gateway look, long
    before the keepalive would: then calls of idempotent methods go to the other, and nobody goes there any more.
    """
    monkeypatch.setattr(wire, "PING_TIMEOUT", 0.5)
    monkeypatch.setattr(backend_link, "SILENCE", 0.1)
    async with backend() as one, backend() as two, backend() as other:
        section: dict[str, Any] = {"idempotent_methods": [CALL], "keepalive": "1h"}
        async with gateway_before([one, two], other, **section) as gateway:
            await eventually(lambda: all(state.healthy for state in gateway.upstreams["test"].addresses))
            (cut,) = one.standing
            cut.stop_reading()
            one.stop()  # nor is there a way to it
            await asyncio.sleep(0.2)
            headers = gateway.headers(grpc_timeout="200m")
            waiting = [asyncio.create_task(gateway.post(CALL, message(b"x"))) for _ in range(10)]
            hurried = await asyncio.gather(*(gateway.post(CALL, message(b"x"), headers) for _ in range(6)))
            assert {reply.code for reply in hurried} == {0, DEADLINE_EXCEEDED}
            begun = time.monotonic()
            async with asyncio.timeout(4):
                replies = await asyncio.gather(*waiting)
            assert {reply.code for reply in replies} == {0}
            figures(calls=len(replies), failed=0, seconds_to_found=round(time.monotonic() - begun, 2))
            assert [
                (state.address, state.healthy) for state in gateway.upstreams["test"].addresses if state.healthy
            ] == [(two.target, True)]
            for _ in range(20):
                assert (await at_once(gateway, CALL)).code == 0


@pytest.mark.parametrize("transport", ["h2", "grpcio"])
async def test_the_keepalive_finds_it_without_a_deadline(transport: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No configuration says so short a one, and time-outs of a PING are fixed."""

    def dialling(pool: Pool, target: Target) -> Dialling:
        return dataclasses.replace(of_h2(pool, target), keepalive=0.3)

    def options(settings: Upstream, max_response: int, user_agent: str) -> list[tuple[str, str | int]]:
        made = dict(of_grpcio(settings.model_copy(update={"keepalive": 0.3}), max_response, user_agent))
        return [*(made | {name: 500 for name in made if name.endswith("_timeout_ms")}).items()]

    of_h2, of_grpcio = Pool.dialling, channels._options
    monkeypatch.setattr(Pool, "dialling", dialling)
    monkeypatch.setattr(channels, "_options", options)
    monkeypatch.setattr(wire, "PING_TIMEOUT", 0.5)
    async with backend(silent) as there, backend() as other:
        there.answers_pings = False
        over: dict[str, Any] = {"transport": transport}
        async with gateway_before([there], other, **over) as gateway, asyncio.timeout(4):
            assert (await gateway.post(CALL, message(b"x"))).code == UNAVAILABLE
            assert len(there.requests) == 1


@pytest.mark.parametrize("transport", ["h2", "grpcio"])
async def test_a_method_that_is_not_idempotent_is_sent_once(transport: str) -> None:
    """And one that is, again: over grpcio by grpc-core's own retries."""
    seen = 0

    async def unavailable_first(request: Request) -> None:
        nonlocal seen
        seen += 1
        if seen == 1:
            request.alone((b"grpc-status", b"14"))
        else:
            await ok(request)

    async with backend(unavailable_first) as there, backend() as other:
        idempotent: dict[str, Any] = {"idempotent_methods": ["/test.v1.Test/Get"], "transport": transport}
        async with gateway_before([there], other, **idempotent) as gateway:
            assert (await gateway.post(CALL, message(b"x"))).code == UNAVAILABLE
            seen = 0
            assert (await gateway.post("/test.v1.Test/Get", message(b"x"))).messages == [b"x"]
            assert seen == 2


@pytest.mark.parametrize("transport", ["h2", "grpcio"])
async def test_a_backend_that_is_not_serving_gets_no_call(transport: str) -> None:
    async def not_serving(request: Request) -> None:
        if request.fields[b":path"] == b"/grpc.health.v1.Health/Watch":
            request.head()
            await request.send(message(b"\x08\x02"))
        else:
            request.alone(OK)

    async with backend(not_serving) as there, backend() as other:
        checked: dict[str, Any] = {"health_check": True, "transport": transport}
        async with gateway_before([there], other, **checked) as gateway, asyncio.timeout(10):
            assert (await gateway.post(CALL, message(b"x"))).code == UNAVAILABLE
            assert {each.fields[b":path"] for each in there.requests} == {b"/grpc.health.v1.Health/Watch"}
            assert not await gateway.upstreams["test"].reachable()
            assert [state.healthy for state in gateway.upstreams["test"].addresses] == [False]
