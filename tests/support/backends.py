"""Backends that do what a test tells them, and a wire to a backend that a test can cut."""

import asyncio
import contextlib
import struct
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import grpc
import grpc.aio

from tests.support.ports import free_port

SERVICE = "test.v1.Script"
SCRIPT = f"/{SERVICE}/"

Requests = AsyncIterator[bytes]
Behaviour = Callable[[Requests, Any], AsyncIterator[bytes]]  # takes the requests and grpc's context, yields replies


class ScriptedBackend(grpc.GenericRpcHandler):
    """A plaintext backend; `methods` is by name, messages are any bytes, and every method streams both ways."""

    def __init__(self) -> None:
        self.methods: dict[str, Behaviour] = {}
        self.calls: Counter[str] = Counter()
        self.open = 0
        self.sent = 0  # messages, over all calls
        self.port = 0

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes] | None":
        name = handler_call_details.method.removeprefix(SCRIPT)
        behaviour = self.methods.get(name)
        if behaviour is None:
            return None

        async def run(requests: Requests, context: Any) -> AsyncIterator[bytes]:
            self.calls[name] += 1
            self.open += 1
            try:
                async with contextlib.aclosing(behaviour(requests, context)) as replies:  # type: ignore[type-var]
                    async for reply in replies:
                        yield reply
                        self.sent += 1
            finally:
                self.open -= 1

        handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.stream_stream_rpc_method_handler(run)
        return handler

    def section(self) -> dict[str, Any]:
        """For `upstreams`."""
        return {
            "services": [SERVICE],
            "targets": [f"127.0.0.1:{self.port}"],
            "plaintext": True,
            "allow_insecure_tokens": True,
        }

    def behind(self, **limits: Any) -> Callable[[dict[str, Any]], None]:
        """Edits a gateway's configuration: this backend is behind it too, and open to everybody who has a token."""

        def change(configuration: dict[str, Any]) -> None:
            configuration["upstreams"]["script"] = self.section()
            configuration["authorization"]["default"] = "authenticated"
            configuration["limits"] = limits

        return change


@contextlib.asynccontextmanager
async def scripted() -> AsyncIterator[ScriptedBackend]:
    backend = ScriptedBackend()
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers((backend,))
    backend.port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield backend
    finally:
        await server.stop(0)


def block(*headers: tuple[bytes, bytes]) -> bytes:
    """A header block of literals (RFC 7541, section 6.2.2), whatever the names and values."""
    return b"".join(b"\0%c%b%c%b" % (len(name), name, len(value), value) for name, value in headers)


GRPC_HEAD = block((b":status", b"200"), (b"content-type", b"application/grpc"))
HEADERS, HEADERS_END, RST_STREAM = (1, 4), (1, 5), (3, 0)  # type and flags of a frame


@contextlib.asynccontextmanager
async def raw_http2(*frames: tuple[tuple[int, int], bytes]) -> AsyncIterator[dict[str, Any]]:
    """A plaintext backend that answers every stream with these frames, which grpc's own server would not send.

    Gives its section of `upstreams`. Each frame is a segment of its own, for a reset that comes with a message makes
    grpc-core forget the message.
    """

    def frame(kind: tuple[int, int], stream: int, payload: bytes) -> bytes:
        return struct.pack(">I", len(payload))[1:] + bytes(kind) + struct.pack(">I", stream) + payload

    serving: list[asyncio.Task[None]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.append(cast("asyncio.Task[None]", asyncio.current_task()))
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await reader.readexactly(len(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
            writer.write(frame((4, 0), 0, b""))
            while True:
                head = await reader.readexactly(9)
                kind, flags, stream = head[3], head[4], int.from_bytes(head[5:], "big")
                payload = await reader.readexactly(int.from_bytes(head[:3], "big"))
                if kind in (4, 6) and not flags:  # SETTINGS and PING want an answer
                    writer.write(frame((kind, 1), 0, payload if kind == 6 else b""))
                if kind == 1:
                    for each, content in frames:
                        writer.write(frame(each, stream, content))
                        await asyncio.sleep(0.02)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield {"targets": [f"127.0.0.1:{port}"], "plaintext": True, "allow_insecure_tokens": True}
    finally:
        server.close()
        async with asyncio.timeout(5):  # the gateway is gone, and so are its connections
            await asyncio.gather(*serving)


class Relay:
    """A wire between the gateway and a backend: bytes pass untouched until `cut` or `freeze`."""

    def __init__(self) -> None:
        self.port = free_port()
        self.backend_port: int | None = None  # None: nobody answers, though the connection stands
        self.connections = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._moving = asyncio.Event()
        self._moving.set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen; again on the same port after `stop`."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    def cut(self) -> None:
        """Lose every connection, both halves at once."""
        for writer in self._writers:
            writer.transport.abort()

    def freeze(self) -> None:
        """Nothing moves any more, and nobody is told."""
        self._moving.clear()

    def thaw(self) -> None:
        self._moving.set()

    def stop(self) -> None:
        """As if the machine behind were gone: connections are lost and new ones refused."""
        if self._server is not None:
            self._server.close()
        self.cut()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        try:
            if self.backend_port is None:
                await self._swallow(reader)
                return
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.backend_port)
            self._writers.add(far_writer)
            try:
                await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer))
            finally:
                self._writers.discard(far_writer)
                far_writer.close()
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _swallow(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(ConnectionError):
            while await reader.read(65536):
                pass

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                await self._moving.wait()
                writer.write(data)
                await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def relay() -> AsyncIterator[Relay]:
    made = Relay()
    await made.start()
    try:
        yield made
    finally:
        made.thaw()
        made.stop()
