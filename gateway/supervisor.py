"""Several workers that share the listeners: `serve` with more than one.

    supervisor ── sockets, an order ──▶ worker 0, worker 1, …   (processes of their own, gateway/worker.py)
        ▲   ◀── ready, metrics, config ──┘   (control.py)
    operator's pages

Rules
- The supervisor serves no call. It binds, starts workers, starts those again that end, and speaks for all of them.
- Workers are new processes, never forks of one that has threads or grpc in it.
- Each worker has sockets of its own for the same addresses (SO_REUSEPORT), between which the kernel spreads new
  connections. They stay the supervisor's, too: who waits to be accepted outlives a worker that dies. A worker that
  fails again and again loses them, so that nobody waits for it.
- Workers watch the configuration themselves, and drain and end when the supervisor is gone.
"""

import asyncio
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

import structlog
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily

from gateway.control import SilenceError, SupervisorEnd
from gateway.errors import StartError
from gateway.exposition import together
from gateway.front.admin import SHUTTING_DOWN, AdminPages, Readiness
from gateway.front.listener import Sockets, bind, naming
from gateway.observe.log import configure_log
from gateway.order import Order
from gateway.settings import Address, Settings
from gateway.tasks import lasting
from gateway.version import VERSION

log = structlog.get_logger("gateway")

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 30.0  # seconds before a worker that has ended is started again; doubled each time
STOOD = 60.0  # seconds after which a worker's end is no longer one in a row
PATIENT = 2.0  # seconds of pause for which connections may wait for it
LOOK_EVERY, STUCK = 5.0, 30.0  # seconds between two questions to a worker, and without an answer: it is ended
ANSWER_TIMEOUT = 5.0  # seconds for a question of the operator's
LAST_WORDS = 10.0  # seconds beyond `drain` after which a worker is killed


class Worker:
    """One of them, as the supervisor sees it."""

    def __init__(self, index: int, supervisor: "Supervisor") -> None:
        self.index = index
        self.ready = asyncio.Event()
        self.restarts = 0
        self.exit_code = 0  # of one that has ended for good
        self.urls: list[str] = []
        self.sockets: list[Sockets] = []  # by listener; none while it has to be waited for too long
        self.process: asyncio.subprocess.Process | None = None
        self.line: SupervisorEnd | None = None
        self._supervisor = supervisor

    async def keep(self) -> None:
        """Run it, again and again."""
        pause = FIRST_PAUSE
        while True:
            started_at = time.monotonic()
            try:
                code = await self._run_once()
                cause = _cause(code)
            except StartError as error:  # its address was free for a moment, and somebody has taken it
                code, cause = 1, str(error)
            if self._supervisor.stopping or not self._supervisor.started:
                self.exit_code = code or 1
                return
            self.restarts += 1
            pause = FIRST_PAUSE if time.monotonic() - started_at >= STOOD else min(pause * 2, LONGEST_PAUSE)
            log.error("worker_ended", worker=self.index, cause=cause, again_in=pause)
            if pause > PATIENT:
                self.close_sockets()
            await asyncio.sleep(pause)

    async def _run_once(self) -> int:
        """Its exit code, which is negative for a signal."""
        if not self.sockets:
            self.sockets = self._supervisor.bind()
        ours, its = socket.socketpair()
        numbers = [[one.fileno() for one in sockets] for sockets in self.sockets]
        order = Order(
            config=str(self._supervisor.path),
            index=self.index,
            workers=self._supervisor.wanted,
            sockets=numbers,
            line=its.fileno(),
            debug=self._supervisor.debug,
        )
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway", "worker", order.text()),
            pass_fds=[number for each in numbers for number in each] + [its.fileno()],
            process_group=0,  # Ctrl-C is the supervisor's, which tells its workers
        )
        its.close()
        self.line = await SupervisorEnd.over(ours)
        looking = lasting(self._look_after())
        try:
            return await self.process.wait()
        finally:
            self.ready.clear()
            looking.cancel()
            self.line.close()

    async def _look_after(self) -> None:
        assert self.line is not None
        try:
            self.urls = await self.line.ask("ready", within=None)
            self.ready.set()
            while True:
                await asyncio.sleep(LOOK_EVERY)
                await self.line.ask("ready", within=STUCK)
        except SilenceError as silence:
            stuck = not silence.gone  # who is gone ends by itself
        if stuck:
            log.error("worker_stuck", worker=self.index)
            self.send(signal.SIGKILL)

    async def ask(self, question: str) -> Any:
        """None: it does not answer."""
        assert self.line is not None
        try:
            return await self.line.ask(question, within=ANSWER_TIMEOUT)
        except SilenceError:
            return None

    def send(self, number: signal.Signals) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(number)

    def close_sockets(self) -> None:
        for sockets in self.sockets:
            for one in sockets:
                one.close()
        self.sockets = []


class Supervisor:
    """Of one `serve`."""

    def __init__(self, path: Path, settings: Settings, wanted: int | None, *, debug: bool) -> None:
        """`wanted`: so many workers, whatever the settings say."""
        self.path = path
        self.wanted = wanted
        self.count = wanted or settings.workers
        self.debug = debug
        self.started = False
        self.stopping = False
        self._settings = settings
        self._addresses = [listener.bind for listener in settings.listeners]
        self._workers = [Worker(index, self) for index in range(self.count)]
        self._keeping: list[asyncio.Task[None]] = []
        self._signals: asyncio.Queue[None] = asyncio.Queue()
        self._admin = AdminPages(self)

    def bind(self) -> list[Sockets]:
        """Sockets of one more worker. Raises StartError."""
        bound: list[Sockets] = []
        for index, address in enumerate(self._addresses):
            with naming(f"listeners[{index}].bind", address):
                bound.append(bind(address, shared=True))
            if not address.port:  # for the workers to come, the one that it is now
                self._addresses[index] = Address(address.host, bound[-1][0].getsockname()[1])
        return bound

    async def run(self) -> int:
        """Until a signal ends it; the exit code. Raises StartError."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signals.put_nowait, None)
        loop.add_signal_handler(signal.SIGHUP, self._send, signal.SIGHUP)
        signalled = asyncio.ensure_future(self._signals.get())
        starting = asyncio.ensure_future(self._start())
        try:
            await asyncio.wait({signalled, starting}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                if code := starting.result():
                    return code  # it has said on stderr why
                listeners, admin = self._workers[0].urls, self._admin.url
                log.info("ready", listeners=listeners, admin=admin, version=VERSION, workers=self.count)
                await signalled
            starting.cancel()
            await self._drain()
            return 0
        finally:
            self.stopping = True
            self._send(signal.SIGKILL)
            await asyncio.gather(*self._keeping, return_exceptions=True)
            await self._admin.close()

    async def _start(self) -> int:
        """0, or the exit code of a worker that could not start. The first one alone, so that it is said once."""
        for worker in self._workers:
            worker.sockets = self.bind()
        for some in (self._workers[:1], self._workers[1:]):
            self._keeping += (keeping := [lasting(worker.keep()) for worker in some])
            ready = [asyncio.ensure_future(worker.ready.wait()) for worker in some]
            while not all(one.done() for one in ready):
                await asyncio.wait({*keeping, *ready}, return_when=asyncio.FIRST_COMPLETED)
                for task in keeping:
                    if task.done():
                        task.result()
                if failed := [worker.exit_code for worker in some if worker.exit_code]:
                    return failed[0]
        self.started = True
        if self._settings.admin is not None:
            await self._admin.listen(self._settings.admin.bind)
        return 0

    async def _drain(self) -> None:
        """A second signal stops at once, as it does a single worker."""
        self.stopping = True
        log.info("draining", workers=self.count, seconds=self._settings.drain)
        for worker in self._workers:
            worker.close_sockets()
        self._send(signal.SIGTERM)
        again = asyncio.ensure_future(self._signals.get())
        ending = asyncio.ensure_future(asyncio.wait(self._keeping))
        patience = self._settings.drain + LAST_WORDS
        await asyncio.wait({ending, again}, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
        again.cancel()
        if not ending.done():
            self._send(signal.SIGTERM)
            await asyncio.wait({ending}, timeout=LAST_WORDS)
        log.info("stopped")

    def _send(self, number: signal.Signals) -> None:
        for worker in self._workers:
            worker.send(number)

    # -- the operator's pages ------------------------------------------------------------------------------------

    async def readiness(self) -> Readiness:
        """Ready is who has one worker that is."""
        if self.stopping:
            return SHUTTING_DOWN
        answers = await self._ask("readiness")
        silent = (worker.index for worker in self._workers if worker.index not in answers)
        missing = {f"worker {worker}": "does not serve" for worker in silent}
        for worker, (_, found) in answers.items():
            missing |= {f"worker {worker}: {name}": text for name, text in found.items()}
        return Readiness(any(ready for ready, _ in answers.values()), missing)

    async def metrics(self) -> bytes:
        """Of all workers that answer."""
        serving = GaugeMetricFamily("gateway_workers_ready", "Workers that serve")
        serving.add_metric((), sum(worker.ready.is_set() for worker in self._workers))
        restarts = CounterMetricFamily("gateway_worker_restarts", "Starts after the first", labels=("worker",))
        for worker in self._workers:
            restarts.add_metric((str(worker.index),), worker.restarts)
        return together(await self._ask("metrics"), (serving, restarts))

    async def configuration(self) -> dict[str, Any]:
        """That of a worker: all of them have the same."""
        return next(iter((await self._ask("config")).values()), {})

    async def _ask(self, question: str) -> dict[int, Any]:
        """What those that are ready answer, by number."""
        asked = [worker for worker in self._workers if worker.ready.is_set() and worker.line is not None]
        answers = await asyncio.gather(*(worker.ask(question) for worker in asked))
        return {worker.index: answer for worker, answer in zip(asked, answers, strict=True) if answer is not None}


def _cause(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def supervise(path: Path, settings: Settings, wanted: int | None, *, debug: bool) -> int:
    """Run workers, as many as `wanted` or as the settings say, until a signal ends them; the exit code. Raises
    StartError.
    """
    configure_log(settings, debug=debug)
    return asyncio.run(Supervisor(path, settings, wanted, debug=debug).run())
