"""Tasks that run as long as the gateway does.

Rule: they must not end in silence.
"""

import asyncio
from collections.abc import Coroutine

import structlog

log = structlog.get_logger("gateway")


def lasting(running: Coroutine[None, None, None]) -> asyncio.Task[None]:
    """Start it; who gets the task keeps it, and cancels it in the end."""
    task = asyncio.create_task(running)
    task.add_done_callback(_tell_of_failure)
    return task


def _tell_of_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("unexpected_error", exc_info=error)
