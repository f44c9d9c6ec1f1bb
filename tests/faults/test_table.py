"""The table of faults in README.md says what tests hold: each row names some, and they are there."""

import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.support.fault_table import FOLDER, ROWS, Row, markdown

ROOT = Path(__file__).parents[2]


@cache
def collected() -> frozenset[str]:
    """Node ids in `FOLDER`, without parameters, as pytest finds them in the files that the table names."""
    files = dict.fromkeys(f"{FOLDER}/{file}" for row in ROWS for file in row.files)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--collect-only",
        "--quiet",
        "--no-header",
        "-p",
        "no:cacheprovider",
        *files,
    ]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr
    lines = (line for line in found.stdout.splitlines() if "::" in line)
    return frozenset(line.partition("[")[0].removeprefix(f"{FOLDER}/") for line in lines)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.fault)
def test_what_holds_a_row_is_there(row: Row) -> None:
    assert row.tests
    assert set(row.tests) <= collected()


def test_no_row_is_without_a_figure() -> None:
    assert all(any(character.isdigit() for character in row.figure) for row in ROWS)


def test_readme_shows_it() -> None:
    text = (ROOT / "README.md").read_text()
    assert markdown() in text, "put what `python -m tests.support.fault_table` prints into README.md"
