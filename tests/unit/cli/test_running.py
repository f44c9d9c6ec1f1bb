"""`serve`, `demo` and `dev`: what they hand over, and how a run ends."""

import json
import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from gateway import cli, run
from gateway.errors import StartError
from gateway.settings import Problem, Settings, SettingsError, load
from tests.unit.cli.command import COMMAND, GOOD, Answer


def ending(
    error: BaseException | None, good: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str
) -> tuple[int, list[Settings]]:
    served = []

    def serve(_path: Path, settings: Settings, *, debug: bool = False) -> None:
        served.append(settings)
        if error is not None:
            raise error

    monkeypatch.setattr(run, "serve", serve)
    return cli.main(["serve", "-c", str(good), *arguments]), served


def test_serve_hands_over_the_settings(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ending(None, good, monkeypatch, "--workers", "1") == (0, [load(good)])


def test_a_hangup_does_not_end_a_start(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[int] = []
    signal.signal(signal.SIGHUP, lambda number, _frame: ended.append(number))

    def hung_up_on(path: Path) -> Settings:
        os.kill(os.getpid(), signal.SIGHUP)
        return load(path)

    monkeypatch.setattr("gateway.settings.load", hung_up_on)
    assert ending(None, good, monkeypatch)[0] == 0
    assert ended == []


def test_demo_and_dev_hand_over_their_options(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls: list[tuple[tuple[object, ...], dict[str, object]]] = []
    for name in ("demo", "dev"):
        monkeypatch.setattr(run, name, lambda *given, **options: calls.append((given, options)))
    pem = tmp_path / "x.pem"
    pem.touch()
    assert cli.main(["demo", "--http-port", "0", "--issuer-port", "1"]) == 0
    assert cli.main(["demo", "--envoy", "--envoy-port", "0"]) == 0
    assert cli.main(["dev", "localhost:50051"]) == 0
    assert cli.main(["dev", "localhost:50051", "--tls", "--port", "0", "--debug"]) == 0
    assert (
        cli.main(["dev", "[::1]:1", "--ca", str(pem), "--cert", str(pem), "--key", str(pem), "--server-name", "a"]) == 0
    )
    nothing = {"ca": None, "certificate": None, "private_key": None, "server_name": None}
    everything = {"ca": pem, "certificate": pem, "private_key": pem, "server_name": "a"}
    assert calls == [
        ((0, 8443, 1), {"envoy_port": None, "debug": False}),
        ((8080, 8443, 8081), {"envoy_port": 0, "debug": False}),
        (("localhost:50051", 8080), {"plaintext": True, "debug": False, **nothing}),
        (("localhost:50051", 0), {"plaintext": False, "debug": True, **nothing}),
        (("[::1]:1", 8080), {"plaintext": False, "debug": False, **everything}),
    ]


@pytest.mark.parametrize(
    ("error", "code_and_line"),
    [
        (StartError("listeners[0].bind: in use"), (3, "grpcweb-gateway: listeners[0].bind: in use\n")),
        (SettingsError([Problem("drain", 3, "is bad", None, "x.yaml")]), (1, "x.yaml:3: drain: is bad\n")),
        (KeyboardInterrupt(), (130, "")),
        (
            RuntimeError("token=hunter2"),
            (3, "grpcweb-gateway: internal error: RuntimeError (hint: --debug shows where)\n"),
        ),
    ],
)
def test_every_ending_is_a_line_and_a_code(
    error: BaseException,
    code_and_line: tuple[int, str],
    good: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, _ = ending(error, good, monkeypatch)
    out, line = capsys.readouterr()
    assert (code, line) == code_and_line
    assert out == ""


@pytest.mark.parametrize("error", [StartError("in use"), RuntimeError("broken")])
def test_debug_shows_where(
    error: Exception, good: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ending(error, good, monkeypatch, "--debug")[0] == 3
    assert "Traceback (most recent call last)" in capsys.readouterr().err


@pytest.mark.parametrize(("option", "key"), [("--ca", "ca"), ("--cert", "certificate"), ("--key", "private_key")])
def test_dev_tells_of_its_options_where_a_file_has_keys(
    option: str, key: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*_given: object, **_options: object) -> None:
        raise SettingsError([Problem(f"upstreams.dev.tls.{key}", None, "expired")])

    monkeypatch.setattr(run, "dev", refused)
    assert cli.main(["dev", "a:1"]) == 1
    assert capsys.readouterr().err == f"grpcweb-gateway: {option}: expired\n"


@pytest.mark.parametrize(
    ("command", "key", "option"),
    [
        (["dev", "a:1"], "listeners[0].bind", "--port"),
        (["demo"], "listeners[0].bind", "--http-port"),
        (["demo"], "listeners[1].bind", "--https-port"),
        (["demo"], "issuer", "--issuer-port"),
        (["demo"], "admin.bind", "admin.bind"),
    ],
)
def test_an_address_in_use_is_told_of_its_option(
    command: list[str], key: str, option: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*_given: object, **_options: object) -> None:
        raise StartError(f"{key}: cannot listen on 127.0.0.1:1: it is in use by another process")

    monkeypatch.setattr(run, command[0], refused)
    assert cli.main(command) == 3
    assert capsys.readouterr().err == (
        f"grpcweb-gateway: {option}: cannot listen on 127.0.0.1:1: it is in use by another process\n"
    )


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--http-port", "8443"], "--https-port: 8443 is --http-port's, too"),
        (["--issuer-port", "8080"], "--issuer-port: 8080 is --http-port's, too"),
        (["--envoy", "--issuer-port", "8082"], "--envoy-port: 8082 is --issuer-port's, too"),
    ],
)
def test_demo_needs_ports_that_differ(options: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["demo", *options]) == 2
    assert capsys.readouterr().err == f"grpcweb-gateway: {told} (hint: choose another port)\n"


def test_ports_that_nobody_takes_may_be_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "demo", lambda *_given, **_options: None)
    assert cli.main(["demo", "--http-port", "0", "--https-port", "0", "--issuer-port", "8082"]) == 0


def test_ctrl_c_ends_a_run_quietly(good: Path) -> None:
    with subprocess.Popen(
        [COMMAND, "serve", "-c", good], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert any(json.loads(line)["event"] == "ready" for line in process.stdout)
            process.send_signal(signal.SIGINT)
            out, errors = process.communicate(timeout=20)
        finally:
            process.kill()
    assert process.returncode == 0
    assert errors == ""
    assert "Traceback" not in out


def test_an_address_in_use(good: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        good.write_text(GOOD.replace("127.0.0.1:0", f"127.0.0.1:{port}"))
        answer = Answer("serve", cwd=good.parent)
    assert answer.code == 3
    assert answer.errors == [
        f"grpcweb-gateway: listeners[0].bind: cannot listen on 127.0.0.1:{port}: it is in use by another process "
        "(hint: choose another port, or stop that one)"
    ]
