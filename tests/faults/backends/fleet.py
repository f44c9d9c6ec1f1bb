"""Backends in processes of their own, and callers over both fronts who use them all the time."""

import asyncio
import contextlib
import itertools
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

from tests.support import http2
from tests.support.frames import message
from tests.support.gateway import Change, RunningGateway, eventually
from tests.support.ports import free_port

CALL = "/test.v1.Test/Do"
GRACE = 5.0  # seconds that a backend gives its calls when it stops
NOTICE = 0.5  # seconds that it goes on when its health check has told that it will


class Backend:
    """One process, started again on the same port."""

    def __init__(self, notice: float) -> None:
        self.port = free_port()
        self.notice = notice
        self._process: asyncio.subprocess.Process | None = None

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def start(self) -> None:
        command = (sys.executable, "-m", "tests.faults.backends.server", str(self.port), str(GRACE), str(self.notice))
        self._process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        assert self._process.stdout is not None
        async with asyncio.timeout(20):
            line = await self._process.stdout.readline()
        self.port = int(line.split()[1])

    async def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Return when the process is gone."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(how)
            async with asyncio.timeout(GRACE + 5):
                await process.wait()


@contextlib.asynccontextmanager
async def fleet(count: int, notice: float = NOTICE) -> AsyncIterator[list[Backend]]:
    backends = [Backend(notice) for _ in range(count)]
    try:
        await asyncio.gather(*(backend.start() for backend in backends))
        yield backends
    finally:
        for backend in backends:
            await backend.stop(signal.SIGKILL)


def before(*backends: Backend, **more: Any) -> Change:
    """The service of `CALL` is at these."""

    def change(configuration: dict[str, Any]) -> None:
        configuration["upstreams"]["test"] = {
            "services": ["test.v1.Test"],
            "targets": [backend.target for backend in backends],
            "plaintext": True,
            "allow_insecure_tokens": True,
            **more,
        }
        configuration["authorization"]["default"] = "authenticated"

    return change


async def all_connected(gateway: RunningGateway, count: int) -> None:
    upstream = gateway.upstreams["test"]
    await eventually(lambda: sum(state.healthy for state in upstream.addresses) == count, 15)


class Load:
    """Callers over HTTP/1.1 and HTTP/2 that call one after the other, and count how it went."""

    def __init__(self, gateway: RunningGateway, callers: int) -> None:
        """`callers` of each version."""
        self.codes: Counter[tuple[str, int]] = Counter()  # by version of HTTP and status
        self._gateway = gateway
        self._numbers = itertools.count()
        self._over = False
        calling = [self._over_http1() for _ in range(callers)] + [self._over_http2(callers)]
        self._callers = [asyncio.create_task(each) for each in calling]

    @property
    def calls(self) -> int:
        return self.codes.total()

    @property
    def failed(self) -> Counter[tuple[str, int]]:
        return Counter({key: count for key, count in self.codes.items() if key[1]})

    async def more(self, count: int) -> None:
        """Return after so many calls more."""
        calls = self.calls + count
        await eventually(lambda: self.calls >= calls or any(caller.done() for caller in self._callers), 20)

    async def stop(self) -> None:
        self._over = True
        async with asyncio.timeout(20):
            await asyncio.gather(*self._callers)

    async def _over_http1(self) -> None:
        while not self._over:
            text = b"%d" % next(self._numbers)
            async with asyncio.timeout(10):  # none hangs
                reply = await self._gateway.post(CALL, message(text))
            self.codes["1.1", reply.code] += 1
            assert reply.messages == [text] or (reply.code and not reply.messages)

    async def _over_http2(self, callers: int) -> None:
        async with http2.connect(self._gateway.port, update_windows=True) as client, asyncio.TaskGroup() as group:
            for _ in range(callers):
                group.create_task(self._on(client))

    async def _on(self, client: http2.Client) -> None:
        head = http2.head(CALL, *self._gateway.fields(), scheme="http")
        while not self._over:
            text = b"%d" % next(self._numbers)
            stream = await client.request(head, message(text))
            received, status, _ = (await stream.response(10)).answer.grpc()
            self.codes["2", status.code] += 1
            assert received == [text] or (status.code and not received)


@contextlib.asynccontextmanager
async def under_load(gateway: RunningGateway, callers: int = 8) -> AsyncIterator[Load]:
    load = Load(gateway, callers)
    try:
        yield load
    finally:
        await load.stop()
