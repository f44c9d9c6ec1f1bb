"""CPU time and memory are those of a process and its descendants; one that fails says why."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bench.process import BenchError, Process, core_seconds, descendants, pinned, split_cores

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def test_descendants_are_part_of_a_process(tmp_path: Path) -> None:
    grandchild = "import sys; print('up', flush=True); sys.stdin.read()"
    child = (
        "import subprocess, sys\n"
        f"each = subprocess.Popen([sys.executable, '-c', {grandchild!r}], stdin=subprocess.PIPE)\n"
        "print(each.pid, flush=True)\n"
        "each.wait()\n"
    )
    with Process([sys.executable, "-c", child], tmp_path / "log") as process:
        pid = process.wait_for(lambda line: int(line) if line.strip().isdecimal() else None)
        assert descendants(process.pid) == [process.pid, pid]
        process.wait_for(lambda line: line.startswith("up") or None)
        assert process.resident() > 8 * 1024 * 1024  # two interpreters
    with pytest.raises(BenchError, match="ended with -15"):
        process.wait_for(lambda line: None)


def test_cpu_time_outlives_the_child_that_spent_it(tmp_path: Path) -> None:
    burn = "import time\nwhile time.process_time() < 0.1: pass"
    parent = (
        "import subprocess, sys, time\n"
        f"subprocess.run([sys.executable, '-c', {burn!r}])\n"
        "print('over', flush=True)\n"
        "time.sleep(60)\n"
    )
    with Process([sys.executable, "-c", parent], tmp_path / "log") as process:
        process.wait_for(lambda line: line.startswith("over") or None)
        assert process.cpu_seconds() >= 0.1


def test_each_child_has_its_own_cpu_time(tmp_path: Path) -> None:
    burn = "import time\nwhile time.process_time() < 0.4: pass\nprint('burnt', flush=True)\ntime.sleep(60)"
    parent = (
        "import subprocess, sys\n"
        f"one = subprocess.Popen([sys.executable, '-c', {burn!r}])\n"
        "two = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(one.pid, two.pid, flush=True)\n"
        "one.wait()\n"
    )
    with Process([sys.executable, "-c", parent], tmp_path / "log") as process:
        busy, idle = process.wait_for(lambda line: [int(pid) for pid in line.split() if pid.isdecimal()] or None)
        process.wait_for(lambda line: line.startswith("burnt") or None)
        spent = process.cpu_of_children()
        assert set(spent) == {busy, idle}
        assert spent[busy] >= 0.3 > spent[idle]  # ticks are coarse
        for pid in (busy, idle):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize(
    ("cores", "count", "expected"),
    [
        ({3}, 1, ({3}, {3})),
        ({2, 5}, 1, ({2}, {5})),
        ({0, 1}, 2, ({0, 1}, {0, 1})),
        ({0, 1, 2}, 2, ({0, 1, 2}, {0, 1, 2})),
        ({0, 1, 2, 3}, 2, ({0, 1}, {2, 3})),
        (set(range(8)), 2, ({0, 1}, {2, 3, 4, 5, 6, 7})),
    ],
)
def test_cores_of_subjects_and_of_load(cores: set[int], count: int, expected: tuple[set[int], set[int]]) -> None:
    assert split_cores(cores, count) == expected


def test_waiting_for_a_core_is_seen(tmp_path: Path) -> None:
    """Two that burn on one core: each waits while the other runs."""
    burn = "import time\nwhile time.process_time() < 0.4: pass\nprint('over', flush=True)\ntime.sleep(60)"
    core = {min(os.sched_getaffinity(0))}
    with (
        Process([sys.executable, "-c", burn], tmp_path / "one", core) as one,
        Process([sys.executable, "-c", burn], tmp_path / "two", core) as two,
    ):
        for process in (one, two):
            process.wait_for(lambda line: line.startswith("over") or None)
        assert one.waited_seconds() + two.waited_seconds() >= 0.2


def test_last_words_of_a_process_that_fails(tmp_path: Path) -> None:
    with (
        Process([sys.executable, "-c", "raise SystemExit('no such port')"], tmp_path / "log") as process,
        pytest.raises(BenchError, match="ended with 1: no such port"),
    ):
        process.wait_until(lambda: False)


def test_what_was_spent_on_a_core_is_seen(tmp_path: Path) -> None:
    core = {min(os.sched_getaffinity(0))}
    before = core_seconds(core), core_seconds(set())
    burn = "import time\nwhile time.process_time() < 0.2: pass"
    with pinned(core):
        subprocess.run([sys.executable, "-c", burn], check=True)
    assert core_seconds(core) - before[0] >= 0.1  # ticks are coarse
    assert core_seconds(set()) == before[1] == 0
