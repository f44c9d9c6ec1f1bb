"""Processes of a measurement: on which cores they run, what CPU and memory they use, how they end.

Rule: what was started here is ended here, by its pid; nothing else is. Figures cover a process and its descendants, as
Linux counts them in /proc (proc_pid_stat(5)).
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

PROC = Path("/proc")
POLL = 0.001  # seconds between looks at a log
PATIENCE = 20.0  # seconds for a process to say that it is ready
LAST_WORDS = 5.0  # seconds from a signal to SIGKILL

Found = TypeVar("Found")


class BenchError(Exception):
    """Why there is no figure; one line for a person."""


class Process:
    """A child that writes standard output and error to the file `log`. `with Process(...)` ends it."""

    def __init__(self, arguments: Sequence[str | Path], log: Path, cores: set[int] | None = None) -> None:
        """`cores`: without them, those of the caller. Raises OSError."""
        self.name = Path(arguments[0]).name
        self._log = log
        self.started = time.perf_counter()
        with log.open("wb") as output, pinned(cores or os.sched_getaffinity(0)):
            self._child = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        return self._child.pid

    def wait_for(self, find: Callable[[str], Found | None], seconds: float = PATIENCE) -> Found:
        """What `find` makes of the first line of the log that it does not answer with None.

        Raises BenchError when the process ends, or `seconds` pass, before there is one.
        """
        until = time.monotonic() + seconds
        with self._log.open("rb") as log:
            line = b""
            while True:
                line += log.readline()
                if line.endswith(b"\n"):
                    if (found := find(line.decode("utf-8", "replace"))) is not None:
                        return found
                    line = b""
                elif self._child.poll() is not None:
                    raise BenchError(f"{self.name} ended with {self._child.returncode}: {self.last_words()}")
                elif time.monotonic() > until:
                    raise BenchError(f"{self.name} is not ready after {seconds:g} s: {self.last_words()}")
                else:
                    time.sleep(POLL)

    def wait_until(self, condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
        """For processes that say nothing when they are ready. Raises BenchError as `wait_for` does."""
        until = time.monotonic() + seconds
        while not condition():
            if self._child.poll() is not None:
                raise BenchError(f"{self.name} ended with {self._child.returncode}: {self.last_words()}")
            if time.monotonic() > until:
                raise BenchError(f"{self.name} is not ready after {seconds:g} s: {self.last_words()}")
            time.sleep(POLL)

    def last_words(self) -> str:
        """The last line of the log."""
        with self._log.open("rb") as log:
            log.seek(max(0, self._log.stat().st_size - 2000))
            lines = log.read().decode("utf-8", "replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "(it wrote nothing)")

    def cpu_seconds(self) -> float:
        """User and system time so far, descendants included that have ended. In steps of 10 ms on most machines."""
        ticks = 0
        for pid in descendants(self.pid):
            if (fields := _stat(pid)) is not None:
                ticks += sum(map(int, fields[11:15]))  # utime, stime, cutime, cstime
        return ticks / os.sysconf("SC_CLK_TCK")

    def cpu_of_children(self) -> dict[int, float]:
        """User and system time so far of each child that runs, by its pid."""
        spent = {}
        for pid in descendants(self.pid):
            if (fields := _stat(pid)) is not None and int(fields[1]) == self.pid:
                spent[pid] = sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")
        return spent

    def waited_seconds(self) -> float:
        """How long its threads have been ready to run while their core was another's (schedstat), those that run."""
        return sum(_waited(pid) for pid in descendants(self.pid))

    def resident(self) -> int:
        """Resident memory in bytes. What several processes share is counted for each of them."""
        pages = 0
        for pid in descendants(self.pid):
            if (fields := _stat(pid)) is not None:
                pages += int(fields[21])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """That signal, then SIGKILL if it does not obey."""
        self._child.send_signal(number)
        try:
            self._child.wait(LAST_WORDS)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()


def descendants(pid: int) -> list[int]:
    """`pid` and all that descend from it."""
    children: dict[int, list[int]] = {}
    for entry in PROC.iterdir():
        if entry.name.isdecimal() and (fields := _stat(int(entry.name))) is not None:
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    family = [pid]
    for member in family:
        family += children.get(member, [])
    return family


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat from `state` on: a name in front of it may hold anything. None: it has ended."""
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def _waited(pid: int) -> float:
    """Seconds. Zero: it has ended."""
    nanoseconds = 0
    for thread in (PROC / str(pid) / "task").glob("*/schedstat"):
        with suppress(FileNotFoundError, ProcessLookupError):
            nanoseconds += int(thread.read_text().split()[1])
    return nanoseconds / 1e9


def core_seconds(cores: set[int]) -> float:
    """What all processes have spent on `cores` so far, and what a hypervisor kept from them (proc_stat(5))."""
    ticks = 0
    for line in (PROC / "stat").read_text().splitlines():
        name, *fields = line.split()
        if name.startswith("cpu") and name[3:].isdecimal() and int(name[3:]) in cores:
            user, nice, system, _idle, _iowait, _irq, _softirq, steal = map(int, fields[:8])
            ticks += user + nice + system + steal
    return ticks / os.sysconf("SC_CLK_TCK")


def split_cores(cores: set[int] | None = None, count: int = 1) -> tuple[set[int], set[int]]:
    """Of `cores`, or all: `count` for the gateway if as many are left for load and backend, and those. Otherwise all
    are everybody's.
    """
    every = cores or os.sched_getaffinity(0)
    if len(every) < 2 * count:
        return every, every
    first = set(sorted(every)[:count])
    return first, every - first


@contextmanager
def pinned(cores: set[int]) -> Iterator[None]:
    """Children started meanwhile run on `cores`, from their first instruction on."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
