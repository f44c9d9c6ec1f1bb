"""Ten thousand streams on which nothing moves: they cost little, and nobody else notices them."""

import sys

import pytest

from bench import run
from bench.cases import CASES
from bench.harness import Effort
from tests.faults.conftest import Figures

STREAMS = 10_000
MOST = 400  # MB, of one worker with all of them
SOON = 100  # ms, for a call beside them

MB_PER_MIB = 1.024**2


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_ten_thousand_idle_streams(figures: Figures) -> None:
    """Of a `serve` process with one worker, over TLS and HTTP/2, as `make bench` measures it."""
    (case,) = (case for case in CASES if case.name == "idle-h2")
    report = run.measure([case], ["gateway"], Effort(rounds=1, seconds=1, warm_up=1), float("inf"))
    assert report.failures == report.skipped == []
    found = report.results[0].pairs[0]["gateway"]
    megabytes = found["rss_streams_mib"] * MB_PER_MIB
    assert found["idle_streams"] == STREAMS
    assert megabytes < MOST
    # The slowest of them is the machine's affair as much as ours; make bench holds it to the same bound.
    assert found["new_call_ms"] < SOON
    figures(
        streams=STREAMS,
        megabytes=round(megabytes),
        new_call_ms=round(found["new_call_ms"], 1),
        slowest_of_50_ms=round(found["worst_new_call_ms"], 1),
    )
