"""How the command is used: help, version, and one line for each way of using it wrongly."""

import subprocess
import sys
from pathlib import Path

import pytest

from gateway import cli
from tests.unit.cli.command import Answer


def test_help_names_every_command(tmp_path: Path) -> None:
    answer = Answer("--help", cwd=tmp_path)
    assert answer.code == 0
    assert answer.errors == []
    commands = answer.out.partition("Commands:\n")[2].splitlines()
    assert [line.split()[0] for line in commands] == ["serve", "check", "demo", "dev", "envoy", "schema"]


def test_help_is_quick_because_it_imports_little() -> None:
    code = "import sys; from gateway.cli import main; main(['--help']); print(sorted(sys.modules), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    loaded = {
        name
        for name in ("pydantic", "yaml", "ruamel.yaml", "aiohttp", "grpc", "asyncio", "gateway.app")
        if f"'{name}'" in done.stderr
    }
    assert loaded == set()


def test_version(tmp_path: Path) -> None:
    answer = Answer("--version", cwd=tmp_path)
    assert answer.code == 0
    assert answer.out.startswith("grpcweb-gateway ")


def test_as_a_module(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "nonsense"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == "grpcweb-gateway: No such command 'nonsense'. (hint: grpcweb-gateway --help)\n"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["serve", "--prot", "1"], "No such option '--prot'."),
        (["serve", "--workers", "0"], "Invalid value for '--workers': 0 is not in the range 1<=x<=256."),
        (["serve"], "no configuration: name one with -c FILE, there is no ./gateway.yaml"),
        (["demo", "--http-port", "65536"], "Invalid value for '--http-port': 65536 is not in the range 0<=x<=65535."),
        (["demo", "--http-port", "http"], "Invalid value for '--http-port': 'http' is not a valid integer range."),
        (["demo", "--envoy-port", "x"], "Invalid value for '--envoy-port': 'x' is not a valid integer range."),
        (["envoy"], "no configuration: name one with -c FILE, there is no ./gateway.yaml"),
        (["envoy", "-c", "x.yaml", "-o", "."], "Invalid value for '-o' / '--output': File '.' is a directory."),
        (
            ["envoy", "-c", "x.yaml", "--base", "/etc/envoy", "--validate"],
            "--validate looks for files where Envoy will: leave out --base",
        ),
        (["dev"], "Missing argument 'HOST:PORT'."),
        (["dev", "localhost:70000"], "Invalid value for 'HOST:PORT': port '70000' is not a number from 1 to 65535"),
        (["dev", "http://a:b"], "Invalid value for 'HOST:PORT': must be HOST:PORT or [V6]:PORT, not a URL"),
        (
            ["dev", "a:1", "--server-name", "https://b"],
            "Invalid value for '--server-name': must be a host name, without scheme or port",
        ),
        (["dev", "a:1", "--plaintext", "--server-name", "b"], "--server-name needs TLS: remove --plaintext"),
        (["dev", "a:1", "--cert", __file__], "--cert and --key go together"),
        (["dev", "a:1", "--ca", "none.pem"], "Invalid value for '--ca': File 'none.pem' does not exist."),
        (
            ["dev", "a:1", "--host", "0.0.0.0"],
            "0.0.0.0 is open to other machines, and dev asks nobody for a token: it listens on this one only; "
            '"serve" with a gateway.yaml is for others',
        ),
    ],
)
def test_wrong_usage(tmp_path: Path, arguments: list[str], error: str) -> None:
    answer = Answer(*arguments, cwd=tmp_path)
    assert answer.code == 2
    assert answer.out == ""
    assert answer.errors == [f"grpcweb-gateway: {error} (hint: grpcweb-gateway {arguments[0]} --help)"]


@pytest.mark.parametrize("command", ["check", "serve", "envoy"])
@pytest.mark.parametrize("option", [[], ["-c", "x.yaml"]])
def test_a_configuration_without_its_option(
    command: str, option: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([command, *option, "my files/y.yaml"]) == 2
    assert capsys.readouterr().err == (
        "grpcweb-gateway: unexpected my files/y.yaml: a configuration is named with -c "
        f"(hint: grpcweb-gateway {command} -c 'my files/y.yaml')\n"
    )


def test_an_option_without_its_value(tmp_path: Path) -> None:
    answer = Answer("check", "-c", cwd=tmp_path)
    assert answer.code == 2
    assert answer.errors == ["grpcweb-gateway: Option '-c' requires an argument. (hint: grpcweb-gateway --help)"]


def test_no_command(tmp_path: Path) -> None:
    answer = Answer(cwd=tmp_path)
    assert answer.code == 2
    assert answer.out == ""
    assert answer.errors[0] == "Usage: grpcweb-gateway [OPTIONS] COMMAND [ARGS]..."
