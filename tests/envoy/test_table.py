"""The table of differences: each row holds somewhere, and envoy/README.md shows it as it is."""

import pytest

from tests.envoy import table
from tests.envoy.corpus import CORPUS
from tests.envoy.differences import BY_ENVOY, BY_GATEWAY, TABLE
from tests.envoy.differences.row import Row, fits

ROWS = [row for rows in TABLE.values() for row in rows]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.what)
def test_each_row_names_cases_of_the_corpus(row: Row) -> None:
    for at in row.at:
        for pattern in (*at.patterns, *at.but):
            assert any(fits(pattern, str(case)) for case in CORPUS), f"{pattern!r} names no case: take it out"
        assert any(at.names(str(case)) for case in CORPUS)


def test_what_reaches_the_backend_through_envoy_alone_is_told_first() -> None:
    for heading, rows in TABLE.items():
        for row in rows:
            calls = {at.fields["backend calls"] for at in row.at if "0" in at.fields.get("backend calls", ())}
            expected = {BY_ENVOY: {("0", "1")}, BY_GATEWAY: {("1", "0")}}.get(heading, set())
            assert calls <= expected, f"{row.what!r} stands under {heading!r}"


def test_a_row_is_told_once() -> None:
    assert len({row.what for row in ROWS}) == len(ROWS)


def test_the_readme_shows_the_table() -> None:
    assert not table.stale(), f"{table.README} shows another table: run python -m tests.envoy"
