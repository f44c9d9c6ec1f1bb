"""What methods of a `ScriptedBackend` do."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import grpc

from tests.support.backends import Requests

PIECE = 50_000  # bytes of one message of `flood`


async def tell(requests: Requests, context: Any) -> AsyncIterator[bytes]:
    """Everything that arrived, as JSON; what is no text is in base64."""
    messages = [base64.b64encode(each).decode() async for each in requests]
    metadata = [
        (name, value if isinstance(value, str) else base64.b64encode(value).decode())
        for name, value in context.invocation_metadata()
    ]
    yield json.dumps({"messages": messages, "metadata": metadata, "left": context.time_remaining()}).encode()


async def decorated(requests: Requests, context: Any) -> AsyncIterator[bytes]:
    """Headers and trailers of every kind, those included that no browser may see."""
    await context.send_initial_metadata(
        (
            ("x-one", "1"),
            ("x-two", "a"),
            ("x-two", "b"),
            ("x-raw-bin", b"\x00\xff"),
            ("access-control-allow-origin", "*"),
            ("access-control-allow-credentials", "true"),
            ("server", "secret/1.0"),
            ("date", "yesterday"),
            ("content-encoding", "gzip"),
            ("www-authenticate", "Bearer"),
        )
    )
    yield b"x"
    context.set_trailing_metadata((("x-late", "1"), ("x-late", "2"), ("x-late-bin", b"\x01"), ("server", "secret/1.0")))


async def refuse(requests: Requests, context: Any) -> AsyncIterator[bytes]:
    """Fails before anything was sent: HTTP/2 trailers alone."""
    await context.abort(grpc.StatusCode.NOT_FOUND, "none: 100 % \n ü", (("x-why", "gone"),))
    yield b""


async def packed(requests: Requests, context: Any) -> AsyncIterator[bytes]:
    """Compresses, whether or not that was asked for, as grpc's Python server may be told to."""
    context.set_compression(grpc.Compression.Gzip)
    yield b"m" * 10_000


async def silent(requests: Requests, context: Any) -> AsyncIterator[bytes]:
    """Neither reads nor replies."""
    await asyncio.Event().wait()
    yield b""


async def deaf(requests: Requests, context: Any) -> AsyncIterator[bytes]:
    """Says that it is there, and reads nothing."""
    await context.send_initial_metadata(())
    await asyncio.Event().wait()
    yield b""


async def flood(requests: Requests, context: Any) -> AsyncIterator[bytes]:
    """As much as is taken."""
    while True:
        yield bytes(PIECE)


class Steps:
    """Replies when the test says so."""

    def __init__(self) -> None:
        self.replies: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def __call__(self, requests: Requests, context: Any) -> AsyncIterator[bytes]:
        await context.send_initial_metadata((("x-early", "yes"),))
        while (reply := await self.replies.get()) is not None:
            yield reply
