"""A gateway as a process: its event loop, its log, its signals, and what it tells the service manager.

Rule: SIGTERM and SIGINT drain, a second one stops at once. SIGHUP makes a service read its configuration again; what
runs in a terminal it ends, for then that was closed.
"""

import asyncio
import contextlib
import ctypes
import gc
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path

import uvloop

from gateway.app import Gateway
from gateway.configuration_file import ConfigurationFile
from gateway.observe import log as observe_log
from gateway.settings import Settings
from gateway.tasks import lasting

TIDY_EVERY = 60.0  # seconds


@dataclass(frozen=True, slots=True)
class Source:
    """Where the settings come from while the gateway runs."""

    path: Path
    load: Callable[[], Settings]  # raises SettingsError
    changed: Callable[[Settings], None]  # called with those that are in use from now on
    by_hangup: bool = True  # SIGHUP has it read again


def run(main: Coroutine[None, None, None]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main)


async def until_signalled(
    gateway: Gateway,
    started: Callable[[], None],
    *,
    source: Source | None = None,
    start: Callable[[], Coroutine[None, None, None]] | None = None,
) -> None:
    """Start (by `start`, if it takes more than the gateway's own), follow `source`, wait for a signal, drain, stop."""
    loop = asyncio.get_running_loop()
    signals: asyncio.Queue[None] = asyncio.Queue()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, signals.put_nowait, None)
    if source is not None and source.by_hangup:
        loop.add_signal_handler(signal.SIGHUP, _ignore)  # who starts reads the configuration anyway
    elif signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup has it
        loop.add_signal_handler(signal.SIGHUP, signals.put_nowait, None)
    observe_log.OUTPUT.gather(loop.call_later)
    trimming = lasting(_give_memory_back())
    try:
        if not await _has_started((start or gateway.start)(), signals):
            return
        async with _following(gateway, source):
            _spare_the_collector()
            started()
            await signals.get()
        drain = asyncio.ensure_future(gateway.drain())
        again = asyncio.ensure_future(signals.get())
        await asyncio.wait({drain, again}, return_when=asyncio.FIRST_COMPLETED)
        again.cancel()
        if drain.cancel():
            await gateway.end_calls()
    finally:
        trimming.cancel()
        await gateway.stop()
        observe_log.OUTPUT.gather(None)


async def _has_started(start: Coroutine[None, None, None], signals: asyncio.Queue[None]) -> bool:
    """False: a signal came first, and the start was given up. Raises what the start does."""
    starting, signalled = asyncio.ensure_future(start), asyncio.ensure_future(signals.get())
    await asyncio.wait({starting, signalled}, return_when=asyncio.FIRST_COMPLETED)
    if not signalled.done():
        signalled.cancel()
        starting.result()
        return True
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)
    return False


@contextlib.asynccontextmanager
async def _following(gateway: Gateway, source: Source | None) -> AsyncIterator[None]:
    if source is None:
        yield
        return
    loop = asyncio.get_running_loop()
    file = ConfigurationFile(source.path, source.load, gateway, lambda: source.changed(gateway.settings))
    if source.by_hangup:
        loop.add_signal_handler(signal.SIGHUP, file.read_again)
    try:
        yield
    finally:
        if source.by_hangup:
            loop.add_signal_handler(signal.SIGHUP, _ignore)  # it must not end a drain
        await file.close()


def _ignore() -> None:
    """What a signal does whose own action would end the process."""


def tell_manager(state: str) -> None:
    """Tell the service manager, if there is one that wants to know: `READY=1` (sd_notify(3))."""
    if address := os.environ.get("NOTIFY_SOCKET"):
        if address.startswith("@"):
            address = "\0" + address[1:]  # an abstract one
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager, contextlib.suppress(OSError):
            manager.sendto(state.encode(), address)


def _spare_the_collector() -> None:
    """What is here now stays, and calls leave no cycles: looking for some took 2 to 5 % of the time. Configurations and
    a few connections that break off do leave some, so what is young is looked at now and then, and all once a minute.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 1_000)


async def _give_memory_back() -> None:
    """glibc keeps what was freed between things that stay: some MiB a minute, while what is in use stays the same."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    while True:
        await asyncio.sleep(TIDY_EVERY)
        gc.collect()
        if trim is not None:
            await asyncio.to_thread(trim, 0)
