"""One of several workers, as the supervisor sees it (supervisor.py): a place in which one process follows the other.

Rules
- Workers are new processes, never forks of one that has threads or grpc in it.
- Each worker has sockets of its own for the same addresses (SO_REUSEPORT), between which the kernel spreads new
  connections. They stay the supervisor's, too: who waits to be accepted outlives a worker that dies. A worker that
  fails again and again loses them, so that nobody waits for it.
- A worker starts by the configuration that is in use, which those that run tell (order.py).
"""

import asyncio
import contextlib
import math
import signal
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from gateway.control import SilenceError, SupervisorEnd
from gateway.errors import StartError
from gateway.front.listener import Sockets
from gateway.order import Order
from gateway.tasks import lasting

if TYPE_CHECKING:
    from gateway.supervisor import Supervisor

log = structlog.get_logger("gateway")

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 30.0  # seconds before a worker that has ended is started again; doubled each time
STOOD = 10.0  # seconds of service after which a worker's end is no longer one in a row
PATIENT = 2.0  # seconds of pause for which connections may wait for it
STARTING = 120.0  # seconds within which it is ready
LOOK_EVERY, STUCK = 5.0, 30.0  # seconds between two questions to a worker, and without an answer: it is ended
ANSWER_TIMEOUT = 5.0  # seconds for a question of the operator's

# A module in the working directory must not be taken for one of ours; unless that is where the gateway itself lies.
_SAFELY = () if Path.cwd() == Path(__file__).parents[1] else ("-P",)


class Worker:
    """One of them, as the supervisor sees it."""

    def __init__(self, index: int, supervisor: "Supervisor") -> None:
        self.index = index
        self.ready = asyncio.Event()
        self.restarts = 0
        self.settled = asyncio.Event()  # it has served, or others did when it could not: it is started again
        self.cause = ""  # of its last end
        self.problem = ""  # that kept it from its last start, and that it has told on stderr
        self.exit_code: int | None = None  # of one that has ended for good
        self.urls: list[str] = []
        self.sockets: list[Sockets] = []  # by listener; none while it has to be waited for too long
        self.process: asyncio.subprocess.Process | None = None
        self.line: SupervisorEnd | None = None
        self._supervisor = supervisor
        self._serves_since = math.inf
        self._by_file = False  # its next start is by the file, whatever is in use

    async def keep(self) -> None:
        """Run it, again and again, until all are to stop, or it cannot start once while no other serves."""
        pause = FIRST_PAUSE
        stopping = self._supervisor.stopping
        while True:
            code = await self._run_once()
            if self._supervisor.serves:
                self.settled.set()
            if stopping.is_set() or not self.settled.is_set():
                self.exit_code = code
                return
            self.restarts += 1
            stood = time.monotonic() - self._serves_since >= STOOD
            pause = FIRST_PAUSE if stood else min(pause * 2, LONGEST_PAUSE)
            if pause > PATIENT or self.problem:  # which it will have next time, too
                self.close_sockets()
            log.error("worker_ended", worker=self.index, cause=self.cause, again_in=pause)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), pause)
                return

    async def _run_once(self) -> int:
        """Its exit code, which is negative for a signal; `cause` and `problem` say more."""
        self.problem = ""
        self._serves_since = math.inf
        try:
            code = await self._run()
        except (StartError, OSError) as error:  # an address that somebody took meanwhile; no process or file to be had
            code, self.cause = 1, str(error)
        else:
            self.cause = self.problem or _cause(code)
        # Files that the configuration names may have gone bad since it was taken, and the file may be mended by now.
        self._by_file = bool(self.problem) and not self._by_file
        return code

    async def _run(self) -> int:
        if not self.sockets:
            self.sockets = self._supervisor.bind()
        ours, its = socket.socketpair()
        numbers = [[one.fileno() for one in sockets] for sockets in self.sockets]
        order = Order(
            config=str(self._supervisor.path),
            index=self.index,
            workers=self._supervisor.wanted,
            addresses=self._supervisor.addresses,
            sockets=numbers,
            line=its.fileno(),
            debug=self._supervisor.debug,
        )
        with its:
            self.line = await SupervisorEnd.over(ours, {"configuration": self._supervisor.learn, "problem": self._hear})
            try:
                self.process = await asyncio.create_subprocess_exec(
                    *(sys.executable, *_SAFELY, "-m", "gateway", "worker", order.text()),
                    pass_fds=[number for each in numbers for number in each] + [its.fileno()],
                    process_group=0,  # Ctrl-C is the supervisor's, which tells its workers
                )
            except OSError:
                self.line.close()
                raise
        if self._supervisor.stopping.is_set():  # since it was begun
            self.send(signal.SIGTERM)
        late = await self._supervisor.late()
        self.line.say_first((None if self._by_file else self._supervisor.in_use, late))
        looking = lasting(self._look_after())
        try:
            code = await self.process.wait()
            await self.line.heard_all()
            return code
        finally:
            self.ready.clear()
            looking.cancel()
            self.line.close()

    def _hear(self, problem: str) -> None:
        self.problem = problem

    async def _look_after(self) -> None:
        assert self.line is not None
        try:
            self.urls = await self.line.ask("ready", within=STARTING)
            self.settled.set()
            self._serves_since = time.monotonic()
            self.ready.set()
            while True:
                await asyncio.sleep(LOOK_EVERY)
                await self.line.ask("ready", within=STUCK)
        except SilenceError as silence:
            stuck = not silence.gone  # who is gone ends by itself
        if stuck:
            self.send(signal.SIGKILL)
            log.error("worker_stuck", worker=self.index)

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

    def failed(self) -> int:
        """Its exit code, if it has said on stderr why it could not start. Raises StartError."""
        if self.exit_code and self.problem:
            return self.exit_code
        raise StartError(f"worker {self.index} has ended while it started: {self.cause}")

    def close_sockets(self) -> None:
        close_sockets(self.sockets)
        self.sockets = []


def close_sockets(listeners: list[Sockets]) -> None:
    for sockets in listeners:
        for one in sockets:
            one.close()


def _cause(code: int) -> str:
    names = {one.value: one.name for one in signal.Signals}  # real-time signals have none
    return f"signal {names.get(-code, -code)}" if code < 0 else f"exit code {code}"
