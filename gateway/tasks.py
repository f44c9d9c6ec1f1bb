"""Tasks that run as long as the gateway does.

Rule: they must not end in silence.
"""

import asyncio
from collections.abc import Callable, Coroutine

import structlog

log = structlog.get_logger("gateway")

TICK = 1.0  # seconds between two looks at connections and calls, for what must not stand still


def lasting(running: Coroutine[None, None, None]) -> asyncio.Task[None]:
    """Start it; who gets the task keeps it, and cancels it in the end."""
    task = asyncio.create_task(running)
    task.add_done_callback(_tell_of_failure)
    return task


async def every(seconds: float, do: Callable[[], None]) -> None:
    """Do it again and again; what it raises is told, and the next time may be a better one."""
    while True:
        await asyncio.sleep(seconds)
        try:
            do()
        except Exception:
            log.exception("unexpected_error")


def _tell_of_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("unexpected_error", exc_info=error)
