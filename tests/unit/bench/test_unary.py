"""The rate at which both are compared is Envoy's, and of the same round."""

from types import SimpleNamespace
from typing import cast

import pytest

from bench import unary
from bench.cases import FEW
from bench.harness import Harness


@pytest.mark.parametrize(
    "so_far",
    [
        {},
        {"few": {"gateway": {"core_busy": 1.0, "calls_per_second": 100.0}}},
        {"few": {"envoy": {"core_busy": 0.84, "calls_per_second": 100.0}}},
    ],
    ids=["nothing", "no Envoy", "Envoy was not full"],
)
def test_without_envoys_peak_there_is_no_load_to_compare_at(so_far: dict[str, object]) -> None:
    harness = cast(Harness, SimpleNamespace(round=so_far))
    assert unary.same_load(harness, "gateway", way=FEW, peak_of="few") == {}
