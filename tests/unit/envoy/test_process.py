"""What becomes of an Envoy that does not start; one that does, tests/envoy has."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.envoy import process
from gateway.envoy.process import EnvoyError, running

Make = Callable[[str], None]


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Takes the place of Envoy: a shell script; its first two arguments are those of the rule."""

    def make(script: str) -> None:
        path = tmp_path / "envoy"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setattr(process, "find_envoy", lambda: path)

    return make


async def start(tmp_path: Path) -> None:
    async with running(tmp_path / "envoy.yaml", tmp_path / "log"):
        raise AssertionError("it has started")


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo first; echo 'the last words' >&2; echo; exit 3", "exit code 3: the last words"),
        ("exit 1", "exit code 1: it said nothing"),
    ],
)
async def test_one_that_ends(program: Make, tmp_path: Path, script: str, words: str) -> None:
    program(script)
    with pytest.raises(EnvoyError, match=words):
        await start(tmp_path)


async def test_one_that_never_listens_is_ended(program: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(f"echo $$ > {tmp_path}/pid; exec sleep 60")
    monkeypatch.setattr(process, "START", 0.5)
    with pytest.raises(EnvoyError, match="does not accept connections"):
        await start(tmp_path)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


async def test_one_that_will_not_end_is_killed(program: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(f"trap '' TERM; echo $$ > {tmp_path}/pid; while :; do sleep 0.05; done")
    monkeypatch.setattr(process, "START", 0.5)
    monkeypatch.setattr(process, "STOP", 0.2)
    with pytest.raises(EnvoyError):
        async with asyncio.timeout(5):
            await start(tmp_path)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


async def test_an_address_of_an_earlier_one_is_not_believed(program: Make, tmp_path: Path) -> None:
    (tmp_path / "log.admin").write_text("127.0.0.1:1")
    program("exit 1")
    with pytest.raises(EnvoyError, match="exit code 1"):
        await start(tmp_path)
    assert not (tmp_path / "log.admin").exists()
