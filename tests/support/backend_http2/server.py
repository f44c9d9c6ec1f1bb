"""Where a test's backend listens, and all that has come to it."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

from h2.settings import SettingCodes

from tests.support.backend_http2.answers import Answer, ok
from tests.support.backend_http2.connection import Connection
from tests.support.backend_http2.request import Request
from tests.support.ports import free_port
from tests.support.wire import PATIENCE


class Backend:
    """Listens; set up what every new connection is like before the gateway dials."""

    def __init__(self, answer: Answer, context: ssl.SSLContext | None, settings: Mapping[SettingCodes, int]) -> None:
        self.answer = answer  # to every request, in a task of its own
        self.settings = dict(settings)
        self.greets = True  # False: SETTINGS only come with `Connection.greet`
        self.hangs_up = False  # at once
        self.answers_pings = True
        self.holds = False
        self.connections: list[Connection] = []  # all there were, in order
        self.requests: list[Request] = []  # of all of them, in order
        self.host = "127.0.0.1"
        self.port = free_port()
        self.path: Path | None = None
        self._context = context
        self._server: asyncio.Server | None = None
        self._answers: set[asyncio.Task[None]] = set()
        self._failed: list[BaseException] = []
        self._news = asyncio.Event()

    @property
    def target(self) -> str:
        if self.path is not None:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def standing(self) -> list[Connection]:
        return [connection for connection in self.connections if not connection.closed]

    def section(self, **more: Any) -> dict[str, Any]:
        """For `upstreams`, in plaintext."""
        return {"targets": [self.target], "plaintext": True, "allow_insecure_tokens": True, **more}

    async def start(self) -> None:
        """Listen; again at the same place after `stop`."""
        loop = asyncio.get_running_loop()
        if self.path is not None:
            self._server = await loop.create_unix_server(lambda: Connection(self), str(self.path), ssl=self._context)
        else:
            self._server = await loop.create_server(lambda: Connection(self), self.host, self.port, ssl=self._context)

    def stop(self) -> None:
        """Listen no more; connections stand."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def die(self) -> None:
        """Listen no more, and lose every connection."""
        self.stop()
        for connection in self.standing:
            connection.abort()

    async def until(self, condition: Callable[[], bool], seconds: float | None = PATIENCE) -> None:
        """Return once the condition holds: looked at when something comes or a reply ends. Raises TimeoutError."""
        async with asyncio.timeout(seconds):
            while not condition():
                await self._news.wait()

    async def arrivals(self, count: int, seconds: float = PATIENCE) -> list[Request]:
        """All requests, once there are so many."""
        await self.until(lambda: len(self.requests) >= count, seconds)
        return self.requests

    def arrived(self, request: Request) -> None:
        self.requests.append(request)
        task = asyncio.create_task(self._answer(request))
        self._answers.add(task)
        task.add_done_callback(self._answers.discard)

    def tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    async def _answer(self, request: Request) -> None:
        try:
            await self.answer(request)
        except ConnectionError:
            return  # the gateway left
        except Exception as error:
            self._failed.append(error)

    async def close(self) -> None:
        """Raises what an answer raised, and AssertionError when the gateway broke the protocol."""
        self.die()
        answers = tuple(self._answers)
        for answer in answers:
            answer.cancel()
        await asyncio.gather(*answers, return_exceptions=True)
        await self.until(lambda: not self.standing)
        for error in self._failed:
            raise error
        for connection in self.connections:
            assert connection.error is None, f"the gateway broke the protocol: {connection.error!r}"


@contextlib.asynccontextmanager
async def backend(
    answer: Answer = ok,
    *,
    context: ssl.SSLContext | None = None,
    settings: Mapping[SettingCodes, int] | None = None,
    path: Path | None = None,
    host: str = "127.0.0.1",
    port: int | None = None,
) -> AsyncIterator[Backend]:
    """A backend on a free port of loopback, or on a Unix socket at `path`."""
    made = Backend(answer, context, settings or {})
    made.host, made.port, made.path = host, port or made.port, path
    await made.start()
    try:
        yield made
    finally:
        await made.close()
