"""The gateway in a process of its own, as its users run it: `serve`. What its log, /metrics and /proc say of it.

Rule: figures cover the process and all that descend from it, so that several workers are one gateway.
"""

import asyncio
import json
import re
import signal
import sys
from collections import Counter
from pathlib import Path

import aiohttp

from bench.process import PROC, descendants
from soak.replica import SoakError

PATIENCE = 30.0  # seconds to start, and to end
MIB = 1024 * 1024
SERIES = re.compile(r"(\w+)(?:\{.*\})? (\S+)")


class Gateway:
    """`async with Gateway(...)` starts it, and ends it by SIGTERM if it still runs."""

    def __init__(self, configuration: Path, log: Path, *, workers: int, tree: Path) -> None:
        """`tree`: the checkout whose gateway/ it is."""
        self.urls: list[str] = []
        self.events: Counter[str] = Counter()  # of the log, by name
        self.errors: list[str] = []  # lines of the log: level error, and what is no event
        self._arguments = ("-m", "gateway", "serve", "-c", str(configuration), "--workers", str(workers))
        self._log = log
        self._tree = tree
        self._admin = ""
        self._ready, self._news = asyncio.Event(), asyncio.Event()

    async def __aenter__(self) -> "Gateway":
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(10))
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, *self._arguments),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd=self._tree,
            start_new_session=True,  # Ctrl-C is for whoever started it
        )
        self._reading = asyncio.create_task(self._read())
        try:
            async with asyncio.timeout(PATIENCE):
                await self._ready.wait()
        except TimeoutError:
            pass
        if not self.urls:
            await self.__aexit__()
            raise SoakError(f"the gateway does not start: {self.errors[-1:]}")
        return self

    async def __aexit__(self, *_exc: object) -> None:
        if self.runs:
            self._process.kill()
        await self._process.wait()
        await self._reading
        await self._session.close()

    @property
    def runs(self) -> bool:
        return self._process.returncode is None

    async def stop(self) -> int | None:
        """By SIGTERM; its exit code, or None if it does not end."""
        if self.runs:
            self._process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(PATIENCE):
                return await self._process.wait()
        except TimeoutError:
            return None

    async def metrics(self) -> dict[str, float]:
        """By name: series with labels are added up. Empty: it does not answer."""
        sums: dict[str, float] = {}
        try:
            async with self._session.get(f"{self._admin}/metrics") as response:
                text = await response.text()
        except (OSError, aiohttp.ClientError, TimeoutError):
            return sums
        for line in text.splitlines():
            if found := SERIES.fullmatch(line):
                sums[found[1]] = sums.get(found[1], 0.0) + float(found[2])
        return sums

    def vitals(self) -> dict[str, float]:
        """Resident memory in MiB, open file descriptors, threads."""
        figures = {"rss": 0.0, "fds": 0.0, "threads": 0.0}
        for pid in descendants(self._process.pid):
            folder = PROC / str(pid)
            try:
                status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
                figures["fds"] += sum(1 for _ in (folder / "fd").iterdir())
            except (FileNotFoundError, ProcessLookupError):
                continue
            figures["rss"] += int(status["VmRSS"].split()[0]) * 1024 / MIB
            figures["threads"] += int(status["Threads"])
        return figures

    async def until(self, event: str, count: int) -> bool:
        """Whether there have been so many of them, now or within PATIENCE."""
        try:
            async with asyncio.timeout(PATIENCE):
                while self.events[event] < count:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            return False
        return True

    async def _read(self) -> None:
        assert self._process.stdout is not None
        with self._log.open("wb") as log:
            while line := await self._process.stdout.readline():
                log.write(line)
                self._take(line.decode("utf-8", "replace").strip())
        self._ready.set()

    def _take(self, line: str) -> None:
        try:
            event = json.loads(line)
            name, level = event["event"], event.get("log_level", event.get("level"))
        except (ValueError, KeyError, TypeError):
            self.errors.append(line)
            return
        self.events[name] += 1
        if level in ("error", "critical"):
            self.errors.append(line)
        if name == "ready":
            self.urls, self._admin = event["listeners"], event["admin"]
            self._ready.set()
        self._news.set()
