"""The tables of README.md beside the code: refusals, events, metrics, pages, exit codes."""

import ast
import functools
import re
from collections.abc import Iterator

from gateway import cli
from gateway.settings import Settings
from tests.integration.readme.page import ROOT, TEXT, codes, rows, section
from tests.support.gateway import running

CODE = sorted(path for path in (ROOT / "gateway").rglob("*.py") if "demo" not in path.parts)

REASON_AT = {
    "_refuse": 2,
    "_foreign": 0,
    "refused": 0,
    "TokenError": 0,
    "Refusal": 1,
    "fail": 1,
    "cancel": 0,
    "end_all": 1,
    "Answer": 0,
}


@functools.cache
def calls_in_code() -> tuple[ast.Call, ...]:
    nodes = (node for path in CODE for node in ast.walk(ast.parse(path.read_text())))
    return tuple(node for node in nodes if isinstance(node, ast.Call))


def name_of(call: ast.Call) -> str:
    return call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")


def strings(node: ast.AST) -> Iterator[str]:
    for one in ast.walk(node):
        if isinstance(one, ast.Constant) and isinstance(one.value, str):
            yield one.value


def test_the_tables_of_refusals_have_every_reason() -> None:
    used = {
        reason
        for call in calls_in_code()
        if (place := REASON_AT.get(name_of(call))) is not None and len(call.args) > place
        for reason in strings(call.args[place])
    }
    told = [reason for row in rows(section("Security")) for cell in row for reason in codes(cell) if cell == row[-2]]
    assert len(told) == len(set(told))
    assert set(told) == used | {"disconnect"}  # the default of Call.cancel


def test_the_statuses_of_plain_refusals_are_right() -> None:
    used = {
        (str(call.args[0].value), reason)
        for call in calls_in_code()
        if name_of(call) == "_refuse" and isinstance(call.args[0], ast.Constant)
        for reason in strings(call.args[2])
    } | {("403", reason) for call in calls_in_code() if name_of(call) == "_foreign" for reason in strings(call.args[0])}
    told = {(row[0], reason) for row in rows(section("Security")) if len(row) == 3 for reason in codes(row[1])}
    assert told == used


# -- events


LOGGING = re.compile(r"(?:(?:self\._)?log|structlog\.get_logger\('[\w.]+'\))\.(?:debug|info|warning|error)|FailureLog")


@functools.cache
def events_in_code() -> dict[str, set[str]]:
    """Event -> the names of its fields, as far as they are written out."""
    events: dict[str, set[str]] = {}
    for call in calls_in_code():
        if LOGGING.fullmatch(ast.unparse(call.func)) and call.args and isinstance(event := call.args[0], ast.Constant):
            events.setdefault(str(event.value), set()).update(each.arg for each in call.keywords if each.arg)
    return events


def test_the_table_of_events_has_every_event() -> None:
    told = [event for row in rows(section("Log events")) for event in codes(row[0])]
    assert len(told) == len(set(told))
    assert set(told) == events_in_code().keys()


def test_the_fields_of_events_are_there() -> None:
    table = {event: set(codes(row[1])) for row in rows(section("Log events")) for event in codes(row[0])}
    told = {event: {name for name in fields if name.isidentifier()} for event, fields in table.items()}
    assert sum(map(len, told.values())) > 8
    assert [event for event, fields in told.items() if not fields <= events_in_code()[event]] == []


# -- what a gateway shows


async def test_the_table_of_metrics_is_what_the_gateway_shows() -> None:
    async with running() as gateway:
        await gateway.echo()
        await gateway.echo(headers=gateway.headers(None))
        async with gateway.session.get(f"{gateway.gateway.admin_url}/metrics") as response:
            shown = await response.text()
    shown = re.sub(r"^#.*\n", "", shown, flags=re.MULTILINE)
    samples = re.findall(r"^(\w+?)(?:_bucket|_count|_sum)?(?:\{(.*)\})? ", shown, re.MULTILINE)
    found = {name: set(re.findall(r'(\w+)="', labels)) - {"le"} for name, labels in samples}
    table = rows(section("Metrics"))
    told = {codes(row[0])[0]: set(codes(row[1])) for row in table if "worker" not in codes(row[0])[0]}
    assert told == found
    assert "of several workers" in " ".join(table[-2])
    assert 'method="(refused)"' in shown


async def test_the_table_of_pages_is_what_the_gateway_serves() -> None:
    async with running() as gateway:
        for row in rows(section("Admin pages")):
            async with gateway.session.get(f"{gateway.gateway.admin_url}{codes(row[0])[0]}") as response:
                assert response.status == 200, row[0]
    assert Settings.model_fields["admin"].default.bind.port == 9901
    assert "127.0.0.1:9901 unless the file says otherwise" in TEXT


def test_exit_codes() -> None:
    told = [int(row[0]) for row in rows(section("Signals and exit codes"))]
    assert told == [cli.FINE, cli.REFUSED, cli.USAGE, cli.NOT_STARTED]
