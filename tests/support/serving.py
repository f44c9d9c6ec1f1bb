"""`serve` in processes of its own, as a user runs it, and a TCP balancer that stands before several of them."""

import asyncio
import contextlib
import itertools
import json
import signal
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import aiohttp
import yaml

from gateway.demo.pb import demo_pb2
from gateway.demo.world import DemoWorld
from tests.support.frames import message
from tests.support.gateway import BINARY, DEMO, ORIGIN
from tests.support.ports import free_port
from tests.support.wire import Pairs

PROGRAM = (sys.executable, "-m", "gateway")
START, END = 30.0, 20.0  # seconds for a process to be ready, and to end
TIMEOUT = 10.0  # seconds for a request
LOOK_EVERY = 0.05  # seconds between two looks of the balancer at /readyz
BLOCK = 65536


class Serving:
    """One `serve`: a process, or a supervisor and its workers."""

    def __init__(self, process: asyncio.subprocess.Process, session: aiohttp.ClientSession, path: Path) -> None:
        self.process = process
        self.path = path  # of its configuration
        self.events: list[dict[str, Any]] = []  # of its log, so far
        self.url = self.admin = ""
        self.port = self.tls_port = 0
        self.read_on = asyncio.Event()  # clear: nobody reads its log
        self.read_on.set()
        self._session = session
        self._news = asyncio.Condition()
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stdout is not None
        while (line := await self.process.stdout.readline()).endswith(b"\n"):  # who is killed may leave part of one
            await self.read_on.wait()
            async with self._news:
                self.events.append(json.loads(line))
                self._news.notify_all()

    def named(self, name: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["event"] == name]

    async def event(self, name: str, count: int = 1, seconds: float = END) -> dict[str, Any]:
        """The event of that name, once there are so many."""
        async with asyncio.timeout(seconds), self._news:
            await self._news.wait_for(lambda: len(self.named(name)) >= count)
        return self.named(name)[count - 1]

    async def started(self) -> None:
        ready = await self.event("ready", seconds=START)
        self.url, self.admin = ready["listeners"][0], ready["admin"]
        self.port, self.tls_port = (int(url.rpartition(":")[2]) for url in ready["listeners"])

    async def is_ready(self) -> bool:
        """As /readyz says. False also if nobody answers."""
        try:
            async with self._session.get(f"{self.admin}/readyz") as response:
                return response.status == 200
        except aiohttp.ClientError:
            return False

    async def call(self, fields: Pairs, **options: Any) -> bool:
        """Whether one is answered well. `fields`: its headers."""
        body = message(demo_pb2.EchoRequest(text="x"))
        async with self._session.post(f"{self.url}{DEMO}Echo", data=body, headers=fields, **options) as reply:
            return b"grpc-status:0" in await reply.read()

    async def page(self, name: str) -> str:
        """One of the operator's."""
        async with self._session.get(f"{self.admin}/{name}") as response:
            return await response.text()

    async def metrics(self) -> dict[str, float]:
        """By series."""
        series = (line.rpartition(" ") for line in (await self.page("metrics")).splitlines() if line[0] != "#")
        return {name: float(value) for name, _, value in series}

    async def all_ready(self, workers: int = 2) -> None:
        async with asyncio.timeout(END):
            while (await self.metrics())["gateway_workers_ready"] < workers:
                await asyncio.sleep(LOOK_EVERY)

    def workers(self) -> list[int]:
        """Process ids, the oldest first; numbers begin anew now and then."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return list(map(int, children.split()))

    def configuration(self) -> dict[str, Any]:
        """As its file has it."""
        configuration: dict[str, Any] = yaml.safe_load(self.path.read_text())
        return configuration

    def reconfigure(self, **changes: Any) -> None:
        """Write its file anew, with other sections."""
        self.path.write_text(yaml.safe_dump(self.configuration() | changes))

    def signal(self, number: signal.Signals = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    async def ended(self, seconds: float = END) -> int:
        """The exit code; afterwards the log is complete."""
        code = await asyncio.wait_for(self.process.wait(), seconds)
        await self._reading
        return code

    async def close(self) -> None:
        """Whatever it is at."""
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
        self.read_on.set()
        await self._reading


@dataclass
class Site:
    """A backend and an issuer, and gateways that know them."""

    world: DemoWorld
    session: aiohttp.ClientSession
    exits: contextlib.AsyncExitStack
    numbers: Iterator[int]

    async def serve(self, **changes: Any) -> Serving:
        """One more gateway, on ports of its own; ready. `changes` replace sections of the configuration."""
        one = await self.begin(**changes)
        await one.started()
        return one

    async def begin(
        self,
        *,
        program: Sequence[str] = PROGRAM,
        cwd: Path | None = None,
        environ: dict[str, str] | None = None,
        **changes: Any,
    ) -> Serving:
        """The same, before it is ready."""
        configuration = yaml.safe_load(self.world.config_path.read_text())
        for listener in configuration["listeners"]:
            listener["bind"] = "127.0.0.1:0"
        configuration["cors"]["allow_origins"].append(ORIGIN)
        configuration["observability"] = {"log": {"format": "json"}}
        path = self.world.config_path.with_name(f"serve-{next(self.numbers)}.yaml")
        path.write_text(yaml.safe_dump(configuration | changes))
        process = await asyncio.create_subprocess_exec(
            *(*program, "serve", "-c", str(path)), stdout=asyncio.subprocess.PIPE, cwd=cwd, env=environ
        )
        one = Serving(process, self.session, path)
        self.exits.push_async_callback(one.close)
        return one

    def fields(self, kind: str = BINARY) -> Pairs:
        """Headers of a call with a good token. `kind`: its content type."""
        token = self.world.issuer.mint("reader")
        return [("content-type", kind), ("origin", ORIGIN), ("authorization", f"Bearer {token}")]


@contextlib.asynccontextmanager
async def site() -> AsyncIterator[Site]:
    """Processes that are still there in the end are killed."""
    async with (
        DemoWorld(http_port=0, https_port=0, issuer_port=free_port(), admin_port=0) as world,
        # Each request on a connection of its own, so that every worker gets some.
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(force_close=True), timeout=aiohttp.ClientTimeout(TIMEOUT)
        ) as session,
        contextlib.AsyncExitStack() as exits,
    ):
        yield Site(world, session, exits, itertools.count())


class Balancer:
    """A port that stands for the TLS or the plaintext listeners of several gateways.

    A new connection goes to one of those whose /readyz is good, in turn, and to the next one if it is refused.
    Connections that are there stay where they are: a balancer knows nothing of calls.
    """

    def __init__(self, *, tls: bool) -> None:
        self.replicas: list[Serving] = []
        self.refused = 0  # connections that the next one took
        self.port = 0
        self._tls = tls
        self._out: set[Serving] = set()
        self._turn = 0
        self._relaying: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        self._looking = asyncio.create_task(self._look())
        return self

    async def __aexit__(self, *_exc: object) -> None:
        self._server.close()
        for task in (self._looking, *self._relaying):
            task.cancel()
        await asyncio.gather(self._looking, *self._relaying, return_exceptions=True)

    async def _look(self) -> None:
        while True:
            for one in self.replicas:
                (self._out.discard if await one.is_ready() else self._out.add)(one)
            await asyncio.sleep(LOOK_EVERY)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._relaying.add(task)
        try:
            await self._relay(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()
            self._relaying.discard(task)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await self._connect()
        try:
            upwards, downwards = (asyncio.create_task(_pump(*pair)) for pair in ((reader, back), (there, writer)))
            try:
                await asyncio.wait({upwards, downwards}, return_when=asyncio.FIRST_EXCEPTION)
            finally:
                upwards.cancel()
                downwards.cancel()
                await asyncio.gather(upwards, downwards, return_exceptions=True)
        finally:
            back.transport.abort()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Raises ConnectionError when nobody takes it."""
        self._turn += 1
        start = self._turn % len(self.replicas)
        in_turn = self.replicas[start:] + self.replicas[:start]
        for one in sorted(in_turn, key=lambda each: each in self._out):  # those that are out come last
            try:
                return await asyncio.open_connection("127.0.0.1", one.tls_port if self._tls else one.port)
            except ConnectionError:
                self.refused += 1
        raise ConnectionRefusedError("no replica takes connections")


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(BLOCK):
        writer.write(data)
        await writer.drain()
    writer.write_eof()
