"""What calls an upstream in these tests: a `Reply` that keeps what it is told; and an upstream before a backend."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from gateway.ends import UpstreamRequest, UpstreamStream
from gateway.permit import Permit, Refusal
from gateway.protocol.metadata import Headers
from gateway.protocol.status import Status
from gateway.settings import Upstream
from gateway.upstream.h2 import H2Upstream
from gateway.upstream.h2_stream import MessageLimits
from gateway.upstream.pool import Pool
from gateway.upstream.retries import Retries, RetryBudget
from tests.support.backend_http2 import Backend, Request, SettingCodes, ok
from tests.support.frames import message
from tests.support.wire import PATIENCE

PATH = b"/test.v1.Test/Do"
ONE_STREAM = {SettingCodes.MAX_CONCURRENT_STREAMS: 1}
MAX_REQUEST, MAX_RESPONSE = 4 * 1024 * 1024, 8 * 1024 * 1024


class Caller:
    """One call, as the road sees it."""

    def __init__(self) -> None:
        self.head: Headers | None = None
        self.chunks: list[bytes] = []
        self.status: Status | None = None
        self.trailers: Headers = []
        self.ends = 0
        self.paused = False  # the request
        self.stream: UpstreamStream | None = None
        self._news = asyncio.Event()

    @property
    def data(self) -> bytes:
        return b"".join(self.chunks)

    @property
    def size(self) -> int:
        return sum(map(len, self.chunks))

    async def until(self, condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
        async with asyncio.timeout(seconds):
            while not condition():
                self._news.clear()
                await self._news.wait()

    async def end(self, seconds: float = PATIENCE) -> Status:
        await self.until(lambda: self.status is not None, seconds)
        assert self.status is not None
        return self.status

    def cancel(self) -> None:
        assert self.stream is not None
        self.stream.cancel()

    # -- Reply

    @property
    def closed(self) -> bool:
        return self.status is not None

    def reply_head(self, metadata: Headers) -> None:
        assert self.head is None, "a second head"
        self.head = metadata
        self._news.set()

    def reply_bytes(self, data: bytes) -> None:
        assert self.head is not None, "bytes before the head"
        self.chunks.append(data)
        self._news.set()

    def reply_end(self, status: Status, metadata: Headers) -> None:
        self.ends += 1
        assert self.ends == 1, f"ended twice: {self.status}, {status}"
        self.status, self.trailers = status, metadata
        self._news.set()

    def fail(self, status: Status, reason: str) -> None:
        self.reply_end(status, [])
        if self.stream is not None:
            self.stream.cancel()

    def pause_request(self) -> None:
        self.paused = True
        self._news.set()

    def resume_request(self) -> None:
        self.paused = False
        self._news.set()


def call(
    upstream: H2Upstream,
    body: bytes | None = None,
    *metadata: tuple[bytes, bytes],
    end: bool = True,
    deadline: float | None = None,
    path: bytes = PATH,
    encoding: bytes = b"identity",
    names_encodings: bool = False,
) -> Caller:
    """Open a call with one message in its request; `deadline` in loop time."""
    caller = Caller()
    request = UpstreamRequest(list(metadata), deadline, b"application/grpc+proto", encoding, names_encodings)
    opened = upstream.open(Permit(path), request, caller)
    if isinstance(opened, Refusal):
        caller.fail(opened.status, opened.reason)
        return caller
    caller.stream = opened
    opened.send(message(b"hello") if body is None else body)
    if end:
        opened.end()
    return caller


def settings(*targets: str, tls: dict[str, str] | None = None, **more: Any) -> Upstream:
    """A section of `upstreams`; `more` may be what no configuration file says (a short keepalive)."""
    paths = {key: value if key == "server_name" else Path(value) for key, value in (tls or {}).items()}
    section = {"services": ["*"], "targets": targets, "tls": paths or None, "plaintext": tls is None}
    return Upstream.model_validate(section).model_copy(update=more)


@contextlib.asynccontextmanager
async def upstream_to(
    *targets: str | Backend, started: bool = True, budget: int = 1000, **more: Any
) -> AsyncIterator[H2Upstream]:
    """An upstream; afterwards nothing of it is left: no connection, no task, no call that waits.

    `budget`: how often it may send calls of `idempotent_methods` again.
    """
    texts = [target.target if isinstance(target, Backend) else target for target in targets]
    before = asyncio.all_tasks()
    pool = Pool("test", settings(*texts, **more), "test/1")
    retries = Retries(more.get("idempotent_methods", ()), RetryBudget(budget, asyncio.get_running_loop().time))
    upstream = H2Upstream("test", pool, MessageLimits(MAX_REQUEST, MAX_RESPONSE), retries=retries)
    if started:
        upstream.start()
    try:
        yield upstream
    finally:
        await upstream.close()
    assert not pool.waiting
    assert not pool.calls
    left = [task for task in asyncio.all_tasks() - before if "gateway/upstream" in task.get_coro().cr_code.co_filename]  # type: ignore[union-attr]
    assert not left, left


async def nothing_open(upstream: H2Upstream) -> None:
    """Return once no stream is left on any connection that is in use."""
    async with asyncio.timeout(2):
        while any(link.streams for link in upstream.pool.ready):
            await asyncio.sleep(0.005)


async def ready(upstream: H2Upstream, count: int) -> None:
    """Return once an upstream has so many connections."""
    async with asyncio.timeout(PATIENCE):
        while len(upstream.pool.ready) != count:
            await asyncio.sleep(0.005)


class Held:
    """Requests are answered one by one, when the test says so."""

    def __init__(self) -> None:
        self.step = asyncio.Semaphore(0)

    async def __call__(self, request: Request) -> None:
        await self.step.acquire()
        await ok(request)
