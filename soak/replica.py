"""One backend of several, as whoever runs them sees it: started, ended with its last call, killed, started again."""

import asyncio
import contextlib
import json
import sys
from pathlib import Path

from soak.backend import ALIAS, SERVICE

PATIENCE = 30.0  # seconds for whatever has to come


class SoakError(Exception):
    """Why a run cannot go on; one line for a person."""


class Replica:
    """Always on the same port, once it has had one."""

    def __init__(self, name: str, folder: Path, issuer: str) -> None:
        self.name = name
        self.port = 0
        self.open = 0  # calls
        self.calls: dict[str, int] = {}  # since it was started, by service
        self._folder = folder
        self._issuer = issuer
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._said = asyncio.Event()

    async def start(self) -> None:
        """Until it serves. Raises SoakError."""
        self._said = asyncio.Event()
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "soak.backend", str(self._folder), str(self.port), self._issuer),
            stdout=asyncio.subprocess.PIPE,
            cwd=Path(__file__).parent.parent,
        )
        self._reading = asyncio.create_task(self._read(self._process))
        try:
            async with asyncio.timeout(PATIENCE):
                await self._said.wait()
        except TimeoutError:
            raise SoakError(f"backend {self.name} does not start") from None
        if not self.port:
            raise SoakError(f"backend {self.name} ended at once")

    async def restart(self) -> None:
        """It ends with its last call, and is started again. Raises SoakError."""
        await self.stop()
        await self.start()

    async def stop(self) -> None:
        """Raises SoakError."""
        assert self._process is not None
        if self._process.returncode is None:
            self._process.terminate()
        try:
            async with asyncio.timeout(PATIENCE):
                await self._ended()
        except TimeoutError:
            raise SoakError(f"backend {self.name} does not end") from None

    async def kill(self) -> None:
        if self._process is not None:
            if self._process.returncode is None:
                self._process.kill()
            await self._ended()

    async def called(self) -> bool:
        """Whether calls of both upstreams have come again, within PATIENCE."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                while not (self.calls.get(SERVICE) and self.calls.get(ALIAS)):
                    self._said.clear()
                    await self._said.wait()
                return True
        return False

    async def _ended(self) -> None:
        assert self._process is not None
        assert self._reading is not None
        await self._process.wait()
        await self._reading
        self.open, self.calls = 0, {}

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        try:
            while line := await process.stdout.readline():
                said = json.loads(line)
                self.port, self.open, self.calls = said["port"], said["open"], said["calls"]
                self._said.set()
        finally:
            self._said.set()
