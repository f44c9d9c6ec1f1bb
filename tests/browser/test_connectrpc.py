"""connectrpc, a Python client that others wrote, speaking gRPC-Web: every kind of method, over HTTP/1.1 and HTTP/2, in
plaintext and over TLS with gzip.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from connectrpc.client import ConnectClient
from connectrpc.code import Code
from connectrpc.compat import google_protobuf_binary_codec
from connectrpc.compression.gzip import GzipCompression
from connectrpc.errors import ConnectError
from connectrpc.method import IdempotencyLevel, MethodInfo, StreamType
from connectrpc.protocol import ProtocolType
from google.protobuf.message import Message
from pyqwest import Client as HTTPClient
from pyqwest import HTTPTransport, HTTPVersion

from gateway.demo.pb.demo_pb2 import (
    CollectReply,
    CountReply,
    CountRequest,
    EchoReply,
    EchoRequest,
    FailReply,
    FailRequest,
    WhoAmIReply,
    WhoAmIRequest,
)
from gateway.demo.pb.status_pb2 import ErrorInfo
from tests.support.gateway import RunningGateway, eventually, running


def method(
    name: str, request: type[Message], reply: type[Message], kind: StreamType = StreamType.UNARY
) -> MethodInfo[Any, Any]:
    """What generated code would say."""
    return MethodInfo(
        name=name,
        service_name="demo.v1.Demo",
        input=request,
        output=reply,
        idempotency_level=IdempotencyLevel.UNKNOWN,
        stream_type=kind,
    )


ECHO = method("Echo", EchoRequest, EchoReply)
SHOUT = method("Shout", EchoRequest, EchoReply)
WHO_AM_I = method("WhoAmI", WhoAmIRequest, WhoAmIReply)
FAIL = method("Fail", FailRequest, FailReply)
COUNT = method("Count", CountRequest, CountReply, StreamType.SERVER_STREAM)
COLLECT = method("Collect", EchoRequest, CollectReply, StreamType.CLIENT_STREAM)
CHAT = method("Chat", EchoRequest, EchoReply, StreamType.BIDI_STREAM)


@pytest.fixture
async def gateway() -> AsyncIterator[RunningGateway]:
    async with running() as running_gateway:
        yield running_gateway


@pytest.fixture(params=["http/1.1", "http/1.1, tls, gzip", "h2, prior knowledge", "h2, tls, gzip"])
async def client(gateway: RunningGateway, request: pytest.FixtureRequest) -> AsyncIterator[ConnectClient]:
    """It speaks the version it is told, and no other."""
    encrypted = "tls" in request.param
    compression = GzipCompression() if "gzip" in request.param else None
    version = HTTPVersion.HTTP2 if request.param.startswith("h2") else HTTPVersion.HTTP1
    ca = gateway.world.pki.ca.read_bytes()
    async with HTTPTransport(tls_ca_cert=ca, http_version=version) as transport:
        yield ConnectClient(
            gateway.gateway.urls[encrypted],
            codec=google_protobuf_binary_codec(),
            protocol=ProtocolType.GRPC_WEB,
            accept_compression=[compression] if compression else [],
            send_compression=compression,
            http_client=HTTPClient(transport),
        )


@pytest.fixture
def reader(gateway: RunningGateway) -> dict[str, str]:
    return {"authorization": f"Bearer {gateway.token()}"}


async def texts(*each: str) -> AsyncIterator[EchoRequest]:
    for text in each:
        yield EchoRequest(text=text)


async def test_unary(client: ConnectClient, reader: dict[str, str]) -> None:
    request = EchoRequest(text="grüß dich", payload=bytes(100_000))
    reply = await client.execute_unary(request=request, method=ECHO, headers=reader)
    assert (reply.text, reply.payload) == (request.text, request.payload)


async def test_server_stream(client: ConnectClient, reader: dict[str, str]) -> None:
    request = CountRequest(count=20, payload_bytes=1000)
    replies = client.execute_server_stream(request=request, method=COUNT, headers=reader)
    assert [reply.number async for reply in replies] == list(range(1, 21))


async def test_client_stream(client: ConnectClient, reader: dict[str, str]) -> None:
    reply = await client.execute_client_stream(request=texts("one", "two", "three"), method=COLLECT, headers=reader)
    assert (reply.count, reply.text) == (3, "one two three")


async def test_messages_go_both_ways_at_once(client: ConnectClient, reader: dict[str, str]) -> None:
    asked: asyncio.Queue[str | None] = asyncio.Queue()

    async def requests() -> AsyncIterator[EchoRequest]:
        while (text := await asked.get()) is not None:
            yield EchoRequest(text=text)

    replies = client.execute_bidi_stream(request=requests(), method=CHAT, headers=reader)
    async with asyncio.timeout(5):
        for text in ("one", "two", "three"):
            asked.put_nowait(text)
            assert (await anext(replies)).text == text
        asked.put_nowait(None)
        assert [reply async for reply in replies] == []


async def test_leaving_a_stream_ends_it_at_the_backend(
    client: ConnectClient, reader: dict[str, str], gateway: RunningGateway
) -> None:
    request = CountRequest(interval_ms=20)
    replies = client.execute_server_stream(request=request, method=COUNT, headers=reader)
    assert [(await anext(replies)).number for _ in range(3)] == [1, 2, 3]
    assert gateway.world.backend.open_streams == 1
    await replies.aclose()  # type: ignore[attr-defined]
    await eventually(lambda: gateway.world.backend.open_streams == 0)


async def test_a_deadline(client: ConnectClient, reader: dict[str, str], gateway: RunningGateway) -> None:
    request = CountRequest(interval_ms=20)
    replies = client.execute_server_stream(request=request, method=COUNT, headers=reader, timeout_ms=200)
    with pytest.raises(ConnectError) as refused:
        _ = [reply async for reply in replies]
    assert refused.value.code is Code.DEADLINE_EXCEEDED
    await eventually(lambda: gateway.world.backend.open_streams == 0)


async def test_metadata_and_deadline_arrive(client: ConnectClient, reader: dict[str, str]) -> None:
    headers = reader | {"x-sample": "from afar", "x-sample-bin": "yv4"}
    reply = await client.execute_unary(request=WhoAmIRequest(), method=WHO_AM_I, headers=headers, timeout_ms=5000)
    assert reply.metadata["x-sample"] == "from afar"
    assert reply.metadata["x-sample-bin"] == "yv4="
    assert 4 < float(reply.deadline) < 5.1


async def test_an_error_with_details(client: ConnectClient, reader: dict[str, str]) -> None:
    request = FailRequest(code=9, message="the shelf is empty 在庫なし", detail="SHELF_EMPTY")
    with pytest.raises(ConnectError) as failed:
        await client.execute_unary(request=request, method=FAIL, headers=reader)
    assert failed.value.code is Code.FAILED_PRECONDITION
    assert failed.value.message == request.message
    [detail] = failed.value.details
    assert detail.type_name == "google.rpc.ErrorInfo"
    assert ErrorInfo.FromString(detail.message_bytes).reason == "SHELF_EMPTY"


async def test_refusals(client: ConnectClient, reader: dict[str, str], gateway: RunningGateway) -> None:
    with pytest.raises(ConnectError) as no_token:
        await client.execute_unary(request=EchoRequest(), method=ECHO)
    with pytest.raises(ConnectError) as no_role:
        await client.execute_unary(request=EchoRequest(), method=SHOUT, headers=reader)
    assert (no_token.value.code, no_role.value.code) == (Code.UNAUTHENTICATED, Code.PERMISSION_DENIED)
    assert gateway.backend_calls == 0


async def test_a_request_stream_that_is_refused(client: ConnectClient, gateway: RunningGateway) -> None:
    """The answer comes before the request has ended, and does not wait for it."""
    never = asyncio.Event()

    async def requests() -> AsyncIterator[EchoRequest]:
        yield EchoRequest(text="one")
        with contextlib.suppress(asyncio.CancelledError):
            await never.wait()

    with pytest.raises(ConnectError) as refused:
        async with asyncio.timeout(5):
            await client.execute_client_stream(request=requests(), method=COLLECT)
    assert refused.value.code is Code.UNAUTHENTICATED
    assert gateway.backend_calls == 0
