"""Commands, run as a reader of README.md runs them."""

import asyncio
import contextlib
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

BIN = Path(sys.executable).parent


def environment() -> dict[str, str]:
    return {"PATH": f"{BIN}:{os.environ['PATH']}", "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1", "GRPC_VERBOSITY": "NONE"}


async def run(command: str, folder: Path, **environ: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *("/bin/sh", "-c", command),
        cwd=folder,
        env=environment() | environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    async with asyncio.timeout(30):
        stdout, stderr = await process.communicate()
    assert process.returncode is not None
    return process.returncode, stdout.decode(), stderr.decode()


@contextlib.asynccontextmanager
async def started(command: str, folder: Path, until: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """A command that runs until a signal, and what it printed up to a line that holds `until`."""
    process = await asyncio.create_subprocess_exec(
        *shlex.split(command), cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert process.stdout is not None
    printed = ""
    try:
        async with asyncio.timeout(30):
            while until not in printed.rpartition("\n")[0].rpartition("\n")[2]:
                line = await process.stdout.readline()
                assert line, f"{command} ended:\n{printed}"
                printed += line.decode()
        yield process, printed
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(15):
            await process.communicate()
        assert process.returncode == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
