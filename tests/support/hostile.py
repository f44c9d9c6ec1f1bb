"""A gateway under attack, and what must hold meanwhile: others are served, nothing grows, nothing is left or told.

Rule: a stream on another connection talks to the same backend all the time, over the same connection of the gateway.
"""

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.demo.pb import demo_pb2
from gateway.front.http2 import BrowserLink
from gateway.protocol.metadata import Headers
from gateway.upstream.h2 import H2Upstream
from tests.support import http2
from tests.support.backends import SCRIPT, ScriptedBackend
from tests.support.frames import message, take_apart
from tests.support.frames_http2 import block, data, headers, indexed, literal
from tests.support.gateway import DEMO, RunningGateway, eventually
from tests.support.raw_http2 import Peer, Said, hostile_client

CANARY = b"zqxjk"  # in everything hostile, and in no answer
ECHO = message(demo_pb2.EchoRequest(text="hello"))
MIB = 1024 * 1024
GROWTH = 64 * MIB  # of the process, the attacker included: what an attack without a bound soon goes beyond
CLUES = (CANARY, b"traceback", b"ngh2", b"python", b"uvloop", b"asyncio", b"exception", b".py", b"127.0.0.1")
PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR, STREAM_CLOSED, FRAME_SIZE_ERROR = 1, 2, 3, 5, 6
REFUSED_STREAM, CANCEL, COMPRESSION_ERROR, ENHANCE_YOUR_CALM = 7, 8, 9, 11  # RFC 9113, section 7

# A header block: POST / over http
GOOD = b"".join([indexed(3), indexed(6), indexed(4), literal(b":authority", b"gateway.test")])


def resident() -> int:
    """Bytes of memory that the process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Bystander:
    """A bidirectional stream that answers each message."""

    def __init__(self, stream: http2.Stream) -> None:
        self.rounds = 0
        self._stream = stream
        self._done = asyncio.Event()

    async def talk(self) -> None:
        """Run as a task until `hush`; raises when a reply does not come."""
        while not self._done.is_set():
            await self.round()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._done.wait(), 0.01)

    async def round(self) -> None:
        await self._stream.send(ECHO)
        self.rounds += 1
        assert len(await self._stream.received(len(ECHO) * self.rounds)) == len(ECHO) * self.rounds

    async def hush(self, talking: asyncio.Task[None]) -> None:
        """One more message, and the end."""
        self._done.set()
        await talking
        await self.round()
        await self._stream.end()
        await self._stream.response()
        messages, status, _ = take_apart(self._stream.data)
        assert (status.code, len(messages)) == (0, self.rounds)


def unshown(events: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Events, without what `refused` shows of a request on purpose, escaped and cut (gateway.request.shown)."""
    on_purpose = ("origin", "path")
    return [{k: v for k, v in each.items() if each["event"] != "refused" or k not in on_purpose} for each in events]


@contextlib.asynccontextmanager
async def under_attack(
    gateway: RunningGateway, caplog: pytest.LogCaptureFixture, *scripted: ScriptedBackend
) -> AsyncIterator[Bystander]:
    before, tasks = resident(), len(asyncio.all_tasks())
    with capture_logs() as events:
        async with http2.connect(gateway.port, update_windows=True) as client:
            request = http2.head(DEMO + "Chat", *gateway.headers().items())
            bystander = Bystander(await client.request(request, end=False))
            await bystander.round()
            talking = asyncio.create_task(bystander.talk())
            try:
                yield bystander
            except BaseException:
                talking.cancel()
                raise
            await bystander.hush(talking)
        await eventually(lambda: not left_behind(gateway, scripted))
        await eventually(lambda: len(asyncio.all_tasks()) <= tasks)
    assert resident() - before < GROWTH
    assert [event for event in events if event["log_level"] == "error"] == []
    loud = [each for each in caplog.records if each.levelno >= logging.ERROR and not each.name.startswith("grpc")]
    assert loud == []
    assert CANARY.decode() not in str(unshown(events))


def left_behind(gateway: RunningGateway, scripted: Sequence[ScriptedBackend] = ()) -> dict[str, object]:
    """What is still there of calls, streams and connections, by name; empty: nothing."""
    inside = gateway.gateway
    found: dict[str, object] = {
        "calls": gateway.open_calls,
        "connections": inside._census.connections,
        "links": len(inside._http2.links),
        "switches": len(inside._switchboard.waiting),
        "backend": gateway.world.backend.open_streams + sum(each.open for each in scripted),
    }
    for name, upstream in gateway.upstreams.items():
        assert isinstance(upstream, H2Upstream)
        found[f"streams of {name}"] = sum(len(link.streams) for link in upstream.pool._links)
        found[f"calls that wait for {name}"] = len(upstream.pool.waiting)
    return {name: count for name, count in found.items() if count}


def head(gateway: RunningGateway, path: str = DEMO + "Echo", role: str | None = "reader", **changes: str) -> Headers:
    """A good request's header block."""
    fields = [(name.encode(), value.encode()) for name, value in gateway.headers(role, **changes).items()]
    return [(b":method", b"POST"), (b":scheme", b"http"), (b":authority", b"gateway.test"), (b":path", path.encode()),
            *fields]  # fmt: skip


def open_call(gateway: RunningGateway, stream: int = 1, method: str = "Chat") -> bytes:
    """A good request whose body follows."""
    return headers(stream, block(head(gateway, DEMO + method)))


def flood_call(gateway: RunningGateway, stream: int = 1) -> bytes:
    """A call whose replies never end (`behaviours.flood`)."""
    return headers(stream, block(head(gateway, SCRIPT + "Flood")), end=True)


@contextlib.asynccontextmanager
async def attacker(gateway: RunningGateway, *, deaf: bool = False) -> AsyncIterator[tuple[Peer, BrowserLink]]:
    """A connection that has greeted, and the gateway's end of it."""
    before = set(gateway.gateway._http2.links)
    async with hostile_client(gateway.port, deaf=deaf) as peer:
        await peer.pong(b"greeting")
        (link,) = gateway.gateway._http2.links - before
        yield peer, link


def waiting(link: BrowserLink) -> int:
    """Bytes of answers that the peer's windows hold back."""
    return sum(map(link.waiting, link.streams))


async def call(gateway: RunningGateway, peer: Peer, stream: int) -> None:
    """A good call on a connection that may have gone through a lot."""
    await peer.send(headers(stream, block(head(gateway))), data(stream, ECHO, end=True))
    assert_echo(await peer.answer(stream))


def assert_echo(said: Said) -> None:
    assert said.status == 200
    messages, status, _ = take_apart(said.data)
    assert (messages, status.code) == ([ECHO[5:]], 0)


def code(said: Said) -> int:
    """The gRPC status of an answer that has no messages."""
    assert said.status == 200
    messages, status, _ = take_apart(said.data)
    assert messages == []
    return status.code


def assert_gives_nothing_away(peer: Peer) -> None:
    words = peer.words.lower()
    for clue in CLUES:
        assert clue not in words, words
    servers = {
        value for said in peer.streams.values() for head in said.heads for name, value in head if name == b"server"
    }
    assert servers <= {b"grpcweb-gateway"}
