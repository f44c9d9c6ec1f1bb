"""What tests of commands have: a configuration that is fine."""

from pathlib import Path

import pytest

from tests.unit.cli.command import GOOD


@pytest.fixture
def good(tmp_path: Path) -> Path:
    file = tmp_path / "gateway.yaml"
    file.write_text(GOOD)
    return file
