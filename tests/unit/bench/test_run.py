"""The order of a run, and what becomes of a case that fails. Nothing is measured here."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bench import run
from bench.cases import Case
from bench.harness import Effort, Harness
from bench.process import BenchError
from bench.result import Figures

BOTH = ["gateway", "envoy"]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="pins to cores")


def case(name: str, done: Callable[[str, str], Figures], **more: object) -> Case:
    def measure(_harness: Harness, subject: str) -> Figures:
        return done(name, subject)

    return Case(name, name, "start", measure, **more)  # type: ignore[arg-type]


def test_order_is_a_b_in_each_case_and_all_cases_in_each_round() -> None:
    order: list[str] = []

    def done(name: str, subject: str) -> Figures:
        order.append(f"{name} {subject}")
        return {"ready_ms": float(len(order))}

    cases = [case("x", done), case("only", done, subjects=("gateway",)), case("y", done)]
    report = run.measure(cases, BOTH, Effort(rounds=2), float("inf"))
    assert order == ["x gateway", "x envoy", "only gateway", "y gateway", "y envoy"] * 2
    assert report.results[0].pairs == [
        {"gateway": {"ready_ms": 1.0}, "envoy": {"ready_ms": 2.0}},
        {"gateway": {"ready_ms": 6.0}, "envoy": {"ready_ms": 7.0}},
    ]
    assert report.failures == report.skipped == []


def test_a_subject_that_fails_is_not_tried_again_and_spoils_no_other() -> None:
    tried: list[str] = []

    def done(_name: str, subject: str) -> Figures:
        tried.append(subject)
        if subject == "envoy" and tried.count("envoy") == 2:
            raise BenchError("it fell over")
        return {"ready_ms": 1.0}

    report = run.measure([case("x", done)], BOTH, Effort(rounds=3), float("inf"))
    assert tried == ["gateway", "envoy", "gateway", "envoy", "gateway"]
    assert [sorted(pair) for pair in report.results[0].pairs] == [["envoy", "gateway"], ["gateway"], ["gateway"]]
    assert report.failures == ["x, envoy: it fell over"]


def test_one_subject_alone() -> None:
    report = run.measure([case("x", lambda *_: {"ready_ms": 1.0})], ["envoy"], Effort(rounds=1), float("inf"))
    assert report.results[0].pairs == [{"envoy": {"ready_ms": 1.0}}]


def test_what_was_not_begun_in_time_is_told() -> None:
    report = run.measure([case("x", lambda *_: {})], ["gateway"], Effort(rounds=1), -1.0)
    assert report.failures == ["x, gateway: not measured: -1 s were over"]


def test_a_case_sees_what_the_round_has_so_far() -> None:
    seen: list[object] = []

    def measure(harness: Harness, subject: str) -> Figures:
        seen.append({name: dict(pair) for name, pair in harness.round.items()})
        return {"ready_ms": float(len(seen))}

    cases = [Case(name, name, "start", measure) for name in ("x", "y")]
    run.measure(cases, BOTH, Effort(rounds=2), float("inf"))
    assert seen[3] == {
        "x": {"gateway": {"ready_ms": 1.0}, "envoy": {"ready_ms": 2.0}},
        "y": {"gateway": {"ready_ms": 3.0}},
    }
    assert seen[4] == {"x": {}}  # nothing of the round before


def test_what_is_missing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    needy = Case("x", "", "calls", lambda *_: {}, tools=("wrk", "nghttpd"))
    for tool in run.TOOLS:
        monkeypatch.setitem(run.TOOLS, tool, lambda: Path("there"))
    assert run.missing(needy) == ""
    monkeypatch.setitem(run.TOOLS, "nghttpd", lambda: None)
    assert run.missing(needy) == "not measured: nghttpd missing"
    monkeypatch.setitem(run.TOOLS, "wrk", lambda: None)
    assert run.missing(needy) == "not measured: wrk and nghttpd missing"
    assert run.missing(Case("x", "", "start", lambda *_: {})) == ""
    with pytest.raises(BenchError, match="wrk and nghttpd missing"):
        run.profile(needy, Effort())
