"""The demo backend with a real grpcio client: every method."""

import asyncio
from typing import Any

import grpc
import grpc.aio
import pytest

from gateway.demo.backend import Backend
from gateway.demo.pb import demo_pb2 as pb
from gateway.demo.pb import status_pb2
from tests.integration.demo_backend.calling import TIMEOUT, authorization, read, refusal, texts, token


async def test_echo_and_shout(stub: Any) -> None:
    sent = pb.EchoRequest(text="grüß dich", payload=b"\x00\xff")
    assert await stub.Echo(sent, metadata=authorization(token())) == pb.EchoReply(text="grüß dich", payload=b"\x00\xff")
    assert (await stub.Shout(sent, metadata=authorization(token()))).text == "GRÜSS DICH"


async def test_whoami_tells_what_arrived_and_keeps_the_token_to_itself(stub: Any) -> None:
    sent = (("x-list", "a"), ("x-list", "b"), ("x-raw-bin", b"\x00\xff"), *authorization(token(sub="someone")))
    reply = await stub.WhoAmI(pb.WhoAmIRequest(), metadata=sent, timeout=TIMEOUT)
    assert (reply.gateway, reply.subject, list(reply.roles)) == ("DNS:gateway.demo.internal", "someone", ["reader"])
    assert (reply.metadata["x-list"], reply.metadata["x-raw-bin"]) == ("a, b", "AP8=")
    assert "authorization" not in reply.metadata
    assert TIMEOUT - 1 < float(reply.deadline) <= TIMEOUT
    assert reply.peer.startswith("ipv4:127.0.0.1:")


async def test_whoami_without_a_deadline(stub: Any) -> None:
    assert (await stub.WhoAmI(pb.WhoAmIRequest(), metadata=authorization(token()))).deadline == ""


async def test_callers_at_the_same_time_are_not_mixed_up(stub: Any) -> None:
    names = [f"user-{number}" for number in range(20)]
    calls = [stub.WhoAmI(pb.WhoAmIRequest(), metadata=authorization(token(sub=name))) for name in names]
    assert [reply.subject for reply in await asyncio.gather(*calls)] == names


async def test_count_sends_as_many_as_asked(stub: Any) -> None:
    request = pb.CountRequest(count=3, interval_ms=1, payload_bytes=10)
    replies = await read(stub.Count(request, metadata=authorization(token())))
    assert [(reply.number, reply.payload) for reply in replies] == [(n, bytes(10)) for n in (1, 2, 3)]


@pytest.mark.parametrize("interval", [0, 60_000], ids=["busy", "idle"])
async def test_an_endless_count_stops_when_it_is_cancelled(stub: Any, backend: Backend, interval: int) -> None:
    call = stub.Count(pb.CountRequest(interval_ms=interval), metadata=authorization(token()))
    assert (await call.read()).number == 1
    assert backend.open_streams == 1
    call.cancel()
    await asyncio.wait_for(backend.wait_open(0), 1.0)


async def test_an_endless_count_stops_at_its_deadline(stub: Any, backend: Backend) -> None:
    call = read(stub.Count(pb.CountRequest(interval_ms=60_000), metadata=authorization(token()), timeout=0.3))
    assert (await refusal(call)).code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await asyncio.wait_for(backend.wait_open(0), 1.0)


async def test_count_refuses_payloads_that_would_fill_the_memory(stub: Any) -> None:
    call = read(stub.Count(pb.CountRequest(payload_bytes=2**32 - 1), metadata=authorization(token())))
    assert (await refusal(call)).code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
async def test_fail_ends_as_it_is_told(stub: Any, code: grpc.StatusCode) -> None:
    number = code.value[0]
    request = pb.FailRequest(code=number, message="weil ü\n%", detail="REASON")
    error = await refusal(stub.Fail(request, metadata=authorization(token())))
    assert (error.code(), error.details()) == (code, "weil ü\n%")
    status = status_pb2.RichStatus.FromString(dict(error.trailing_metadata())["grpc-status-details-bin"])
    assert (status.code, status.message) == (number, "weil ü\n%")
    (detail,) = status.details
    assert detail.type_url == "type.googleapis.com/google.rpc.ErrorInfo"
    assert status_pb2.ErrorInfo.FromString(detail.value).reason == "REASON"


async def test_fail_without_a_detail_has_no_details(stub: Any) -> None:
    error = await refusal(stub.Fail(pb.FailRequest(code=5), metadata=authorization(token())))
    assert "grpc-status-details-bin" not in dict(error.trailing_metadata() or ())


@pytest.mark.parametrize("code", [0, 17, -1])
async def test_fail_fails_even_when_it_is_told_not_to(stub: Any, code: int) -> None:
    error = await refusal(stub.Fail(pb.FailRequest(code=code), metadata=authorization(token())))
    assert (error.code(), error.details()) == (grpc.StatusCode.INVALID_ARGUMENT, "code must be 1 to 16")


async def test_collect_adds_up(stub: Any) -> None:
    reply = await stub.Collect(texts("a", "b", "c"), metadata=authorization(token()))
    assert reply == pb.CollectReply(count=3, text="a b c")


async def test_chat_answers_each_message_before_the_next(stub: Any, backend: Backend) -> None:
    call = stub.Chat(metadata=authorization(token()))
    for text in ("one", "two"):
        await call.write(pb.EchoRequest(text=text))
        assert (await call.read()).text == text
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF
    assert await call.code() is grpc.StatusCode.OK
    assert backend.calls == {"/demo.v1.Demo/Chat": 1}
