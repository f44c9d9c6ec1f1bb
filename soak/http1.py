"""HTTP/1.1 (RFC 9112): a connection with one call at a time, kept open between calls."""

import asyncio
import socket
import struct
from collections.abc import Mapping
from typing import cast

from bench.load.http1 import Answer
from bench.process import BenchError
from soak.wire import Exchange, Line

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: on, no time


class Http1Exchange(Exchange):
    def __init__(self, transport: asyncio.Transport, size: int) -> None:
        super().__init__()
        self.owed = size  # bytes of the request that its Content-Length has announced, and that were not sent yet
        self.answer = Answer()
        self.body = self.answer.body
        self._transport = transport

    async def send(self, data: bytes, *, end: bool = False) -> None:  # noqa: ARG002 - its Content-Length says it
        self._transport.write(data)
        self.owed -= len(data)

    def cancel(self) -> None:
        if not self.over:  # else the connection is another call's by now
            self._transport.abort()

    def drop(self) -> None:
        reset(self._transport)

    def feed(self, data: bytes) -> None:
        """Raises BenchError when it is no answer."""
        complete = self.answer.feed(data)
        if self.answer.head and not self.status:
            self.status = self.answer.status
            pairs = (line.partition(":") for line in self.answer.head.decode("latin-1").split("\r\n")[1:])
            self.headers = {name.lower(): value.strip() for name, _, value in pairs}
        if complete:
            self.end()
        else:
            self.tell()


class Http1Line(asyncio.Protocol, Line):
    _exchange: Http1Exchange | None = None
    _closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def request(self, path: str, headers: Mapping[str, str], size: int | None) -> Exchange:
        assert size is not None, "a body of unknown length is for HTTP/2 here"
        self.calls += 1
        fields = {"host": "localhost", "content-length": str(size), **headers}
        lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
        self._exchange = Http1Exchange(self._transport, size)
        self._transport.write("\r\n".join([*lines, "", ""]).encode())
        return self._exchange

    @property
    def free(self) -> bool:
        """Not after half of a request that was answered already: the next one would be taken for the rest of it."""
        return not self._closed and self.idle and not (self._exchange and self._exchange.owed)

    @property
    def idle(self) -> bool:
        return self._exchange is None or self._exchange.over

    def close(self) -> None:
        self._closed = True
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        if self._exchange is None or self._exchange.over:
            self.close()
            return
        try:
            self._exchange.feed(data)
        except BenchError as error:
            self._exchange.fail(str(error))
            self.close()
        if self._exchange.headers.get("connection", "").lower() == "close":
            self._closed = True

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed = True
        if self._exchange is not None:
            self._exchange.fail(f"the connection was closed: {exc or 'end of file'}")


def reset(transport: asyncio.Transport) -> None:
    """Close with RST."""
    if not transport.is_closing():
        plain: socket.socket = transport.get_extra_info("socket")
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    transport.abort()
