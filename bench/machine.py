"""Where figures come from: without it they mean nothing."""

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from bench import backend, load

ROOT = Path(__file__).resolve().parent.parent
LIBRARIES = ("aiohttp", "grpcio", "uvloop", "cryptography", "PyJWT", "structlog", "prometheus-client")


def describe() -> dict[str, object]:
    """The machine, the versions and the commit, as JSON values."""
    nghttpd, wrk = backend.find_nghttpd(), load.find_wrk()
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _commit(),
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "system": f"{platform.system()} {platform.release()}",
        "load": [round(average, 2) for average in os.getloadavg()],
        "python": platform.python_version(),
        "libraries": {name: found for name in LIBRARIES if (found := _version(name))},
        "backend": _first_line([nghttpd, "--version"]) if nghttpd else "grpcio",
        "wrk": " ".join(_first_line([wrk, "--version"]).split()[:2]) if wrk else "",
    }


def unsuitable() -> str:
    """Why nothing can be measured here; empty: it can."""
    return "" if sys.platform == "linux" else "CPU time and memory are read from /proc: run it on Linux"


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
