"""One stream over grpcio: what waits is counted as it came over the wire, and whose words reach the browser."""

import asyncio
import gzip
from collections.abc import AsyncIterator

import grpc
import pytest

from gateway.ends import UpstreamRequest
from gateway.protocol.metadata import Headers
from gateway.protocol.status import Status
from gateway.upstream.channels import Channels
from gateway.upstream.grpcio_stream import LONGEST, SEND_BUFFER, GrpcioStream
from tests.support.frames import message
from tests.unit.upstream.caller import settings

LIMIT = 4 * 1024 * 1024


class Reply:
    """Keeps what the stream says."""

    def __init__(self) -> None:
        self.closed = False
        self.paused = 0
        self.ended: asyncio.Future[Status] = asyncio.get_running_loop().create_future()

    def reply_head(self, metadata: Headers) -> None: ...

    def reply_bytes(self, data: bytes) -> None: ...

    def reply_end(self, status: Status, metadata: Headers) -> None:
        self.closed = True
        if not self.ended.done():
            self.ended.set_result(status)

    def fail(self, status: Status, reason: str) -> None:
        self.reply_end(status, [])

    def pause_request(self) -> None:
        self.paused += 1

    def resume_request(self) -> None: ...


class Refusing(grpc.GenericRpcHandler):
    """Every method ends with NOT_FOUND and the text that the test sets."""

    def __init__(self) -> None:
        self.text = ""
        self.left: float | None = None

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes]":
        async def refuse(_request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> AsyncIterator[bytes]:
            self.left = context.time_remaining()
            await context.abort(grpc.StatusCode.NOT_FOUND, self.text)
            yield b""

        handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_stream_rpc_method_handler(refuse)
        return handler


@pytest.fixture
async def backend() -> AsyncIterator[tuple[Refusing, Channels]]:
    refusing = Refusing()
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((refusing,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    channels = Channels(settings(f"127.0.0.1:{port}"), max_response=LIMIT, user_agent="test/1")
    yield refusing, channels
    await channels.close()
    await server.stop(None)


def stream(channels: Channels, reply: Reply, deadline: float | None = None) -> GrpcioStream:
    request = UpstreamRequest([], deadline, b"application/grpc", b"gzip")
    return GrpcioStream(channels, b"/test.v1.Test/Do", request, reply, LIMIT, unary=False)


@pytest.mark.parametrize("frame", [message(b""), message(gzip.compress(bytes(1_000_000)), flags=1)])
async def test_what_waits_counts_as_it_came(backend: tuple[Refusing, Channels], frame: bytes) -> None:
    """Neither messages of no length nor messages that unpack to a thousand times their length fill the memory."""
    reply = Reply()
    opened = stream(backend[1], reply)
    opened.send(frame * (SEND_BUFFER // len(frame)))
    assert reply.paused == 0
    opened.send(frame * 2)
    assert reply.paused == 1
    opened.cancel()
    assert backend[1].calls == 0


@pytest.mark.parametrize(
    "text", ["customer lookup: unresolved ticket", "DNS zone not found", "GOAWAY, says the shop", "an Errno of sorts"]
)
async def test_the_words_of_a_backend_are_its_own(backend: tuple[Refusing, Channels], text: str) -> None:
    refusing, channels = backend
    refusing.text = text
    reply = Reply()
    opened = stream(channels, reply)
    opened.send(message(b"x"))
    opened.end()
    assert await reply.ended == Status(5, text)


async def test_a_deadline_beyond_what_grpc_can_count_is_cut(backend: tuple[Refusing, Channels]) -> None:
    refusing, channels = backend
    reply = Reply()
    opened = stream(channels, reply, asyncio.get_running_loop().time() + 99_999_999 * 3600.0)
    opened.send(message(b"x"))
    opened.end()
    assert (await reply.ended).code == 5
    assert refusing.left is not None
    assert abs(refusing.left - LONGEST) < 2 * 3600  # long ones travel as whole hours
