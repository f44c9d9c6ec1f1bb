"""Several workers that share the listeners: `serve` with more than one.

    supervisor ── sockets, an order ──▶ worker 0, worker 1, …   (processes of their own, gateway/worker.py)
        ▲   ◀── ready, metrics, config ──┘   (control.py)
    operator's pages

Rules
- The supervisor serves no call. It binds, keeps workers running (supervised.py), and speaks for all of them.
- Workers watch the configuration themselves, and drain and end when the supervisor is gone.
"""

import asyncio
import contextlib
import signal
from pathlib import Path
from typing import Any

import structlog
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily

from gateway.errors import StartError
from gateway.exposition import together
from gateway.front.admin import SHUTTING_DOWN, AdminPages, Readiness
from gateway.front.listener import Sockets, bind, naming
from gateway.observe.log import OUTPUT, configure_log
from gateway.process import tell_manager
from gateway.settings import Address, Settings, SettingsError, parse
from gateway.supervised import Worker, close_sockets
from gateway.tasks import lasting
from gateway.version import VERSION

log = structlog.get_logger("gateway")

BEYOND_DRAIN = 10.0  # seconds beyond `drain` after which a worker is killed


class Supervisor:
    """Of one `serve`."""

    def __init__(self, path: Path, settings: Settings, wanted: int | None, *, debug: bool) -> None:
        """`wanted`: so many workers, whatever the settings say."""
        self.path = path
        self.wanted = wanted
        self.count = wanted or settings.workers
        self.debug = debug
        self.stopping = asyncio.Event()
        self.in_use: str | None = None  # the configuration, as a text, once a worker serves by one
        self.addresses = [str(listener.bind) for listener in settings.listeners]
        self._settings = settings
        self._bound = [listener.bind for listener in settings.listeners]
        self._workers = [Worker(index, self) for index in range(self.count)]
        self._keeping: list[asyncio.Task[None]] = []
        self._signals: asyncio.Queue[None] = asyncio.Queue()
        self._admin = AdminPages(self)

    def bind(self) -> list[Sockets]:
        """Sockets of one more worker. Raises StartError."""
        bound: list[Sockets] = []
        try:
            for index, address in enumerate(self._bound):
                with naming(f"listeners[{index}].bind", address):
                    bound.append(bind(address, shared=True))
                if not address.port:  # for the workers to come, the one that it is now
                    self._bound[index] = Address(address.host, bound[-1][0].getsockname()[1])
        except StartError:
            close_sockets(bound)
            raise
        return bound

    @property
    def serves(self) -> bool:
        """Some worker does."""
        return any(worker.ready.is_set() for worker in self._workers)

    async def late(self) -> list[str] | None:
        """Issuers whose keys all that serve lack; None: none serves."""
        answers = await self._ask("lacking")
        return sorted(set.intersection(*map(set, answers.values()))) if answers else None

    def learn(self, configuration: str) -> None:
        """A worker serves by it now."""
        self.in_use = configuration
        with contextlib.suppress(SettingsError):  # a file that it names has gone since
            self._settings = parse(configuration, self.path.absolute().parent)
            configure_log(self._settings, debug=self.debug)

    def _judge_addresses(self) -> None:
        """Another gateway of the same user may share its addresses, too, and would get some of our connections, or we
        some of its. Raises StartError.
        """
        for index, address in enumerate(self._bound):
            with naming(f"listeners[{index}].bind", address):
                close_sockets([bind(address)])

    async def run(self) -> int:
        """Until a signal ends it; the exit code. Raises StartError."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signals.put_nowait, None)
        loop.add_signal_handler(signal.SIGHUP, self._read_again)
        OUTPUT.share()
        OUTPUT.gather(loop.call_later)
        signalled = asyncio.ensure_future(self._signals.get())
        starting = asyncio.ensure_future(self._start())
        try:
            await asyncio.wait({signalled, starting}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                if code := starting.result():
                    return code  # it has said on stderr why
                listeners, admin = self._workers[0].urls, self._admin.url
                log.info("ready", listeners=listeners, admin=admin, version=VERSION, workers=self.count)
                OUTPUT.write_out()
                tell_manager("READY=1")
                await signalled
            starting.cancel()
            await self._drain()
            return 0
        finally:
            self.stopping.set()
            self._send(signal.SIGKILL)
            await asyncio.gather(*self._keeping, return_exceptions=True)
            for worker in self._workers:
                worker.close_sockets()
            await self._admin.close()
            OUTPUT.gather(None)

    async def _start(self) -> int:
        """0, or the exit code of a worker that could not start and has said why. The first one alone, so that it is
        said once; what keeps another one from starting while that serves may pass. Raises StartError.
        """
        self._judge_addresses()
        for worker in self._workers:
            worker.sockets = self.bind()
        if self._settings.admin is not None:
            await self._admin.listen(self._settings.admin.bind)
        for some in (self._workers[:1], self._workers[1:]):
            self._keeping += (keeping := [lasting(worker.keep()) for worker in some])
            settled = [asyncio.ensure_future(worker.settled.wait()) for worker in some]
            while not all(one.done() for one in settled):
                await asyncio.wait({*keeping, *settled}, return_when=asyncio.FIRST_COMPLETED)
                for task in keeping:
                    if task.done():
                        task.result()
                for worker in some:
                    if worker.exit_code is not None:
                        return worker.failed()
        return 0

    async def _drain(self) -> None:
        """A second signal stops at once, as it does a single worker."""
        self.stopping.set()
        log.info("draining", workers=self.count, seconds=self._settings.drain)
        for worker in self._workers:
            worker.close_sockets()
        self._send(signal.SIGTERM)
        again = asyncio.ensure_future(self._signals.get())
        ending = asyncio.ensure_future(asyncio.wait(self._keeping))
        patience = self._settings.drain + BEYOND_DRAIN
        await asyncio.wait({ending, again}, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
        if not again.cancel():
            self._send(signal.SIGTERM)
            await asyncio.wait({ending}, timeout=BEYOND_DRAIN)
        log.info("stopped")

    def _read_again(self) -> None:
        """Who is not ready yet reads it anyway, and might not expect the signal yet."""
        for worker in self._workers:
            if worker.ready.is_set():
                worker.send(signal.SIGHUP)

    def _send(self, number: signal.Signals) -> None:
        for worker in self._workers:
            worker.send(number)

    # -- the operator's pages ------------------------------------------------------------------------------------

    async def readiness(self) -> Readiness:
        """Ready is who has one worker that is."""
        if self.stopping.is_set():
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


def supervise(path: Path, settings: Settings, wanted: int | None, *, debug: bool) -> int:
    """Run workers, as many as `wanted` or as the settings say, until a signal ends them; the exit code. Raises
    StartError.
    """
    configure_log(settings, debug=debug)
    return asyncio.run(Supervisor(path, settings, wanted, debug=debug).run())
