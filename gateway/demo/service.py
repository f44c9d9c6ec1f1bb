"""demo.v1.Demo: what each method does is written in protos/demo/v1/demo.proto; this is how.

Rule: no handler asks who calls. The interceptors have decided that before; `WhoAmI` only tells what they found.
"""
# ruff: noqa: N802, ARG002 - names and signatures are those of the proto

import asyncio
import base64
import itertools
from collections.abc import AsyncIterator

import grpc
from google.protobuf.any_pb2 import Any as PackedMessage

from gateway.demo.interceptors import CLAIMS, GATEWAY, Context
from gateway.demo.pb import demo_pb2_grpc
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
from gateway.demo.pb.status_pb2 import ErrorInfo, RichStatus

MAX_PAYLOAD = 16 * 1024 * 1024  # security limit: a few bytes of request must not allocate gigabytes
STATUS_CODES: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}


class DemoService(demo_pb2_grpc.DemoServicer):
    """One method of each kind."""

    async def Echo(self, request: EchoRequest, context: Context) -> EchoReply:
        return EchoReply(text=request.text, payload=request.payload)

    async def Shout(self, request: EchoRequest, context: Context) -> EchoReply:
        return EchoReply(text=request.text.upper(), payload=request.payload)

    async def WhoAmI(self, request: WhoAmIRequest, context: Context) -> WhoAmIReply:
        claims = CLAIMS.get()
        roles = claims.get("roles")
        remaining = context.time_remaining()
        return WhoAmIReply(
            gateway=GATEWAY.get(),
            subject=str(claims.get("sub", "")),
            roles=map(str, roles) if isinstance(roles, list) else (),
            metadata=_readable_metadata(context),
            deadline="" if remaining is None else f"{remaining:.3f}",
            peer=context.peer(),
        )

    async def Count(self, request: CountRequest, context: Context) -> AsyncIterator[CountReply]:
        if request.payload_bytes > MAX_PAYLOAD:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"payload_bytes may be {MAX_PAYLOAD} at most")
        payload = bytes(request.payload_bytes)
        for number in range(1, request.count + 1) if request.count else itertools.count(1):
            if number > 1 and request.interval_ms:
                await asyncio.sleep(request.interval_ms / 1000)
            yield CountReply(number=number & 0xFFFFFFFF, payload=payload)

    async def Fail(self, request: FailRequest, context: Context) -> FailReply:
        code = STATUS_CODES.get(request.code, grpc.StatusCode.OK)
        if code is grpc.StatusCode.OK:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "code must be 1 to 16")
        await context.abort(code, request.message, _rich_status(request) if request.detail else ())

    async def Collect(self, request: AsyncIterator[EchoRequest], context: Context) -> CollectReply:
        texts = [message.text async for message in request]
        return CollectReply(count=len(texts), text=" ".join(texts))

    async def Chat(self, request: AsyncIterator[EchoRequest], context: Context) -> AsyncIterator[EchoReply]:
        async for message in request:
            yield EchoReply(text=message.text, payload=message.payload)


def _readable_metadata(context: Context) -> dict[str, str]:
    """Repeated names joined by a comma; the token stays out, since the answer ends up on a screen."""
    readable: dict[str, str] = {}
    for name, value in context.invocation_metadata() or ():
        if name != "authorization":
            text = base64.b64encode(value).decode() if isinstance(value, bytes) else value
            readable[name] = f"{readable[name]}, {text}" if name in readable else text
    return readable


def _rich_status(request: FailRequest) -> tuple[tuple[str, bytes], ...]:
    """`grpc-status-details-bin`: the status once more, with a google.rpc.ErrorInfo."""
    info = ErrorInfo(reason=request.detail, domain="demo.internal")
    packed = PackedMessage(type_url="type.googleapis.com/google.rpc.ErrorInfo", value=info.SerializeToString())
    status = RichStatus(code=request.code, message=request.message, details=[packed])
    return (("grpc-status-details-bin", status.SerializeToString()),)
