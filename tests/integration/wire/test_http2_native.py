"""Over HTTP/2: native gRPC, by hand and with grpc's own client."""

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from gateway.demo.pb import demo_pb2, demo_pb2_grpc
from tests.integration.wire.ways import ECHO, NATIVE, Http2Way
from tests.support import wire
from tests.support.backends import SCRIPT, ScriptedBackend
from tests.support.certificates import authority, leaf, write_pair
from tests.support.gateway import DEMO, RunningGateway, eventually, running

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_native_answer_byte_by_byte(way: Http2Way) -> None:
    answer = await way.stream(DEMO + "Echo", ECHO, ("te", "trailers"), content_type=NATIVE, origin="")
    assert answer.data == ECHO
    assert answer.trailers == [(b"grpc-status", b"0")]
    assert sorted(name for name, _ in answer.headers) == [b":status", b"content-type", b"date", b"server", b"vary"]
    assert dict(answer.headers)[b"content-type"] == NATIVE.encode()
    refused = await way.stream(DEMO + "Echo", ECHO, content_type="application/grpc", origin="", authorization="")
    assert refused.data == b""
    assert refused.answer.value("grpc-status") == "16"  # Trailers-Only
    assert refused.trailers is None
    assert refused.answer.value("www-authenticate") == "Bearer"
    assert refused.answer.value("content-type") == "application/grpc"


async def test_native_calls_are_of_http2_alone(gateway: RunningGateway) -> None:
    ask = wire.request(DEMO + "Echo", gateway.fields(content_type=NATIVE), ECHO)
    assert (await gateway.ask(ask)).status == 415


@contextlib.asynccontextmanager
async def native(
    gateway: RunningGateway, *, tls: bool = True, pair: tuple[Path, Path] | None = None, **options: Any
) -> AsyncIterator[grpc.aio.Channel]:
    """A channel of grpc's own client."""
    target = f"localhost:{Http2Way(gateway, tls).port}"
    if not tls:
        channel = grpc.aio.insecure_channel(target, **options)
    else:
        certificate, key = (path.read_bytes() for path in pair) if pair else (None, None)
        credentials = grpc.ssl_channel_credentials(gateway.world.pki.ca.read_bytes(), key, certificate)
        channel = grpc.aio.secure_channel(target, credentials, **options)
    async with channel:
        yield channel


def bearer(gateway: RunningGateway, role: str = "reader") -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {gateway.token(role)}"),)


@pytest.mark.parametrize("tls", [True, False])
async def test_grpcs_own_client_calls_every_kind_of_method(gateway: RunningGateway, tls: bool) -> None:
    async with native(gateway, tls=tls) as channel:
        stub: Any = demo_pb2_grpc.DemoStub(channel)  # type: ignore[no-untyped-call]
        token = bearer(gateway)
        assert (await stub.Echo(demo_pb2.EchoRequest(text="grüß dich"), metadata=token)).text == "grüß dich"
        large = demo_pb2.EchoRequest(payload=bytes(range(256)) * 12 * 1024)
        assert (await stub.Echo(large, metadata=token)).payload == large.payload
        counted = [reply.number async for reply in stub.Count(demo_pb2.CountRequest(count=5), metadata=token)]
        assert counted == [1, 2, 3, 4, 5]
        asks = [demo_pb2.EchoRequest(text=str(number)) for number in range(20)]
        collected = await stub.Collect(iter(asks), metadata=token)
        assert (collected.count, collected.text) == (20, " ".join(map(str, range(20))))
        chat = stub.Chat(metadata=token)
        for ask in asks:
            await chat.write(ask)
            assert (await chat.read()).text == ask.text
        await chat.done_writing()
        assert await chat.read() is grpc.aio.EOF
        assert await chat.code() is grpc.StatusCode.OK
        who = await stub.WhoAmI(demo_pb2.WhoAmIRequest(), metadata=(*token, ("x-mine", "1"), ("x-raw-bin", b"\0\xff")))
        assert who.metadata["x-mine"] == "1"
        assert who.metadata["x-raw-bin"] == "AP8="
        assert who.metadata["x-forwarded-proto"] == ("https" if tls else "http")


async def test_grpcs_own_client_is_told_what_went_wrong(gateway: RunningGateway) -> None:
    async with native(gateway) as channel:
        stub: Any = demo_pb2_grpc.DemoStub(channel)  # type: ignore[no-untyped-call]
        before = gateway.backend_calls
        unknown: Any = channel.unary_unary("/no.such.Service/Do")
        ask, token = demo_pb2.EchoRequest(), bearer(gateway)
        for call, code in (
            (stub.Echo(ask), grpc.StatusCode.UNAUTHENTICATED),
            (stub.Echo(ask, metadata=(("authorization", "Bearer x"),)), grpc.StatusCode.UNAUTHENTICATED),
            (stub.Shout(ask, metadata=token), grpc.StatusCode.PERMISSION_DENIED),
            (unknown(b"", metadata=token), grpc.StatusCode.UNIMPLEMENTED),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await call
            assert refused.value.code() is code
        assert gateway.backend_calls == before
        failure = demo_pb2.FailRequest(code=9, message="schön: 100 %", detail="NOT_READY")
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await stub.Fail(failure, metadata=bearer(gateway))
        assert failed.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert failed.value.details() == "schön: 100 %"
        trailing = dict(failed.value.trailing_metadata())
        assert b"NOT_READY" in trailing["grpc-status-details-bin"]


async def test_grpcs_own_client_and_deadlines(gateway: RunningGateway) -> None:
    async with native(gateway) as channel:
        stub: Any = demo_pb2_grpc.DemoStub(channel)  # type: ignore[no-untyped-call]
        who = await stub.WhoAmI(demo_pb2.WhoAmIRequest(), metadata=bearer(gateway), timeout=7.0)
        assert 6.0 < float(who.deadline) < 7.1
        stream = stub.Count(demo_pb2.CountRequest(interval_ms=60_000), metadata=bearer(gateway), timeout=0.3)
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            _ = [reply async for reply in stream]
        assert ended.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await asyncio.wait_for(gateway.world.backend.wait_open(0), wire.PATIENCE)


async def test_grpcs_own_client_cancels(gateway: RunningGateway) -> None:
    async with native(gateway) as channel:
        stub: Any = demo_pb2_grpc.DemoStub(channel)  # type: ignore[no-untyped-call]
        stream = stub.Count(demo_pb2.CountRequest(interval_ms=60_000), metadata=bearer(gateway))
        assert (await stream.read()).number == 1
        stream.cancel()
        await asyncio.wait_for(gateway.world.backend.wait_open(0), wire.PATIENCE)
        await eventually(lambda: gateway.open_calls == 0)
        assert (await stub.Echo(demo_pb2.EchoRequest(text="x"), metadata=bearer(gateway))).text == "x"


async def test_grpcs_own_client_may_compress(gateway: RunningGateway, backend: ScriptedBackend) -> None:
    async with native(gateway, compression=grpc.Compression.Gzip) as channel:
        sent = b"m" * 10_000
        tell_it: Any = channel.stream_unary(SCRIPT + "Tell")
        told = json.loads(await tell_it(iter([sent]), metadata=bearer(gateway)))
        assert base64.b64decode(told["messages"][0]) == sent
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await tell_it(iter([bytes(5 * 1024 * 1024)]), metadata=bearer(gateway))  # of 5 kB, as it travels
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_certificate_opens_what_rules_name_it_for(backend: ScriptedBackend, tmp_path: Path) -> None:
    signer = authority("clients")
    (tmp_path / "clients.pem").write_bytes(signer.pem)
    ops, other = (write_pair(tmp_path, *leaf(signer, name), stem=name) for name in ("ops.internal", "other.internal"))

    def change(configuration: dict[str, Any]) -> None:
        backend.behind()(configuration)
        configuration["listeners"][1]["tls"] |= {
            "client_ca": str(tmp_path / "clients.pem"),
            "client_auth": "optional",
        }
        del configuration["authorization"]["descriptors"]
        rule = {"methods": [SCRIPT + "Tell"], "roles": ["reader"], "identities": ["DNS:ops.internal"]}
        configuration["authorization"]["rules"].append(rule)

    async with running(change) as gateway:

        async def code(pair: tuple[Path, Path] | None, metadata: Any = ()) -> str:
            async with native(gateway, pair=pair) as channel:
                tell_it: Any = channel.stream_unary(SCRIPT + "Tell")
                try:
                    await tell_it(iter([b""]), metadata=metadata)
                except grpc.aio.AioRpcError as error:
                    return error.code().name
                return "OK"

        assert await code(ops) == "OK"
        assert await code(other) == "UNAUTHENTICATED"
        assert await code(None) == "UNAUTHENTICATED"
        assert await code(other, bearer(gateway)) == "OK"
        assert await code(ops, (("authorization", "Bearer x"),)) == "UNAUTHENTICATED"
