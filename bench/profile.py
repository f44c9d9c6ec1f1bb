"""Where the gateway's main thread spends its time while a case runs: py-spy, by sampling from outside.

Rule: figures of a run that was watched are not shown; sampling stops the gateway for a moment each time.
"""

import shutil
import signal
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.process import BenchError, Process

MISSING = "py-spy is not there: pip install py-spy"
RATE = 250  # samples per second
TOP = 30
MAIN_THREAD = "MainThread"


def find_py_spy() -> Path:
    """Beside the interpreter or on the path. Raises BenchError."""
    found = shutil.which("py-spy", path=Path(sys.executable).parent) or shutil.which("py-spy")
    if found is None:
        raise BenchError(MISSING)
    return Path(found)


class Profiler:
    """Samples the process that `watch` is given."""

    def __init__(self, folder: Path) -> None:
        """`folder` is for what py-spy writes. Raises BenchError."""
        self._program = find_py_spy()
        self._stacks = folder / "stacks.txt"
        self._log = folder / "py-spy.log"

    @contextmanager
    def watch(self, gateway: Process) -> Iterator[None]:
        arguments = ["record", f"--pid={gateway.pid}", "--threads", "--function", f"--rate={RATE}", "--format=raw"]
        sampler = Process([self._program, *arguments, f"--output={self._stacks}"], self._log)
        try:
            sampler.wait_for(lambda line: line if "Sampling process" in line else None)
            yield
        finally:
            sampler.stop(signal.SIGINT)  # on which py-spy writes what it has

    def text(self) -> str:
        """The functions with the most time of their own. Raises BenchError when there are no samples."""
        try:
            own = self_times(self._stacks.read_text("utf-8").splitlines())
        except FileNotFoundError:
            own = Counter()
        samples = own.total()
        if not samples:
            raise BenchError("py-spy saw nothing of the gateway's main thread")
        lines = [f"{count / samples:6.1%}  {function}" for function, count in own.most_common(TOP)]
        parts = [f"{count / samples:6.1%}  {part}" for part, count in by_part(own).most_common()]
        title = f"Self time in the gateway's main thread, of {samples} samples in which it ran:"
        return "\n".join([title, *lines, "By part:", *parts])


def by_part(own: "Counter[str]") -> "Counter[str]":
    """Self times by package, and the gateway's own by room: from functions as `name (package/module.py:1)`."""
    parts: Counter[str] = Counter()
    for function, count in own.items():
        place = function.rpartition("(")[2].rstrip(")").partition(":")[0].split("/")
        parts["/".join(place[: 2 if place[0] == "gateway" else 1])] += count
    return parts


def self_times(stacks: Iterable[str]) -> "Counter[str]":
    """Samples by innermost function of the main thread, from lines `thread (1): MainThread;outer;inner 12`."""
    own: Counter[str] = Counter()
    for line in stacks:
        stack, _, count = line.rpartition(" ")
        thread, _, functions = stack.partition(";")
        if thread.endswith(MAIN_THREAD) and functions:
            own[functions.rpartition(";")[2]] += int(count)
    return own
