"""Ratios are those of pairs, and a report is read back as it was written."""

import json
from pathlib import Path

import pytest

from bench import tables
from bench.report import Report
from bench.result import COLUMNS, COMPARED, Result, Spread
from tests.unit.bench.reports import report


def test_a_ratio_is_made_of_the_subjects_of_one_pair() -> None:
    unary, _, grpcio, start, _ = report().results
    assert unary.ratios("calls_per_cpu_second") == [0.5, 1.5, 0.8]
    assert unary.ratios("p50_ms") == [2.0, 3.0]  # in the other round the gateway has none
    assert start.ratios("ready_ms") == [9.0, 8.0]  # in the other round there was no Envoy
    assert grpcio.ratios("calls_per_cpu_second") == []
    assert unary.compared()["work per CPU-second"] == Spread(0.5, 0.8, 1.5, 3)
    assert list(unary.compared()) == ["work per CPU-second", "p50 at 70 % load", "p99 at 70 % load", "RSS"]


def test_nothing_is_divided_by_nothing() -> None:
    result = Result("idle", "", "memory", [{"gateway": {"x": 1.0}, "envoy": {"x": 0.0}}])
    assert result.ratios("x") == []


def test_every_compared_figure_is_known() -> None:
    assert {column.compared for columns in COLUMNS.values() for column in columns} == {"", *COMPARED}


def test_a_round_without_a_figure_is_noticed() -> None:
    unary, *_, start, _ = report().results
    assert unary.incomplete
    assert not start.incomplete


def test_a_report_is_read_back(tmp_path: Path) -> None:
    file = tmp_path / "new" / "file.json"
    report().write(file)
    again = Report.from_json(file.read_text())
    assert again == report()
    assert tables.text(again) == tables.text(report())
    assert json.loads(file.read_text())["results"][0]["ratios"]["p50_ms"] == {
        "pairs": [2.0, 3.0],
        "least": 2.0,
        "median": 2.5,
        "greatest": 3.0,
        "count": 2,
    }


@pytest.mark.parametrize(
    "text",
    ['{"machine": {}}', "[]", '{"machine": {}, "effort": {}, "results": [{"name": "x", "rounds": []}]}', "{"],
)
def test_what_is_no_report(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a report|Expecting"):
        Report.from_json(text)
