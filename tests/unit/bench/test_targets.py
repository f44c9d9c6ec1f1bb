"""Verdicts follow from the medians of pairs that can bear them; without enough of those there is none."""

import json
from dataclasses import replace

import pytest

from bench.cases import CASES
from bench.report import Report
from bench.result import COLUMNS, Pair, Result
from bench.targets import NOT_PRESSED, TARGETS, Target, judge, pressed, verdicts
from tests.unit.bench.reports import report

WORK = Target("x", "calls per CPU-second", "calls_per_cpu_second", "≥", 1.5)
TIME = Target("x", "p99", "p99_ms", "≤", 1.0)
SIZE = Target("x", "RSS", "rss_streams_mib", "<", 400, "MB", 1.024**2)


def pair(ours: float, theirs: float, *, busy: tuple[float, float] = (1.0, 1.0), waited: float = 0.0) -> Pair:
    return {
        "gateway": {"calls_per_cpu_second": ours, "core_busy": busy[0], "core_waited_for": waited},
        "envoy": {"calls_per_cpu_second": theirs, "core_busy": busy[1], "core_waited_for": waited},
    }


def result(*pairs: Pair) -> Result:
    return Result("x", "", "calls", list(pairs))


@pytest.mark.parametrize(("ratios", "word"), [([1.4, 1.6, 1.5], "met"), ([1.4, 1.6, 1.4], "missed")])
def test_the_median_of_the_pairs_decides(ratios: list[float], word: str) -> None:
    verdict = judge(WORK, result(*(pair(1000 * ratio, 1000) for ratio in ratios)), 3)
    assert verdict.word == word
    assert verdict.spread is not None
    assert verdict.spread.median == sorted(ratios)[1]
    assert verdict.spread.count == 3


@pytest.mark.parametrize(
    ("busy", "why"),
    [
        ((1.0, 0.6), "the load or the backend was the bottleneck in 2, envoy's core busy 0.60"),
        ((0.5, 1.0), "the load or the backend was the bottleneck in 2, gateway's core busy 0.50"),
    ],
)
def test_work_of_a_subject_that_waited_is_no_figure(busy: tuple[float, float], why: str) -> None:
    pairs = [pair(9000, 1000), pair(9000, 1000), pair(9000, 1000, busy=busy), pair(9000, 1000, busy=busy)]
    verdict = judge(WORK, result(*pairs), 4)
    assert verdict.word == "no figure"
    assert verdict.why == f"pairs that count: 2 of 4, and 3 are needed; {why}"
    assert judge(WORK, result(*pairs, pair(9000, 1000)), 5).word == "met"


def test_a_subject_that_waited_for_its_core_was_pressed() -> None:
    assert pressed({"core_busy": 0.5, "core_waited_for": 0.4})
    assert not pressed({"core_busy": 0.5, "core_waited_for": 0.3})
    assert not pressed({})
    pairs = [pair(2000, 1000, busy=(0.4, 0.4), waited=0.5)] * 3
    assert judge(WORK, result(*pairs), 3).word == "met"


def test_half_of_the_pairs_are_too_few() -> None:
    pairs = [pair(2000, 1000)] * 5
    assert judge(WORK, result(*pairs), 10).word == "no figure"
    assert judge(WORK, result(*pairs), 9).word == "met"
    assert judge(WORK, result(*pairs[:2]), 2).word == "no figure"


@pytest.mark.parametrize(("ours", "word"), [(10.0, "met"), (10.1, "missed")])
def test_of_times_less_is_better(ours: float, word: str) -> None:
    pairs: list[Pair] = [{"gateway": {"p99_ms": ours}, "envoy": {"p99_ms": 10.0}}] * 3
    assert judge(TIME, result(*pairs), 3).word == word


def test_a_time_that_was_not_measured_is_no_figure() -> None:
    known: Pair = {"gateway": {"p99_ms": 1.0}, "envoy": {"p99_ms": 10.0}}
    verdict = judge(TIME, result(known, known, {"gateway": {}, "envoy": {"p99_ms": 10.0}}), 3)
    assert verdict.word == "no figure"
    assert "pairs that count: 2 of 3" in verdict.why
    assert "Envoy's peak is not known" in verdict.why


@pytest.mark.parametrize(("mib", "word"), [(381, "met"), (382, "missed")])
def test_a_bound_of_the_gateways_own_needs_no_envoy(mib: float, word: str) -> None:
    pairs: list[Pair] = [{"gateway": {"rss_streams_mib": mib}}] * 3
    verdict = judge(SIZE, result(*pairs), 3)
    assert verdict.word == word
    assert verdict.spread is not None
    assert verdict.spread.median == pytest.approx(mib * 1.048576)


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        (replace(result(), skipped="not measured: h2load missing"), "not measured: h2load missing"),
        (replace(result(), errors={"envoy": "it fell over"}), "envoy: it fell over"),
        (result({"gateway": {"calls_per_cpu_second": 1.0}}), "envoy not measured"),
        (result(), "gateway and envoy not measured"),
    ],
)
def test_why_there_is_no_figure(broken: Result, why: str) -> None:
    verdict = judge(WORK, broken, 3)
    assert (verdict.word, verdict.spread, verdict.why) == ("no figure", None, why)


def test_what_takes_more_cores_than_there_are_is_no_figure() -> None:
    target = next(target for target in TARGETS if target.case == "workers-h2")
    known: Pair = {"gateway": {"rate_with_cores": 1.9, "work_of_one": 1.0}}
    few: Pair = {"gateway": {"work_of_one": 1.0}}
    assert judge(target, result(known, known, known), 3).word == "met"
    verdict = judge(target, result(few, few, few), 3)
    assert verdict.word == "no figure"
    assert verdict.why == f"pairs that count: 0 of 3, and 3 are needed; {NOT_PRESSED}"
    assert (target.wanted, target.decimals) == ("≥ 1.8 x one", 2)


def test_what_is_wanted_is_told() -> None:
    assert [target.wanted for target in (WORK, TIME, SIZE)] == ["≥ 1.5 x Envoy", "≤ 1 x Envoy", "< 400 MB"]


def test_every_target_is_a_figure_of_a_case() -> None:
    kinds = {case.name: case.kind for case in CASES}
    for target in TARGETS:
        assert target.figure in {column.figure for column in COLUMNS[kinds[target.case]]}, target


def test_verdicts_are_on_the_cases_of_the_run_and_in_its_json() -> None:
    whole = report()
    assert [verdict.target.case for verdict in verdicts(whole.results, 3)] == ["unary-h2-few", "unary-http"]
    written = json.loads(whole.to_json())["targets"]
    assert written[0] == {
        "case": "unary-h2-few",
        "what": "calls per CPU-second",
        "target": "≥ 1.5 x Envoy",
        "verdict": "no figure",
        "why": "no h2load",
    }
    assert written[1]["verdict"] == "met"
    assert (written[1]["least"], written[1]["median"], written[1]["greatest"], written[1]["count"]) == (
        0.5,
        0.8,
        1.5,
        3,
    )
    assert Report.from_json(whole.to_json()) == whole
