"""The backends of a measurement, over mutual TLS on 127.0.0.1.

`nghttpd`, for unary calls and bulk: C, so that it costs little beside the subject. It knows no gRPC: an answer is a
file that holds its frames, with `grpc-status: 0` in the trailers. It asks for a client certificate and does not judge
it; the subject judges the backend's. `ngh2`, for streams of small messages: ngh2_backend.py, which demands one.
"""

import shutil
import socket
import sys
from pathlib import Path

from bench.methods import BULK, LARGE, SERVICE, SMALL
from bench.process import BenchError, Process
from bench.world import World

LOOPBACK = "127.0.0.1"
MISSING = "nghttpd is not there, and the cases that need it are left out (Debian: apt install nghttp2-server)"


class Backend:
    """A backend that runs, and how it is reached."""

    def __init__(self, name: str, port: int, process: Process) -> None:
        self.name = name
        self.port = port
        self.process = process


def find_nghttpd() -> Path | None:
    # Debian has it in /usr/sbin, which is not on everybody's path.
    found = shutil.which("nghttpd") or shutil.which("nghttpd", path="/usr/sbin")
    return Path(found) if found else None


def nghttpd(world: World, cores: set[int]) -> Backend:
    """Started, and listening. Raises BenchError."""
    program = find_nghttpd()
    if program is None:
        raise BenchError(MISSING)
    folder = world.directory / "nghttpd"
    methods = folder / SERVICE
    methods.mkdir(parents=True)
    for method in (SMALL, LARGE, BULK):
        (methods / method.name).write_bytes(method.reply)
    types = folder / "mime.types"
    types.write_text("application/grpc grpc\n")
    port = free_port()
    arguments: list[str | Path] = [
        program,
        f"--address={LOOPBACK}",
        "--verify-client",
        f"--htdocs={folder}",
        f"--mime-types-file={types}",
        "--trailer=grpc-status: 0",
        "--max-concurrent-streams=1000",
        "--window-bits=20",  # 1 MiB for a stream, 16 MiB for a connection, as gRPC servers come to by themselves
        "--connection-window-bits=24",
        str(port),
        world.pki.backend.private_key,
        world.pki.backend.certificate,
    ]
    process = Process(arguments, world.directory / "nghttpd.log", cores)
    try:
        process.wait_until(lambda: listens(port))
    except BaseException:
        process.stop()
        raise
    return Backend("nghttpd", port, process)


def ngh2(world: World, cores: set[int]) -> Backend:
    """Started, and listening. Raises BenchError."""
    pair = world.pki.backend
    arguments: list[str | Path] = [
        sys.executable,
        "-m",
        "bench.ngh2_backend",
        world.pki.ca,
        pair.certificate,
        pair.private_key,
    ]
    process = Process(arguments, world.directory / "ngh2.log", cores)
    try:
        port = process.wait_for(lambda line: int(line) if line.strip().isdecimal() else None)
    except BaseException:
        process.stop()
        raise
    return Backend("ngh2", port, process)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((LOOPBACK, port)) == 0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port
