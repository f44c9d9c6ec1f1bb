"""What every test of the chart has: Helm's library, and each example in turn."""

import importlib.util
import os

import pytest

from tests.unit.deploy_chart.chart import EXAMPLES, Release


@pytest.fixture(autouse=True)
def _helm() -> None:
    if importlib.util.find_spec("helm_python") is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(
            "helm-python-sdk has no wheel for this machine"
        )


@pytest.fixture(params=EXAMPLES)
def release(request: pytest.FixtureRequest) -> Release:
    return Release(request.param)
