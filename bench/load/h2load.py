"""As many calls as the subject takes, by h2load: some connections, each with so many calls at a time.

Rule: h2load knows HTTP statuses and bytes, not gRPC. All answers to one kind of call are of one size, and a refusal has
another; so a run counts when its bytes are those of so many right answers. It counts calls exactly when it is told
their number, which follows from the run before.
"""

import re
import shutil
import subprocess
from pathlib import Path

from bench.load.traffic import Outcome, Traffic
from bench.process import BenchError
from bench.way import Way

MISSING = "h2load is not there, and the cases that need it are left out (Debian: apt install nghttp2-client)"
PATIENCE = 120.0  # seconds for a run
GROWTH = 10  # a run is at most so many times as long as the one that its number of calls follows from

FINISHED = re.compile(r"^finished in ([\d.]+)(us|ms|s),", re.MULTILINE)
REQUESTS = re.compile(r"^requests: (\d+) total, \d+ started, \d+ done, (\d+) succeeded,", re.MULTILINE)
STATUSES = re.compile(r"^status codes: (\d+) 2xx,", re.MULTILINE)
DATA = re.compile(r"\((\d+)\) data$", re.MULTILINE)
SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}


def find() -> Path | None:
    found = shutil.which("h2load")
    return Path(found) if found else None


class H2load:
    """For one kind of call to one subject."""

    def __init__(self, url: str, traffic: Traffic, way: Way, size: int, folder: Path) -> None:
        """`size`: bytes of the body of a right answer. `folder` is for the request. Raises BenchError."""
        program = find()
        if program is None:
            raise BenchError(MISSING)
        folder.mkdir(exist_ok=True)
        body = folder / "body"
        body.write_bytes(traffic.body)
        self._size = size
        self._least = way.connections * way.streams
        self._rate = 0.0  # calls a second, of the last run
        self._arguments: list[str | Path] = [
            program,
            *([] if way.http2 else ["--h1"]),
            f"--clients={way.connections}",
            f"--max-concurrent-streams={way.streams}",
            f"--window-bits={way.windows[0]}",
            f"--connection-window-bits={way.windows[1]}",
            f"--data={body}",
            *(f"--header={name}: {value}" for name, value in traffic.headers.items()),
            url + traffic.path,
        ]

    def warm_up(self, seconds: float) -> Outcome:
        """At least so long; the subject is as it is while measured, then. Raises BenchError."""
        outcome = self.send(0)
        while outcome.seconds < seconds / 2:
            outcome = self.send(min(seconds, outcome.seconds * GROWTH))
        return outcome

    def send(self, seconds: float) -> Outcome:
        """About so long, at least a call in each place. Raises BenchError."""
        calls = max(self._least, int(self._rate * seconds))
        outcome = judged(_run([*self._arguments, f"--requests={calls}"]), self._size)
        self._rate = outcome.rate
        return outcome


def _run(arguments: list[str | Path]) -> str:
    try:
        result = subprocess.run(arguments, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        raise BenchError(f"h2load did not end within {PATIENCE:g} s") from None
    if result.returncode != 0:
        raise BenchError(f"h2load failed: {result.stderr.strip() or result.stdout.strip().rpartition(chr(10))[2]}")
    return result.stdout


def judged(output: str, size: int) -> Outcome:
    """What h2load says at its end. Raises BenchError unless every answer was HTTP 200 and `size` bytes long."""
    finished, requests, statuses, data = (pattern.search(output) for pattern in (FINISHED, REQUESTS, STATUSES, DATA))
    if not (finished and requests and statuses and data):
        raise BenchError(f"h2load said something else: {output.strip()[-200:]}")
    total, succeeded = map(int, requests.groups())
    if not total or {succeeded, int(statuses[1])} != {total}:
        raise BenchError(f"{total - succeeded} of {total} calls failed")
    if int(data[1]) != total * size:
        raise BenchError(f"some of {total} calls failed: {data[1]} bytes of answers, not {total * size}")
    return Outcome(total, float(finished[1]) * SECONDS[finished[2]])
