"""Dashboard and alerts: PromQL, and of metrics and labels that a gateway shows."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.support.gateway import running

ROOT = Path(__file__).parents[2]
DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "dashboard.json").read_text())
RULES = yaml.safe_load((ROOT / "deploy" / "prometheus" / "rules.yaml").read_text())
ALL_RULES = [rule for group in RULES["groups"] for rule in group["rules"]]
ALERTS = [rule for rule in ALL_RULES if "alert" in rule]
RECORDS = {rule["record"] for rule in ALL_RULES if "record" in rule}
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]

SCRAPED = {"job", "instance", "worker"}  # of every series: Prometheus's own, and of several workers its number

# What one gateway of one worker with one good backend does not show, with the labels that it has where it is shown.
ELSEWHERE = {
    "gateway_worker_restarts_total": {"worker"},
    "gateway_retries_total": {"upstream", "outcome"},
}


@pytest.fixture(scope="module")
def _shown() -> dict[str, set[str]]:
    return {}


@pytest.fixture
async def shown(_shown: dict[str, set[str]]) -> dict[str, set[str]]:
    """Each series on /metrics by name, with its labels, after a call that was answered and one that was refused."""
    if not _shown:
        async with running(admin) as gateway:
            await gateway.echo()
            await gateway.echo(headers=gateway.headers(None))
            async with gateway.session.get(f"{gateway.gateway.admin_url}/metrics") as page:
                text = await page.text()
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                _shown.setdefault(sample.name, set()).update(sample.labels)
    return ELSEWHERE | _shown


def admin(configuration: dict[str, Any]) -> None:
    configuration["admin"] = {"bind": "127.0.0.1:0"}


def queries() -> Iterator[tuple[str, str]]:
    """Where, and the PromQL, with Grafana's variables replaced as Grafana does it."""
    for rule in ALL_RULES:
        yield rule.get("alert", rule.get("record")), rule["expr"]
    texts = [(panel["title"], target["expr"]) for panel in PANELS for target in panel["targets"]]
    texts += [(one["name"], one["expr"]) for one in DASHBOARD["annotations"]["list"]]
    for title, text in texts:
        filled = text.replace("$__rate_interval", "1m")
        for name in variables():
            filled = filled.replace(f'"${name}"', '".*"')
        assert "$" not in filled, title
        yield title, filled


def variables() -> set[str]:
    return {one["name"] for one in DASHBOARD["templating"]["list"]} - {"datasource"}


QUERIES = [pytest.param(text, id=f"{number}-{where}") for number, (where, text) in enumerate(queries())]


def walk(text: str) -> list[Any]:
    """Every part of an expression. Raises ValueError if it is not PromQL."""
    parts: list[Any] = []
    promql_parser.walk(promql_parser.parse(text), lambda part: parts.append(part) or True)
    return parts


def test_the_parser_tells_what_is_not_promql() -> None:
    for text in ("sum(rate(a[5m])", "rate(a)", "histogram_quantile(0.9)", "a{b=c}", "summ(a)"):
        with pytest.raises(ValueError, match=r"."):
            promql_parser.parse(text)


@pytest.mark.parametrize("text", QUERIES)
async def test_a_query_asks_for_what_is_shown(text: str, shown: dict[str, set[str]]) -> None:
    parts = walk(text)
    asked = [part for part in parts if isinstance(part, promql_parser.VectorSelector)]
    asked += [part.vector_selector for part in parts if isinstance(part, promql_parser.MatrixSelector)]
    assert asked
    labels: set[str] = set()
    for selector in asked:
        assert selector.name in shown.keys() | RECORDS
        labels |= shown.get(selector.name, set())
        wanted = {matcher.name for matcher in selector.matchers.matchers}
        assert wanted <= shown.get(selector.name, set()) | SCRAPED
    for part in parts:
        if isinstance(part, promql_parser.AggregateExpr) and part.modifier is not None:
            assert set(part.modifier.labels) <= labels | SCRAPED


@pytest.mark.parametrize("text", QUERIES)
def test_only_counters_have_rates(text: str) -> None:
    for part in walk(text):
        if isinstance(part, promql_parser.Call) and part.func.name in ("rate", "increase"):
            (vector,) = part.args
            assert vector.vector_selector.name.endswith(("_total", "_bucket"))


async def test_every_metric_that_is_shown_is_looked_at(shown: dict[str, set[str]]) -> None:
    asked = set(re.findall(r"\bgateway_\w+", "\n".join(text for _, text in queries())))
    families = {re.sub(r"_(bucket|sum|count|created)$", "", name) for name in shown}
    # Of calls that still have an older configuration, and of workers: both are told by others, too. The version is
    # joined to what one asks for; of processes every machine's own dashboard tells.
    untold = {"gateway_configurations", "gateway_workers_ready", "gateway_build_info", "gateway_tasks"}
    untold |= {name for name in families if name.startswith("process_")}
    assert families - untold <= {re.sub("_bucket$", "", name) for name in asked}


# -- alerts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_an_alert_says_how_bad_it_is_what_it_is_and_what_to_do(alert: dict[str, Any]) -> None:
    assert re.fullmatch("Gateway[A-Z][A-Za-z]+", alert["alert"])
    assert alert["labels"]["severity"] in ("critical", "warning")
    assert alert["annotations"].keys() == {"summary", "description"}
    assert all(len(text) > 15 for text in alert["annotations"].values())
    assert "for" not in alert or promql_parser.parse_duration(alert["for"]).total_seconds() >= 60


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_an_alert_names_labels_that_its_expression_keeps(alert: dict[str, Any]) -> None:
    named = set(re.findall(r"\$labels\.(\w+)", " ".join(alert["annotations"].values())))
    aggregates = [part for part in walk(alert["expr"]) if isinstance(part, promql_parser.AggregateExpr)]
    kept = {label for part in aggregates if part.modifier is not None for label in part.modifier.labels}
    assert named <= kept
    assert kept <= named | {"job", "instance"}  # and what tells one alert from another is told


def test_alerts_and_records_have_names_of_their_own_and_records_are_used() -> None:
    names = [rule.get("alert", rule.get("record")) for rule in ALL_RULES]
    assert len(names) == len(set(names))
    assert set(re.findall(r"\bgateway:\w+:\w+", "\n".join(one["expr"] for one in ALERTS))) == RECORDS


def test_what_alerts_send_people_to_is_there() -> None:
    readme = (ROOT / "README.md").read_text()
    for alert in ALERTS:
        text = alert["annotations"]["description"]
        for path in re.findall(r"\b\w+/[\w.]+\.(?:md|yaml)", text):
            assert (ROOT / path).exists()
        for event in re.findall(r"\b[a-z]+(?:_[a-z]+)+\b", text):
            assert f"`{event}`" in readme or f"`limits.{event}`" in readme, event


def test_reasons_are_those_of_the_gateway() -> None:
    reasons = set(re.findall(r"`(\w+)`", (ROOT / "README.md").read_text()))
    for one in re.findall(r'reason=~?"([^"]+)"', "\n".join(alert["expr"] for alert in ALERTS)):
        for pattern in one.split("|"):
            assert any(re.fullmatch(pattern, reason) for reason in reasons), pattern


# -- dashboard ---------------------------------------------------------------------------------------------------------


def test_panels_have_a_number_a_text_and_a_place_of_their_own() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
    assert all(panel["title"] and panel["description"].endswith(".") for panel in PANELS)


def test_panels_ask_the_prometheus_that_is_chosen() -> None:
    asking = [*PANELS, *(target for panel in PANELS for target in panel["targets"]), *DASHBOARD["annotations"]["list"]]
    assert {one["datasource"]["uid"] for one in asking} == {"${datasource}"}
    (source,) = (one for one in DASHBOARD["templating"]["list"] if one["name"] == "datasource")
    assert (source["type"], source["query"]) == ("datasource", "prometheus")
    assert variables() == {"job", "instance", "method"}
    for panel in PANELS:
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
        assert all("instance" in target["expr"] for target in panel["targets"])
