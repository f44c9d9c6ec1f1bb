"""The ways to a gateway: HTTP/1.1, and HTTP/2 over TLS or in plaintext."""

import contextlib
import json
from dataclasses import dataclass
from typing import Any

from gateway.demo.pb import demo_pb2
from gateway.protocol.metadata import Headers
from tests.support import http2, wire
from tests.support.backends import SCRIPT
from tests.support.frames import message
from tests.support.gateway import DEMO, ORIGIN, RunningGateway
from tests.support.http2 import Client, Stream
from tests.support.wire import Answer, Pairs

ECHO = message(demo_pb2.EchoRequest(text="hello"))
ENDLESS = message(demo_pb2.CountRequest(interval_ms=60_000))  # one message, and then nothing
OK_FRAME = b"\x80\x00\x00\x00\x0fgrpc-status:0\r\n"
NATIVE = "application/grpc+proto"
PAGE = "<!doctype html><p>hello"
CORS_NAMES = "grpc-status, grpc-message, grpc-status-details-bin"
PREFLIGHT = [("access-control-request-method", "POST"), ("access-control-request-headers", "x-grpc-web,content-type")]


@dataclass(frozen=True)
class Http1Way:
    gateway: RunningGateway

    async def ask(self, path: str, body: bytes, fields: Pairs, method: str = "POST") -> Answer:
        """One request on a connection of its own, and its whole answer."""
        return await self.gateway.ask(wire.request(path, fields, body, method))


@dataclass(frozen=True)
class Http2Way:
    gateway: RunningGateway
    tls: bool

    @property
    def port(self) -> int:
        return self.gateway.tls_port if self.tls else self.gateway.port

    def connect(self, **options: Any) -> contextlib.AbstractAsyncContextManager[Client]:
        trust = self.gateway.world.pki.ca if self.tls else None
        return http2.connect(self.port, tls=trust, **{"update_windows": True, **options})

    def head(self, path: str, *more: tuple[str, str], method: str = "POST", **changes: str) -> Headers:
        """A browser's request. What `changes` leave empty is left out."""
        fields = [pair for pair in self.gateway.fields(**changes) if pair[1]]
        return http2.head(path, *fields, *more, method=method, scheme="https" if self.tls else "http")

    async def ask(self, path: str, body: bytes, fields: Pairs, method: str = "POST") -> Answer:
        """As of `Http1Way`."""
        async with self.connect() as client:
            headers = http2.head(path, *fields, method=method, scheme="https" if self.tls else "http")
            return (await (await client.request(headers, body)).response()).answer

    async def stream(self, path: str, body: bytes = ECHO, *more: tuple[str, str], **options: Any) -> Stream:
        """The same, as it came over HTTP/2."""
        async with self.connect() as client:
            return await (await client.request(self.head(path, *more, **options), body)).response()


Way = Http1Way | Http2Way


def assert_cors(answer: Answer) -> None:
    """The page may read the answer."""
    assert answer.value("access-control-allow-origin") == ORIGIN
    assert (answer.value("access-control-expose-headers") or "").startswith(CORS_NAMES)
    assert answer.value("access-control-allow-credentials") is None
    assert answer.value("vary") == "Origin"


def assert_no_cors(answer: Answer) -> None:
    """The page is told nothing, and no cache tells it to another."""
    assert answer.value("vary") == "Origin"
    assert not [name for name, _ in answer.headers if name.startswith(b"access-control-")]


async def told(gateway: RunningGateway, *more: tuple[str, str], **changes: str) -> dict[str, Any]:
    """What the backend is told (`behaviours.tell`) by a call over HTTP/1.1."""
    answer = await gateway.ask(wire.request(SCRIPT + "Tell", gateway.fields(*more, **changes), message(b"m")))
    messages, status, _ = answer.grpc()
    assert status.code == 0, status
    found: dict[str, Any] = json.loads(messages[0])
    return found


async def echoed(way: Http2Way, client: Client) -> None:
    """The connection is good for another call."""
    stream = await client.request(way.head(DEMO + "Echo"), ECHO)
    assert (await stream.response()).data == ECHO + OK_FRAME
