"""Calls over grpcio that were surely not sent go to another backend; no other call does."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from gateway.ends import UpstreamRequest
from gateway.protocol.status import Status
from gateway.upstream.channels import Channel, Channels
from gateway.upstream.grpcio_stream import GrpcioStream
from tests.support.frames import message
from tests.support.gateway import eventually
from tests.unit.upstream.caller import Caller, settings
from tests.unit.upstream.test_channels import FAILING, REFUSED, nobody

LIMIT = 4 * 1024 * 1024
METADATA = [(b"x-test", b"kept")]


class Backend(grpc.GenericRpcHandler):
    """Gives each request back, unless it is silent, or ends the call with the status that the test sets."""

    def __init__(self) -> None:
        self.calls = 0
        self.port = 0
        self.silent = False
        self.refusal: tuple[grpc.StatusCode, str] | None = None
        self.trailers: tuple[tuple[str, str], ...] = ()

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes]":
        assert ("x-test", "kept") in [tuple(pair) for pair in handler_call_details.invocation_metadata]
        self.calls += 1

        async def run(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
            if self.refusal is not None:
                await context.abort(*self.refusal, self.trailers)
            async for request in requests:
                if not self.silent:
                    yield request

        handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.stream_stream_rpc_method_handler(run)
        return handler


@contextlib.asynccontextmanager
async def backend() -> AsyncIterator[Backend]:
    handler = Backend()
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers((handler,))
    handler.port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield handler
    finally:
        await server.stop(None)


@contextlib.asynccontextmanager
async def channels_to(*targets: str, connected: int) -> AsyncIterator[Channels]:
    """`connected`: how many of them have a connection before the test begins."""
    channels = Channels(settings(*targets), max_response=LIMIT, user_agent="test/1")
    for channel in channels._channels:
        channel.aio.get_state(try_to_connect=True)
    await eventually(lambda: sum(state.healthy for state in channels.states()) == connected)
    try:
        yield channels
        assert not channels.calls
    finally:
        await channels.close()


def first(channels: Channels, target: str) -> None:
    """Calls take the channel to this target, as those do that come in the moment in which its connection is lost."""
    (channel,) = (channel for channel in channels._channels if channel.target == target)
    channels.take = lambda: channel  # type: ignore[method-assign]


def call(channels: Channels, body: bytes, *, unary: bool = False, end: bool = True) -> tuple[GrpcioStream, Caller]:
    caller = Caller()
    request = UpstreamRequest(METADATA, asyncio.get_running_loop().time() + 10, b"application/grpc", b"identity", False)
    stream = GrpcioStream(channels, b"/test.v1.Test/Do", request, caller, LIMIT, unary=unary)
    caller.stream = stream
    stream.send(body)
    if end:
        stream.end()
    return stream, caller


@pytest.mark.parametrize("unary", [True, False])
async def test_a_call_that_finds_no_connection_goes_to_another_backend(unary: bool) -> None:
    with nobody() as port:
        async with backend() as alive, channels_to(f"127.0.0.1:{port}", alive.target, connected=1) as channels:
            first(channels, f"127.0.0.1:{port}")
            _, caller = call(channels, message(b"hello"), unary=unary)
            assert (await caller.end()).code == 0
            assert (caller.data, alive.calls) == (message(b"hello"), 1)


async def test_a_stream_of_requests_arrives_whole_and_in_order() -> None:
    """The first message was taken for the backend that is gone; more come when the call is at the other one."""
    with nobody() as port:
        async with backend() as alive, channels_to(f"127.0.0.1:{port}", alive.target, connected=1) as channels:
            first(channels, f"127.0.0.1:{port}")
            stream, caller = call(channels, message(b"1") + message(b"2"), end=False)
            await caller.until(lambda: caller.data == message(b"1") + message(b"2"))
            stream.send(message(b"3"))
            stream.end()
            assert (await caller.end()).code == 0
            assert (caller.data, alive.calls) == (b"".join(map(message, (b"1", b"2", b"3"))), 1)


async def test_each_backend_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with nobody() as one, nobody() as other:
        targets = [f"127.0.0.1:{port}" for port in (one, other)]
        async with channels_to(*targets, connected=0) as channels:
            taken: list[Channel] = []

            def flapping(tried: Any) -> Channel | None:
                """They all have a connection when somebody asks, and none when a call comes."""
                found = next((channel for channel in channels._channels if channel not in tried), None)
                taken.extend([found] if found else [])
                return found

            first(channels, targets[0])
            monkeypatch.setattr(channels, "another", flapping)
            _, caller = call(channels, message(b"hello"))
            assert await caller.end() == Status(14, "the backend cannot be reached")
            assert [channel.target for channel in taken] == targets[1:]


async def test_with_nobody_left_a_call_ends_at_once() -> None:
    with nobody() as one, nobody() as other:
        async with channels_to(f"127.0.0.1:{one}", f"127.0.0.1:{other}", connected=0) as channels:
            _, caller = call(channels, message(b"hello"))
            assert (await caller.end(1.0)).code == 14


@pytest.mark.parametrize("unary", [True, False])
@pytest.mark.parametrize(
    ("address", "trailers"), [("10.0.0.9:7", ()), ("its own", (("x-request", "7"),))], ids=["behind it", "trailers"]
)
async def test_what_a_backend_has_answered_is_never_sent_again(
    address: str, trailers: tuple[tuple[str, str], ...], unary: bool
) -> None:
    """Not even if it says what grpc-core would say."""
    async with backend() as one, backend() as other, channels_to(one.target, other.target, connected=2) as channels:
        said = f"{FAILING}UNKNOWN: ipv4:{one.target if address == 'its own' else address}: {REFUSED}"
        one.refusal, one.trailers = (grpc.StatusCode.UNAVAILABLE, said), trailers
        first(channels, one.target)
        _, caller = call(channels, message(b"hello"), unary=unary)
        assert (await caller.end()).code == 14
        assert (one.calls, other.calls) == (1, 0)


@pytest.mark.parametrize("silent", [True, False])
async def test_a_call_that_has_begun_cannot_start_again_and_keeps_nothing_for_it(silent: bool) -> None:
    """It has sent something, or has something of its reply."""
    async with backend() as one, channels_to(one.target, connected=1) as channels:
        one.silent = silent
        stream, _ = call(channels, message(b"1"), end=False)
        await eventually(lambda: (stream._request, stream._taken) == (None, None))
        stream.cancel()
        await eventually(lambda: not channels.calls)
