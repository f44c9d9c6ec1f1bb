"""Clients that call one after the other over connections that they keep, as pages and services do, and count.

Rule: a call is sent again only where the sender may know that nobody has acted on it. Over HTTP/2 the server says so
(RFC 9113, sections 6.8 and 8.7). Over HTTP/1.1 it is what browsers do: a connection that was kept, and ends before the
first byte of an answer.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from gateway.demo.pb import demo_pb2, demo_pb2_grpc
from tests.support import http2, wire
from tests.support.frames import message
from tests.support.gateway import DEMO
from tests.support.http2 import ErrorCodes
from tests.support.wire import Pairs

ECHO = message(demo_pb2.EchoRequest(text="x"))


@dataclass
class Tally:
    """What became of calls."""

    good: int = 0
    resent: int = 0
    bad: list[str] = field(default_factory=list)

    @property
    def calls(self) -> int:
        return self.good + len(self.bad)


class NotSentError(Exception):
    """Nobody has acted on the call: it may be sent again."""


class Http1Caller:
    """gRPC-Web over HTTP/1.1, in plaintext."""

    def __init__(self, port: int, fields: Pairs) -> None:
        self._port = port
        self._request = wire.request(DEMO + "Echo", fields, ECHO)
        self._exits = contextlib.AsyncExitStack()
        self._line: wire.Wire | None = None

    async def call(self) -> int:
        """The status. Raises NotSentError."""
        kept = self._line is not None
        if self._line is None:
            self._line = await self._exits.enter_async_context(wire.connect(self._port))
        try:
            answer = await self._line.ask(self._request)
        except (ConnectionError, asyncio.IncompleteReadError) as error:
            await self.close()
            # readuntil gives what came before the end: of a connection that is merely stale, nothing.
            if kept and not getattr(error, "partial", b""):
                raise NotSentError from None
            raise
        if answer.value("connection") == "close":
            await self.close()
        return answer.code

    async def close(self) -> None:
        self._line = None
        await self._exits.aclose()


class Http2Caller:
    """gRPC-Web over HTTP/2 and TLS."""

    def __init__(self, port: int, fields: Pairs, ca: Path) -> None:
        self._port = port
        self._ca = ca
        self._head = http2.head(DEMO + "Echo", *fields)
        self._exits = contextlib.AsyncExitStack()
        self._client: http2.Client | None = None

    async def call(self) -> int:
        """The status. Raises NotSentError."""
        if self._client is not None and (self._client.goaway is not None or self._client.closed):
            await self.close()
        if self._client is None:
            self._client = await self._exits.enter_async_context(http2.connect(self._port, tls=self._ca))
        client = self._client
        stream = None
        try:
            stream = await client.request(self._head, ECHO)
            await stream.response()
        except ConnectionError:
            goaway = client.goaway
            await self.close()
            if goaway is not None and (stream is None or stream.id > goaway.last_stream):
                raise NotSentError from None
            raise
        if stream.reset == ErrorCodes.REFUSED_STREAM:
            raise NotSentError
        return stream.answer.code

    async def close(self) -> None:
        self._client = None
        await self._exits.aclose()


class NativeCaller:
    """gRPC by grpc's own client, in plaintext: it keeps to the rule by itself."""

    def __init__(self, port: int, fields: Pairs) -> None:
        self._channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
        stub: Any = demo_pb2_grpc.DemoStub(self._channel)
        self._echo = stub.Echo
        self._metadata = tuple((name, value) for name, value in fields if name == "authorization")

    async def call(self) -> int:
        """The status."""
        await self._echo(demo_pb2.EchoRequest(text="x"), metadata=self._metadata, timeout=wire.PATIENCE)
        return 0

    async def close(self) -> None:
        await self._channel.close()


Caller = Http1Caller | Http2Caller | NativeCaller


@contextlib.asynccontextmanager
async def calling(*callers: Caller) -> AsyncIterator[Tally]:
    """They call while the block runs, each as fast as it is answered; all that they have begun is over afterwards."""
    tally = Tally()
    stop = asyncio.Event()

    async def go_on(caller: Caller) -> None:
        again = False
        while again or not stop.is_set():
            try:
                code = await caller.call()
            except NotSentError:
                tally.resent += 1
                again = True
            except Exception as error:  # whatever it is, a user would see it
                tally.bad.append(f"{type(caller).__name__}: {error!r}")
                again = False
            else:
                tally.good += code == 0
                if code:
                    tally.bad.append(f"{type(caller).__name__}: status {code}")
                again = False
        await caller.close()

    tasks = [asyncio.create_task(go_on(caller)) for caller in callers]
    try:
        yield tally
    finally:
        stop.set()
        await asyncio.gather(*tasks)
