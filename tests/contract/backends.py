"""What stands behind the gateways of the matrix, besides the demo's backend: scripted methods, and odd HTTP/2.

Rule: a scripted method is named by its kind and what it does, `BidiFail`; so each behaviour is there in all four kinds,
and the gateway's descriptors tell it which are unary.
"""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from gateway.demo.pb.status_pb2 import RichStatus
from gateway.demo.world import DESCRIPTORS
from tests.support.backends import SERVICE, Behaviour, Requests, ScriptedBackend

KINDS = ("Unary", "ServerStream", "ClientStream", "Bidi")
MANY_REQUESTS = ("ClientStream", "Bidi")
MANY_REPLIES = ("ServerStream", "Bidi")
ODD = "odd.v1."  # the package of backends that send frames as they are told: one service each

LISTENER = "listener.v1.Listener"  # a backend that keeps what it is sent, byte for byte

FAILURE = "schön: 100 %\n\U0001f6d1"  # what a grpc-message must escape, and a character of four bytes
DETAILS = RichStatus(code=9, message=FAILURE).SerializeToString()
FLOOD, BLOCK = 64, 256 * 1024  # messages of that many bytes: more than all windows and buffers on the way hold
HEAD = (
    ("x-one", "1"),
    ("x-two", "a"),
    ("x-two", "b, c"),
    ("x-raw-bin", b"\x00\xff"),
    ("x-raw-bin", b""),
    # No browser may see these.
    ("access-control-allow-origin", "*"),
    ("server", "secret/1.0"),
    ("date", "yesterday"),
    ("content-encoding", "gzip"),
    ("www-authenticate", "Bearer"),
)
TAIL = (("x-late", "1"), ("x-late", "2"), ("x-late-bin", b"\x01"), ("server", "secret/1.0"), ("set-x", "a:b"))


@dataclass
class Witness:
    """What the scripted methods saw, for tests that watch a call from both ends."""

    received: int = 0  # messages
    go: asyncio.Event = field(default_factory=asyncio.Event)  # for the method Later
    begun: asyncio.Queue[str] = field(default_factory=asyncio.Queue)  # a call is there
    left: asyncio.Queue[float] = field(default_factory=asyncio.Queue)  # loop time at which a call was cancelled

    def forget(self) -> None:
        """What former tests have left."""
        self.begun, self.left = asyncio.Queue(), asyncio.Queue()
        self.go.clear()


def reply_to(kind: str, messages: list[bytes]) -> list[bytes]:
    """What a method of this kind echoes: one reply or several, from one message or several."""
    if kind == "ServerStream":
        return messages[:1] * 3
    return list(messages) if kind == "Bidi" else [b"".join(messages)]


def install(backend: ScriptedBackend) -> Witness:
    """Give the backend its methods."""
    witness = Witness()
    for kind in KINDS:
        for name, make in BEHAVIOURS.items():
            backend.methods[kind + name] = make(kind, witness)
    return witness


async def _all(requests: Requests, witness: Witness) -> list[bytes]:
    messages = []
    async for message in requests:
        witness.received += 1
        messages.append(message)
    return messages


def _echo(kind: str, witness: Witness) -> Behaviour:
    """Messages back, as they come where the kind allows."""

    async def run(requests: Requests, context: Any) -> AsyncIterator[bytes]:
        if kind == "Bidi":
            async for message in requests:
                witness.received += 1
                yield message
        else:
            for reply in reply_to(kind, await _all(requests, witness)):
                yield reply

    return run


def _decorated(kind: str, witness: Witness) -> Behaviour:
    """As Echo, with metadata before and after."""

    async def run(requests: Requests, context: Any) -> AsyncIterator[bytes]:
        await context.send_initial_metadata(HEAD)
        for reply in reply_to(kind, await _all(requests, witness)):
            yield reply
        context.set_trailing_metadata(TAIL)

    return run


def _fail(kind: str, witness: Witness) -> Behaviour:
    """Fails with details and metadata; where there may be several replies, after the first."""

    async def run(requests: Requests, context: Any) -> AsyncIterator[bytes]:
        await context.send_initial_metadata((("x-one", "1"),))
        messages = await _all(requests, witness)
        if kind in MANY_REPLIES:
            yield messages[0]
        await context.abort(
            grpc.StatusCode.FAILED_PRECONDITION, FAILURE, (("grpc-status-details-bin", DETAILS), ("x-why", "gone"))
        )

    return run


def _refuse(kind: str, witness: Witness) -> Behaviour:
    """Fails before anything was read or sent: HTTP/2 trailers alone."""

    async def run(requests: Requests, context: Any) -> AsyncIterator[bytes]:
        await context.abort(grpc.StatusCode.NOT_FOUND, FAILURE, (("x-why", "gone"), ("x-why-bin", b"\xff")))
        yield b""

    return run


def _tell(kind: str, witness: Witness) -> Behaviour:
    """Everything that arrived, as JSON. The token is one that differs from gateway to gateway."""

    async def run(requests: Requests, context: Any) -> AsyncIterator[bytes]:
        messages = await _all(requests, witness)
        metadata = [
            (name, value if isinstance(value, str) else base64.b64encode(value).decode())
            for name, value in context.invocation_metadata()
        ]
        told = {
            "messages": [base64.b64encode(each).decode() for each in messages],
            "metadata": [(name, "…" if name == "authorization" else value) for name, value in metadata],
            "left": context.time_remaining(),
        }
        yield json.dumps(told).encode()

    return run


def _packed(kind: str, witness: Witness) -> Behaviour:
    """Compresses its replies where it is asked to."""

    async def run(requests: Requests, context: Any) -> AsyncIterator[bytes]:
        context.set_compression(grpc.Compression.Gzip)
        for reply in reply_to(kind, await _all(requests, witness)):
            yield reply

    return run


def _silent(kind: str, witness: Witness) -> Behaviour:
    """Headers, one message where there may be several, then nothing, until the call is cancelled."""

    async def run(requests: Requests, context: Any) -> AsyncIterator[bytes]:
        await context.send_initial_metadata((("x-one", "1"),))
        if kind in MANY_REPLIES:
            yield b"first"
        witness.begun.put_nowait(kind)
        try:
            await asyncio.Event().wait()
        finally:
            witness.left.put_nowait(asyncio.get_running_loop().time())

    return run


def _flood(kind: str, witness: Witness) -> Behaviour:
    """A lot of replies, as fast as they are taken."""

    async def run(requests: Requests, context: Any) -> AsyncIterator[bytes]:
        for _ in range(FLOOD):
            yield bytes(BLOCK)

    return run


def _later(kind: str, witness: Witness) -> Behaviour:
    """Reads when it is told to."""

    async def run(requests: Requests, context: Any) -> AsyncIterator[bytes]:
        witness.begun.put_nowait(kind)
        await witness.go.wait()
        yield b"%d" % sum(map(len, await _all(requests, witness)))

    return run


BEHAVIOURS: dict[str, Callable[[str, Witness], Behaviour]] = {
    "Echo": _echo,
    "Admin": _echo,  # for the role `admin` alone
    "Decorated": _decorated,
    "Fail": _fail,
    "Refuse": _refuse,
    "Tell": _tell,
    "Packed": _packed,
    "Silent": _silent,
    "Flood": _flood,
    "Later": _later,
}


def descriptors(odd: Iterable[str]) -> bytes:
    """A FileDescriptorSet: the demo's, the scripted service, and the `odd` ones with a method of each kind."""
    found = FileDescriptorSet.FromString(DESCRIPTORS.read_bytes())
    found.file.append(_file(SERVICE, {kind + name: kind for kind in KINDS for name in BEHAVIOURS}))
    found.file.extend(_file(ODD + name, {kind: kind for kind in KINDS}) for name in odd)
    return found.SerializeToString()


def _file(service: str, methods: dict[str, str]) -> FileDescriptorProto:
    package, _, name = service.rpartition(".")
    file = FileDescriptorProto(name=f"{service}.proto", package=package)
    declared = file.service.add(name=name)
    for method, kind in methods.items():
        declared.method.add(name=method, client_streaming=kind in MANY_REQUESTS, server_streaming=kind in MANY_REPLIES)
    return file
