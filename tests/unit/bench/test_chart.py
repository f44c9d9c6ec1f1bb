"""The chart shows the ratios, and which direction is better."""

from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench import chart
from bench.process import BenchError
from bench.report import Report
from bench.result import Result, Spread
from tests.unit.bench.reports import report


def test_rows_by_direction() -> None:
    more, less = chart.bars(report())
    assert [(bar.label, bar.spread.median) for bar in more] == [("small calls", 0.8)]
    assert [(bar.label, bar.spread.median) for bar in less] == [
        ("small calls: p50 at 70 % load", 2.5),
        ("small calls: p99 at 70 % load", 1.0),
        ("a start", 8.5),
    ]


def test_times_at_the_same_load_are_rows() -> None:
    pair = {name: {"p50_ms": value, "p99_ms": 10 * value} for name, value in (("gateway", 1.0), ("envoy", 2.0))}
    more, less = chart.bars(Report({}, {}, [Result("latency-h2", "calls", "times", [pair])]))
    assert more == []
    assert [(bar.label, bar.spread.median) for bar in less] == [
        ("calls: p50 at the same load", 0.5),
        ("calls: p99 at the same load", 0.5),
    ]


@pytest.mark.parametrize(
    ("spread", "more_is_better", "color"),
    [
        (Spread(1.1, 1.2, 1.3, 3), True, chart.BETTER),
        (Spread(1.1, 1.2, 1.3, 3), False, chart.WORSE),
        (Spread(0.1, 0.2, 0.3, 3), True, chart.WORSE),
        (Spread(0.1, 0.2, 0.3, 3), False, chart.BETTER),
        (Spread(0.9, 1.2, 1.3, 3), True, chart.OPEN),
        (Spread(0.5, 0.9, 1.0, 3), False, chart.OPEN),
    ],
)
def test_color_is_a_verdict_only_if_all_pairs_agree(spread: Spread, more_is_better: bool, color: str) -> None:
    assert chart.Bar("", spread, more_is_better).color == color


@pytest.mark.parametrize(
    ("least", "greatest", "marks"),
    [
        (0.9, 1.1, [0.5, 1, 2]),
        (0.07, 8.5, [0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10]),
        (0.2, 5, [0.2, 0.5, 1, 2, 5]),
        (1e-9, 1.0, [0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2]),
    ],
)
def test_the_axis_holds_all_rows_and_1(least: float, greatest: float, marks: list[float]) -> None:
    assert chart.ticks([chart.Bar("", Spread(least, 1.0, greatest, 3), True)]) == pytest.approx(marks)


def test_a_chart_tells_what_it_shows(tmp_path: Path) -> None:
    first, second = tmp_path / "docs" / "one.svg", tmp_path / "two.svg"
    chart.draw(report(), first)
    chart.draw(report(), second)
    assert first.read_bytes() == second.read_bytes()
    text = "\n".join("".join(element.itertext()) for element in ElementTree.parse(first).iter() if element.text)
    for words in (
        chart.TITLE,
        chart.MORE,
        chart.LESS,
        "small calls",
        "0.80",
        "a start",
        "8.50 [2 of 3]",
        "today",
        "a cpu",
    ):
        assert words in text


def test_a_chart_for_another_program(tmp_path: Path) -> None:
    chart.draw(report(), tmp_path / "chart.png")
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")


def test_nothing_to_compare(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="nothing was compared"):
        chart.draw(Report(report().machine, report().effort, []), tmp_path / "chart.svg")
    assert not list(tmp_path.iterdir())
