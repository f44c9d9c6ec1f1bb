"""One of several processes that share the listeners (supervisor.py).

Rules
- It serves as `serve` with one worker does; only its sockets and the operator's pages are the supervisor's.
- Who starts while others serve does not take calls that only they can answer: without keys that one of them had when it
  began, it ends. An issuer that is late for all of them may be for it, too: a start is judged as a change is.
"""

import asyncio
import os
import signal
import socket
from collections.abc import Collection
from functools import partial
from pathlib import Path

from gateway.app import Gateway
from gateway.check import key_problems
from gateway.control import WorkerEnd
from gateway.errors import StartError
from gateway.observe.log import configure_log
from gateway.order import Configuration, Order
from gateway.process import Source, run, until_signalled
from gateway.settings import Settings, SettingsError
from gateway.tasks import lasting


def work(order: Order) -> None:
    """Raises SettingsError, StartError."""
    run(_work(order))


async def _work(order: Order) -> None:
    line = await WorkerEnd.over(socket.socket(fileno=order.line))
    try:
        in_use, late = await line.first_word()
    except (OSError, EOFError):
        return  # the supervisor has gone meanwhile
    try:
        await _serve(order, in_use, line, late)
    except SettingsError as error:
        line.tell("problem", "; ".join(map(str, error.problems)))
        raise
    except StartError as error:
        line.tell("problem", str(error))
        raise


async def _serve(order: Order, in_use: str | None, line: WorkerEnd, late: Collection[str] | None) -> None:
    """`late`: issuers whose keys the others lack as well; None: no other serves, so that any may be late."""
    configuration = Configuration(order, in_use)
    settings = configuration.at_start()
    log_by = partial(configure_log, debug=order.debug, worker=order.index)
    log_by(settings)
    gateway = Gateway(settings)
    started = asyncio.Event()

    async def ready() -> list[str]:
        await started.wait()
        return gateway.urls

    async def lacking() -> list[str]:
        return [issuer for issuer, keys in gateway.succession.current.key_sets.items() if not keys.ready]

    async def readiness() -> tuple[bool, dict[str, str]]:
        found = await gateway.readiness()
        return found.ready, dict(found.missing)

    async def metrics() -> str:
        return (await gateway.metrics()).decode()

    async def obey() -> None:
        answers = {"ready": ready, "lacking": lacking, "readiness": readiness, "metrics": metrics}
        await line.answer({**answers, "config": gateway.configuration})
        os.kill(os.getpid(), signal.SIGTERM)  # the supervisor is gone: nobody would start another one

    async def start() -> None:
        sockets = [[socket.socket(fileno=number) for number in numbers] for numbers in order.sockets]
        await gateway.start(sockets, operated=True)
        if late is not None and (problems := list(key_problems(settings, gateway.succession.current.tokens, late))):
            raise SettingsError(problems)
        if configuration.text != in_use:
            line.tell("configuration", configuration.text)

    def changed(settings: Settings) -> None:
        log_by(settings)
        configuration.follow(gateway.restart_needed)
        line.tell("configuration", configuration.text)

    obeying = lasting(obey())
    source = Source(Path(order.config), configuration.from_file, changed)
    await until_signalled(gateway, started.set, source=source, start=start)
    obeying.cancel()
