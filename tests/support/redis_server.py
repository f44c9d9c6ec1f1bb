"""A real redis-server on a free port, with a password, which can be killed, frozen and started again."""

import asyncio
import contextlib
import shutil
import signal
import socket
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from redis.asyncio import Redis

from tests.support.ports import free_port
from tests.support.wire import PATIENCE

PASSWORD = "hunter2"


class RedisServer:
    """`url` stays the same whatever happens to the process."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.port = free_port()
        self.url = f"redis://:{PASSWORD}@127.0.0.1:{self.port}/0"
        self._folder = folder
        self._options = options
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Returns when it answers; what it counted before is gone."""
        program = shutil.which("redis-server")
        if program is None:
            pytest.fail("redis-server is MISSING: on Debian, apt install redis-server")
        settings = {"port": str(self.port), "bind": "127.0.0.1", "save": "", "dir": str(self._folder)}
        settings |= {"requirepass": PASSWORD, "daemonize": "no", "logfile": str(self._folder / "redis.log")}
        words = [word for name, value in settings.items() for word in (f"--{name}", value)]
        self._process = await asyncio.create_subprocess_exec(program, *words, *self._options)
        async with asyncio.timeout(PATIENCE):
            while True:
                with contextlib.suppress(OSError):
                    socket.create_connection(("127.0.0.1", self.port), 0.1).close()
                    return
                await asyncio.sleep(0.01)

    async def kill(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            await process.wait()

    def freeze(self) -> None:
        """From now on the kernel accepts connections for it, and nobody answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    async def keys(self) -> list[str]:
        """What is counted."""
        async with Redis.from_url(self.url, decode_responses=True) as client:
            return sorted(map(str, await client.keys()))

    async def questions(self) -> int:
        """Scripts that were run so far."""
        async with Redis.from_url(self.url) as client:
            told = await client.info("commandstats")
        return sum(int(told.get(f"cmdstat_{name}", {}).get("calls", 0)) for name in ("eval", "evalsha"))


@contextlib.asynccontextmanager
async def redis_server(folder: Path, options: Sequence[str] = ()) -> AsyncIterator[RedisServer]:
    """A running one; it ends with the block, frozen or not."""
    server = RedisServer(folder, *options)
    await server.start()
    try:
        yield server
    finally:
        await server.kill()
