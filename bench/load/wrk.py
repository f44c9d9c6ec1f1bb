"""Unary calls over HTTP/1.1 by wrk: each of some connections sends its next call when the last is answered."""

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.load.traffic import Outcome, Traffic
from bench.process import BenchError

MISSING = "wrk is not there, and the cases that need it are left out (Debian: apt install wrk)"
SCRIPT = Path(__file__).with_name("wrk.lua")
GRACE = 20.0  # seconds beyond its duration after which wrk hangs


def find() -> Path | None:
    found = shutil.which("wrk")
    return Path(found) if found else None


def send(url: str, traffic: Traffic, *, connections: int, seconds: int, folder: Path) -> Outcome:
    """Calls for `seconds`, on this process's cores. `folder` is for the script's files. Raises BenchError."""
    program = find()
    if program is None:
        raise BenchError(MISSING)
    _write(traffic, folder)
    arguments: list[str | Path] = [
        program,
        "--threads=1",
        f"--connections={connections}",
        f"--duration={seconds}s",
        "--timeout=10s",
    ]
    try:
        result = subprocess.run(
            [*arguments, f"--script={SCRIPT}", url + traffic.path, "--", folder],
            capture_output=True,
            text=True,
            timeout=seconds + GRACE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise BenchError(f"wrk did not end {GRACE:g} s after its time") from None
    last = result.stdout.strip().rpartition("\n")[2]
    if result.returncode != 0 or not last.startswith("{"):
        raise BenchError(f"wrk failed: {result.stderr.strip() or last}")
    return _judged(json.loads(last))


def _write(traffic: Traffic, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "body").write_bytes(traffic.body)
    (folder / "headers").write_text("".join(f"{name}: {value}\n" for name, value in traffic.headers.items()))
    (folder / "reply").write_bytes(traffic.reply)
    (folder / "status").write_text(str(traffic.status))
    tokens = folder / "tokens"
    tokens.unlink(missing_ok=True)
    if traffic.tokens:
        tokens.write_text("".join(f"{token}\n" for token in traffic.tokens))


def _judged(numbers: Mapping[str, Any]) -> Outcome:
    if numbers["wrong"]:
        raise BenchError(
            f"{numbers['wrong']} of {numbers['calls']} calls failed, the first with {numbers['first_wrong']}"
        )
    broken = {kind: numbers[kind] for kind in ("connect", "read", "write", "timeout") if numbers[kind]}
    if broken or not numbers["calls"]:
        raise BenchError(f"{numbers['calls']} calls, and failures of connections: {broken}")
    return Outcome(numbers["calls"], numbers["microseconds"] / 1e6, numbers["overdrawn"])
