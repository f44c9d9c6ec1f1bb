"""The demonstration in a terminal that somebody closes."""

import os
import pty
import subprocess
import time
from pathlib import Path

from tests.support.serving import END, PROGRAM, START

PORTS = ("--http-port", "0", "--https-port", "0", "--issuer-port", "0")
LOGIN = """
import os, signal, sys
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # as a terminal's shell has it, whatever started the tests
os.login_tty(0)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


def test_it_ends_with_its_terminal_and_leaves_nothing(tmp_path: Path) -> None:
    ours, its = pty.openpty()
    command = (PROGRAM[0], "-c", LOGIN, *PROGRAM[1:], "demo", *PORTS)
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    process = subprocess.Popen(command, stdin=its, stdout=its, stderr=its, env=environment)
    os.close(its)
    try:
        try:
            read_until(ours, b"Ctrl-C")
            assert list(tmp_path.iterdir())
        finally:
            os.close(ours)  # the kernel tells the foreground processes (SIGHUP)
        assert process.wait(END) == 0
        assert list(tmp_path.iterdir()) == []
    finally:
        process.kill()
        process.wait()


def read_until(terminal: int, text: bytes) -> None:
    said, until = b"", time.monotonic() + START
    while text not in said:
        assert time.monotonic() < until
        said += os.read(terminal, 65536)
