"""`python -m gateway.demo` as a process: what it says, and its exit codes."""

import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.demo import __main__ as command
from gateway.extras import to_install

PATIENCE = 20.0  # seconds


@pytest.fixture(autouse=True)
def restored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRPC_VERBOSITY", "NONE")  # as the command sets it, for this process too


def test_it_says_where_it_is_and_ends_well_on_a_signal(tmp_path: Path) -> None:
    options = ["--folder", "world", "--backend-port", "0", "--issuer-port", "0", "--origin", "http://a.test"]
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway.demo", *options],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        ready = re.fullmatch(
            r"ready: backend (\S+):(\d+), issuer (\S+:\d+) as http://(\S+), files in world\n", process.stdout.readline()
        )
        assert ready is not None
        assert ready[3] == ready[4]
        socket.create_connection((ready[1], int(ready[2])), PATIENCE).close()
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=PATIENCE) == ("", "")
        assert process.returncode == 0
    finally:
        process.kill()
        process.communicate()


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str]:
    """The exit code and the one line on stderr."""
    code = command.main([str(each) for each in arguments])
    out, errors = capsys.readouterr()
    assert out == ""
    (line,) = errors.splitlines()
    return code, line.removeprefix("python -m gateway.demo: ")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], "Missing option '--folder'. (hint: --help)"),
        (["--folder", "x", "--host", "localhost"], "'localhost' is not an IP address (hint: --help)"),
        (["--folder", "x", "--backend-port", "70000"], "70000 is not in the range 0<=x<=65535. (hint: --help)"),
    ],
)
def test_wrong_usage_is_told_in_one_line(capsys: pytest.CaptureFixture[str], arguments: list[str], line: str) -> None:
    code, told = refusal(capsys, *arguments)
    assert code == 2
    assert told.endswith(line)


def test_a_taken_port_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for option, who in {"--issuer-port": "demo issuer", "--backend-port": "demo backend"}.items():
            other = "--backend-port" if option == "--issuer-port" else "--issuer-port"
            told = refusal(capsys, "--folder", tmp_path / "world", option, str(port), other, "0")
            assert told == (3, f"Address already in use: 127.0.0.1:{port} ({who})")


def test_a_folder_that_cannot_be_made_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    code, told = refusal(capsys, "--folder", tmp_path / "file" / "world", "--backend-port", "0", "--issuer-port", "0")
    assert (code, told) == (3, f"Not a directory: {tmp_path / 'file' / 'world' / 'tls'}")


def test_a_missing_library_names_the_extra(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(command, "NEEDED", ("json", "no_such_library"))
    told = refusal(capsys, "--folder", tmp_path)
    assert told == (3, f"it needs no_such_library ({to_install('demo')})")
