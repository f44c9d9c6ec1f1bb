"""The Dockerfile, replayed without an engine by tests/support/dockerfile, and the replay itself: that it can fail."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from gateway.settings import Admin

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "Dockerfile").read_text()
LAST_STAGE = TEXT[TEXT.rindex("\nFROM ") :]


def replay(*arguments: str | Path, timeout: float = 30) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "tests.support.dockerfile", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=timeout, check=False)


def context(folder: Path, dockerfile: str, **files: str) -> Path:
    (folder / "Dockerfile").write_text(dockerfile)
    for name, content in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return folder


def test_the_image_builds_serves_is_healthy_and_stops() -> None:
    done = replay(timeout=300)  # by far most of it is pip, which may have to fetch what it installs
    assert done.returncode == 0, done.stdout + done.stderr
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f"  grpcweb-gateway {version}\n  served, was healthy by HEALTHCHECK, ended by SIGTERM" in done.stdout


def test_the_image_says_what_it_is() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    labels = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]*)"', LAST_STAGE))
    assert labels["title"] == project["name"]
    assert labels["version"] == project["version"]
    assert labels["licenses"] == project["license"]
    assert labels["description"]


def test_the_health_check_asks_where_the_admin_pages_are_by_default() -> None:
    match = re.search(r"^HEALTHCHECK .*\\\n +CMD (\[.*\])$", LAST_STAGE, re.MULTILINE)
    assert match is not None
    program = json.loads(match[1])[2]
    default = Admin().bind
    assert f"'{default.host}', {default.port}" in program
    assert "'/healthz'" in program


def test_nothing_but_the_environment_comes_into_the_last_stage() -> None:
    assert re.findall(r"^(?:COPY|ADD|RUN) .*", LAST_STAGE, re.MULTILINE) == ["COPY --from=build /app /app"]
    assert re.findall(r"^USER (.*)", LAST_STAGE, re.MULTILINE) == ["10001:10001"]


@pytest.mark.parametrize(
    ("dockerfile", "error"),
    [
        ("FROM python:3.13-slim\nVOLUME /app\n", "Dockerfile:2: VOLUME: this instruction is not known here"),
        ("FROM debian:13\n", "FROM: debian:13 is no image of Python"),
        ("FROM python:3\nWORKDIR /srv\n", "Dockerfile:2: WORKDIR: /srv is none of the places known here"),
        ("FROM python:3\nWORKDIR /app/../srv\n", "WORKDIR: /srv is none of the places"),
        ("FROM python:3\nCOPY --chown=1 a /app/\n", "COPY: the flag --chown is not known here"),
        ("FROM python:3\n\n# x\nCOPY \\\n  none.txt \\\n  /app/\n", "Dockerfile:4: COPY: none.txt is not sent"),
        ("FROM python:3\nCOPY secret.key /app/\n", "secret.key is not sent to the engine"),
        ("FROM python:3\nCOPY keep/secret.key /app/\n", "keep/secret.key is not sent to the engine"),
        ("FROM python:3\nWORKDIR /app\nRUN echo no >&2 && exit 7\n", "RUN: exit code 7\nno\n"),
        ("FROM python:3\nRUN --mount=type=secret,id=x true\n", "RUN: only a command for a shell, without flags"),
        ("FROM python:3\nENTRYPOINT serve\n", "ENTRYPOINT: must be in exec form"),
        ("FROM python:3\nFROM python:3\n", "FROM: the stage before it has no name"),
        ("FROM python:3 AS a\nFROM python:3\nCOPY --from=b /app /app\n", "COPY: no /app in a stage b"),
        ("FROM python:3\nUSER 0:0\n", "USER 0:0: must be two numbers, and not root's"),
        ("FROM python:3\nUSER app\n", "USER app: must be two numbers"),
    ],
)
def test_the_replay_stops_at_what_it_does_not_know_or_what_fails(tmp_path: Path, dockerfile: str, error: str) -> None:
    files = {".dockerignore": "*\n!keep\n**/*.key\n", "secret.key": "", "keep__secret.key": "", "keep__a.txt": ""}
    done = replay("--context", context(tmp_path, dockerfile, **files))
    assert done.returncode == 1
    assert error in done.stderr


def test_the_replay_copies_what_an_engine_would_be_sent(tmp_path: Path) -> None:
    files = {
        ".dockerignore": "# all but one folder\n*\n!keep\n!one.txt\n**/*.pyc\n",
        "keep__a.txt": "",
        "keep__deep__b.txt": "",
        "keep__deep__c.pyc": "",
        "other__d.txt": "",
        "one.txt": "",
    }
    look = "find . -type f | sort | tr '\\n' ' ' && false"
    dockerfile = f"FROM python:3\nWORKDIR /app\nCOPY keep kept\nCOPY one.txt ./\nRUN {look}\n"
    done = replay("--context", context(tmp_path, dockerfile, **files))
    assert "./kept/a.txt ./kept/deep/b.txt ./one.txt \n" in done.stderr


def fake(health: str, serve: str) -> str:
    """An image whose program is a shell script: enough for the replay to judge how it starts, lives and ends."""
    script = f'case "$1" in --version) echo fake 1;; *) {serve};; esac'
    return (
        "FROM python:3\nWORKDIR /app\n"
        f"RUN printf '%s\\n' '#!/bin/sh' '{script}' > fake && chmod 755 fake\n"
        'ENV PATH=/app:${PATH}\nUSER 10001:10001\nEXPOSE 8443\nENTRYPOINT ["fake"]\nCMD ["serve"]\n'
        f'HEALTHCHECK CMD ["sh", "-c", "{health}"]\n'
    )


@pytest.mark.parametrize(
    ("health", "serve", "error"),
    [
        ("exit 0", "exec sleep 20", "HEALTHCHECK finds a gateway healthy that does not run"),
        ("exit 1", "echo broken", "no event `ready` in its log:\nbroken"),
        ("exit 1", 'echo {\\"event\\":\\"ready\\"}; sleep 20', "HEALTHCHECK: exit code 1"),
    ],
)
def test_the_replay_judges_the_program(tmp_path: Path, health: str, serve: str, error: str) -> None:
    done = replay("--context", context(tmp_path, fake(health, serve)))
    assert done.returncode == 1
    assert error in done.stderr
