"""One of several processes that share the listeners (supervisor.py).

Rule: it serves as `serve` with one worker does; only its sockets and the operator's pages are the supervisor's.
"""

import asyncio
import os
import signal
import socket
from functools import partial
from pathlib import Path

from gateway.app import Gateway
from gateway.control import WorkerEnd
from gateway.observe.log import configure_log
from gateway.order import Order
from gateway.process import Source, run, until_signalled
from gateway.tasks import lasting


def work(order: Order) -> None:
    """Raises SettingsError, StartError."""
    settings = order.settings()
    configure_log(settings, debug=order.debug, worker=order.index)
    run(_work(order, Gateway(settings)))


async def _work(order: Order, gateway: Gateway) -> None:
    started = asyncio.Event()

    async def ready() -> list[str]:
        await started.wait()
        return gateway.urls

    async def readiness() -> tuple[bool, dict[str, str]]:
        found = await gateway.readiness()
        return found.ready, dict(found.missing)

    async def metrics() -> str:
        return (await gateway.metrics()).decode()

    async def obey() -> None:
        answers = {"ready": ready, "readiness": readiness, "metrics": metrics, "config": gateway.configuration}
        line = await WorkerEnd.over(socket.socket(fileno=order.line))
        await line.answer(answers)
        os.kill(os.getpid(), signal.SIGTERM)  # the supervisor is gone: nobody would start another one

    obeying = lasting(obey())
    sockets = [[socket.socket(fileno=number) for number in numbers] for numbers in order.sockets]
    log_again = partial(configure_log, debug=order.debug, worker=order.index)
    await until_signalled(
        gateway,
        started.set,
        source=Source(Path(order.config), order.settings, log_again),
        start=partial(gateway.start, sockets, operated=True),
    )
    obeying.cancel()
