"""Finds the programs that some tests need besides Python.

Rule: a test whose program is missing is skipped and says so; with CI=true it fails, so that no test is left out unseen.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
import structlog
import uvloop

from gateway.observe import log

# What is forked here becomes another program at once; grpc-core would tell of its fork handlers on that one's stderr.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

BROWSER = Path(__file__).parent / "browser"
BUILT = BROWSER / "clients" / "dist" / ".stamp"


@cache
def find(program: str) -> str | None:
    """The path of "chromium", "driver" or "node", or None."""
    environment = os.environ | {"VENV": sys.prefix}
    found = subprocess.run([BROWSER / f"find-{program}"], capture_output=True, text=True, check=False, env=environment)
    return found.stdout.strip() or None


def missing(marker: str) -> str | None:
    """What keeps a test with this marker from running, and what to do."""
    if marker == "browser" and find("chromium") is None:
        return "Chromium is MISSING: install Chromium or Chrome, or say CHROME=/path/to/it"
    if marker == "browser" and find("driver") is None:
        return "Playwright's driver does not run: on Debian, apt install libatomic1"
    if marker == "node" and find("node") is None:
        return "Node.js is MISSING: install Node.js 18 or newer, with npm"
    if marker == "node" and not BUILT.exists():
        return "the npm clients are MISSING: run tests/setup"
    return None


def pytest_report_header() -> list[str]:
    reasons = [reason for marker in ("browser", "node") if (reason := missing(marker))]
    return [f"!!! {reason}" for reason in reasons] or [f"browser: {find('chromium')}, node: {find('node')}"]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in ("browser", "node"):
        if item.get_closest_marker(marker) is not None and (reason := missing(marker)) is not None:
            (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Tests run on the event loop that the gateway runs on."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(autouse=True)
def fresh_log() -> Iterator[None]:
    """A test that sets the log up does so for itself; the very list of processors goes back, for loggers hold it."""
    before, line_of_call = structlog.get_config(), log._line_of_call
    yield
    structlog.configure(**before)
    log._line_of_call = line_of_call
