"""Where tests of faults leave what they measure, for the table in the README.

Rule: a figure is what a test has seen, not what it demands; without FAULT_FIGURES=FILE it goes nowhere.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

Figures = Callable[..., None]


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Figures:
    """Called with figures by name, appends them to the file as one line of JSON, with the test that they are of."""
    file = os.environ.get("FAULT_FIGURES")

    def write(**measured: float) -> None:
        if file:
            with Path(file).open("a") as lines:
                lines.write(json.dumps({"test": request.node.nodeid, **measured}) + "\n")

    return write
