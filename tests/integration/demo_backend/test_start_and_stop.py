"""How the demo backend starts, and stops without losing a call."""

import asyncio
import time

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from gateway.demo.backend import Backend
from gateway.demo.pb import demo_pb2 as pb
from gateway.demo.pb import demo_pb2_grpc
from gateway.demo.pki import Pki
from tests.integration.demo_backend.calling import (
    authorization,
    connect,
    token,
)


async def test_a_graceful_stop_says_so_and_lets_calls_end(pki: Pki, backend: Backend) -> None:
    async with connect(backend, pki.ca, pki.gateway) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        chat = demo_pb2_grpc.DemoStub(channel).Chat(metadata=authorization(token()))
        await chat.write(pb.EchoRequest(text="before"))
        assert (await chat.read()).text == "before"
        stopping = asyncio.create_task(backend.stop(10.0))
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        watch.cancel()
        await chat.write(pb.EchoRequest(text="after"))
        assert (await chat.read()).text == "after"
        await chat.done_writing()
        await asyncio.wait_for(stopping, 5.0)
        assert await chat.code() is grpc.StatusCode.OK


async def test_it_serves_whoever_has_not_yet_heard_that_it_stops(
    pki: Pki, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.demo.backend.NOTICE", 0.5)
    async with connect(backend, pki.ca, pki.gateway) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        told = time.monotonic()
        stopping = asyncio.create_task(backend.stop())
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        async with connect(backend, pki.ca, pki.gateway) as late:  # a connection of its own
            await demo_pb2_grpc.DemoStub(late).Echo(pb.EchoRequest(), metadata=authorization(token()))
            assert not stopping.done()
            await stopping
        assert time.monotonic() - told >= 0.5
        assert await watch.code() is not grpc.StatusCode.OK  # the one who watches does not keep it


@pytest.mark.parametrize("watched", [False, True], ids=["never watched", "not any more"])
async def test_with_nobody_who_watches_it_stops_at_once(
    watched: bool, pki: Pki, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.demo.backend.NOTICE", 60.0)
    async with connect(backend, pki.ca, pki.gateway) as channel:
        await demo_pb2_grpc.DemoStub(channel).Echo(pb.EchoRequest(), metadata=authorization(token()))
        if watched:
            watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
            await watch.read()
        stopping = asyncio.create_task(backend.stop())
        if watched:
            await watch.read()
            watch.cancel()
        await asyncio.wait_for(stopping, 5.0)


async def test_it_may_be_started_again_on_the_port_it_had(pki: Pki, backend: Backend) -> None:
    await backend.stop()
    backend.bind = f"127.0.0.1:{backend.port}"
    assert await backend.start() == backend.port
    async with connect(backend, pki.ca, pki.gateway) as channel:
        await demo_pb2_grpc.DemoStub(channel).Echo(pb.EchoRequest(), metadata=authorization(token()))


async def test_a_port_that_is_taken_is_named(pki: Pki, backend: Backend) -> None:
    with pytest.raises(OSError, match=f"127.0.0.1:{backend.port}"):
        await Backend(pki, require_token=False, bind=f"127.0.0.1:{backend.port}").start()
