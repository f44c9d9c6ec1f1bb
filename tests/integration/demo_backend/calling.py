"""A real grpcio client of the demo backend, over mutual TLS, and the tokens that it sends."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from gateway.demo.backend import Backend
from gateway.demo.pb import demo_pb2 as pb
from gateway.demo.pki import Pair
from gateway.demo.signer import Signer

ISSUER = "https://issuer.example"
AUDIENCE = "demo-api"
SIGNER = Signer()
TIMEOUT = 5.0

Metadata = tuple[tuple[str, str | bytes], ...]
Call = Callable[[Any, Metadata], Awaitable[object]]


def token(**changes: object) -> str:
    now = int(time.time())
    good = {"iss": ISSUER, "aud": AUDIENCE, "sub": "reader@demo", "iat": now, "exp": now + 60, "roles": ["reader"]}
    return SIGNER.sign({**good, **changes})


def authorization(value: str) -> Metadata:
    return (("authorization", f"Bearer {value}"),)


@asynccontextmanager
async def running(backend: Backend) -> AsyncIterator[Backend]:
    await backend.start()
    try:
        yield backend
    finally:
        await backend.stop()


def credentials(ca: Path, pair: Pair | None) -> grpc.ChannelCredentials:
    key, certificate = (pair.private_key.read_bytes(), pair.certificate.read_bytes()) if pair else (None, None)
    return grpc.ssl_channel_credentials(ca.read_bytes(), key, certificate)


@asynccontextmanager
async def connect(backend: Backend, ca: Path, pair: Pair | None) -> AsyncIterator[grpc.aio.Channel]:
    """A channel as `pair`, or without a certificate. Closed before the backend stops, so that nothing is left open."""
    name = (("grpc.ssl_target_name_override", "backend.demo.internal"),)
    async with grpc.aio.secure_channel(f"127.0.0.1:{backend.port}", credentials(ca, pair), name) as channel:
        yield channel


def texts(*values: str) -> Iterator[pb.EchoRequest]:
    return (pb.EchoRequest(text=value) for value in values)


async def read(call: AsyncIterator[object]) -> list[Any]:
    return [reply async for reply in call]


# Of methods that take a stream nothing is written: grpc.aio forgets the status of a call that ends while a message is
# being written (grpc/grpc#36066), and who refuses does not wait for one.
CALLS: dict[str, Call] = {
    "Echo": lambda stub, sent: stub.Echo(pb.EchoRequest(), metadata=sent, timeout=TIMEOUT),
    "Shout": lambda stub, sent: stub.Shout(pb.EchoRequest(), metadata=sent, timeout=TIMEOUT),
    "WhoAmI": lambda stub, sent: stub.WhoAmI(pb.WhoAmIRequest(), metadata=sent, timeout=TIMEOUT),
    "Fail": lambda stub, sent: stub.Fail(pb.FailRequest(), metadata=sent, timeout=TIMEOUT),
    "Count": lambda stub, sent: read(stub.Count(pb.CountRequest(), metadata=sent, timeout=TIMEOUT)),
    "Collect": lambda stub, sent: stub.Collect(metadata=sent, timeout=TIMEOUT),
    "Chat": lambda stub, sent: read(stub.Chat(metadata=sent, timeout=TIMEOUT)),
}


async def refusal(call: Awaitable[object]) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value
