"""What tests of commands have: a configuration that is fine."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.cli.command import GOOD


@pytest.fixture(autouse=True)
def hangups() -> Iterator[None]:
    """Are what they were again: `serve` has its process ignore them."""
    before = signal.getsignal(signal.SIGHUP)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture
def good(tmp_path: Path) -> Path:
    file = tmp_path / "gateway.yaml"
    file.write_text(GOOD)
    return file
