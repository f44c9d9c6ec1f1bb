"""A real Envoy in a process of its own, beside the demonstration or a test.

Rule: when the context ends nothing is left of it. It has one worker thread, and no shared memory with other Envoys.
"""

import asyncio
import contextlib
from asyncio.subprocess import DEVNULL, STDOUT, Process
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from gateway.envoy.validate import find_envoy

START, STOP = 20.0, 5.0  # seconds; a busy machine takes some
LOOK = 0.02  # seconds between two looks
FLAGS = ("--concurrency", "1", "--use-dynamic-base-id")


class EnvoyError(Exception):
    """Envoy did not start; the text ends with what it said last."""


@dataclass(frozen=True, slots=True)
class RunningEnvoy:
    """`ports` are those of listener_0, listener_1, …; `admin` is a URL without a slash at the end."""

    ports: list[int]
    admin: str
    log: Path  # what it says
    pid: int


@contextlib.asynccontextmanager
async def running(configuration: Path, log: Path, *, level: str = "warning") -> AsyncIterator[RunningEnvoy]:
    """Until it accepts connections on all its listeners; port 0 takes a free one. The configuration must have an admin
    address. Raises EnvoyMissingError, EnvoyError.
    """
    said_address = log.with_name(f"{log.name}.admin")
    arguments = ("-c", str(configuration), "--admin-address-path", str(said_address), "--log-level", level)
    said_address.unlink(missing_ok=True)  # an earlier one's would be believed
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            find_envoy(), *FLAGS, *arguments, stdin=DEVNULL, stdout=output, stderr=STDOUT
        )
    try:
        async with (
            _patience(log),
            asyncio.timeout(START),
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=START)) as session,
        ):
            admin = await _admin(process, said_address, log)
            await _until_live(process, session, admin, log)
            ports = await _ports(session, admin)
        yield RunningEnvoy(ports, admin, log, process.pid)
    finally:
        await _stop(process)


@contextlib.asynccontextmanager
async def _patience(log: Path) -> AsyncIterator[None]:
    try:
        yield
    except TimeoutError:
        raise EnvoyError(f"Envoy does not accept connections after {START:g} s: {_last_words(log)}") from None


async def _admin(process: Process, file: Path, log: Path) -> str:
    while not (address := _read(file)):
        _check(process, log)
        await asyncio.sleep(LOOK)
    return f"http://{address}"


async def _until_live(process: Process, session: aiohttp.ClientSession, admin: str, log: Path) -> None:
    while True:
        with contextlib.suppress(aiohttp.ClientConnectionError):
            async with session.get(f"{admin}/ready") as response:
                if response.status == 200:
                    return
        _check(process, log)
        await asyncio.sleep(LOOK)


async def _ports(session: aiohttp.ClientSession, admin: str) -> list[int]:
    async with session.get(f"{admin}/listeners?format=json") as response:
        statuses = (await response.json()).get("listener_statuses", [])
    ports = {each["name"]: each["local_address"]["socket_address"]["port_value"] for each in statuses}
    numbered = {int(name.removeprefix("listener_")): port for name, port in ports.items() if name[-1].isdecimal()}
    return [numbered[index] for index in sorted(numbered)]


def _read(file: Path) -> str:
    """Empty until it is there."""
    return file.read_text().strip() if file.exists() else ""


def _check(process: Process, log: Path) -> None:
    if process.returncode is not None:
        raise EnvoyError(f"Envoy ended with exit code {process.returncode}: {_last_words(log)}")


def _last_words(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"


async def _stop(process: Process) -> None:
    if process.returncode is None:
        process.terminate()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), STOP)
    if process.returncode is None:
        process.kill()
    await process.wait()
