"""Durations and sizes."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.settings.quantity import BYTES, SECONDS, format_duration, format_size, parse_duration, parse_size
from tests.unit.settings.reading import read, told


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("10s", 10.0), ("5m", 300.0), ("2h", 7200.0), ("1.5s", 1.5), ("0s", 0.0), ("0ms", 0.0)],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("64KiB", 65536),
        ("4MiB", 4194304),
        ("1GiB", 2**30),
        ("512B", 512),
        ("8KB", 8000),
        ("1MB", 10**6),
        ("1GB", 10**9),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("written", ["0", "1", "0.1", "1.0", "0.0005", "'0.5'"])
def test_ratios(written: str) -> None:
    settings = read(rest=f"observability: {{tracing: {{ratio: {written}}}}}\n")
    assert settings.observability.tracing.ratio == float(written.strip("'"))


@pytest.mark.parametrize("written", ["-0.1", "1.1", "50%", "half", "true", "'nan'", "[1]"])
def test_no_ratios(written: str) -> None:
    (problem,) = told(rest=f"observability: {{tracing: {{ratio: {written}}}}}\n")
    assert "observability.tracing.ratio: must be a number from 0 to 1, like 0.1" in problem


@pytest.mark.parametrize("url", ["http://127.0.0.1:4318", "https://collector.test:4318/"])
def test_a_collector_has_a_path(url: str) -> None:
    (problem,) = told(rest=f"observability: {{tracing: {{otlp: '{url}'}}}}\n")
    assert "observability.tracing.otlp: must have a path (hint: OTLP over HTTP is at " in problem
    assert f"{url.rstrip('/')}/v1/traces" in problem


def test_a_collector_has_no_query() -> None:
    (problem,) = told(rest="observability: {tracing: {otlp: 'https://collector.test/v1/traces?key=hunter2'}}\n")
    assert "must not have a query" in problem
    assert "OTEL_EXPORTER_OTLP_HEADERS" in problem
    assert "hunter2" not in problem


@pytest.mark.parametrize("text", ["", "s", "-1s", "+1s", "1 s", " 1s", "1e3s", "٣s", "1,5s", ".5s", "1s1s", "inf"])
def test_no_durations(text: str) -> None:
    with pytest.raises(ValueError, match="like 500ms, 10s, 5m or 2h"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("10", "needs a unit: must be a duration like 500ms, 10s, 5m or 2h"),
        ("10 ", "must be a duration like 500ms, 10s, 5m or 2h"),
        ("10S", "unit 'S' is not one of ms, s, m, h"),
        ("10min", "unit 'min' is not one of ms, s, m, h"),
    ],
)
def test_a_wrong_unit_is_told(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("64", "needs a unit: must be a size like 64KiB or 4MiB"),
        ("64k", "unit 'k' is not one of B, KB, MB, GB, KiB, MiB, GiB"),
        ("1.5MiB", "must be a whole number of MiB, like 512KiB"),
        ("-1B", "must be a size like 64KiB or 4MiB"),
    ],
)
def test_a_wrong_size_is_told(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        parse_size(text)


@given(st.integers(0, 10**6), st.sampled_from(list(SECONDS)))
def test_a_duration_is_shown_as_it_is_read(number: int, unit: str) -> None:
    seconds = parse_duration(f"{number}{unit}")
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds, abs=1e-9)


@given(st.integers(0, 10**6), st.sampled_from(list(BYTES)))
def test_a_size_is_shown_as_it_is_read(number: int, unit: str) -> None:
    size = parse_size(f"{number}{unit}")
    assert parse_size(format_size(size)) == size


def test_none_is_taken_where_there_may_be_none() -> None:
    limits = read("limits: {default_deadline: none, max_deadline: null, stream_idle: 5m}\n").limits
    assert (limits.default_deadline, limits.max_deadline, limits.stream_idle) == (None, None, 300.0)
    assert told("drain: none\n") == ["gateway.yaml:3: drain: must be a duration like 500ms, 10s, 5m or 2h"]


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("drain: 10", "drain: needs a unit, like 10s"),
        ("drain: 2h", "drain: must be from 0s to 1h"),
        ("drain: true", "drain: must be a duration like 500ms, 10s, 5m or 2h"),
        ("limits: {max_deadline: 5}", "limits.max_deadline: needs a unit, like 5s"),
        ("limits: {max_deadline: soon}", "limits.max_deadline: must be a duration like 500ms, 10s, 5m or 2h, or none"),
        ("limits: {max_metadata: 4096}", "limits.max_metadata: needs a unit, like 4096B"),
        ("limits: {max_metadata: 17KiB}", "limits.max_metadata: must be from 1KiB to 16KiB"),
        ("limits: {max_request_message: 2GiB}", "limits.max_request_message: must be from 1B to 2147483647B"),
        ("limits: {max_calls: 1.5}", "limits.max_calls: must be a whole number"),
        ("limits: {max_calls: true}", "limits.max_calls: must be a whole number"),
        ("limits: {max_calls: many}", "limits.max_calls: must be a whole number"),
        ("limits: {max_calls: 0}", "limits.max_calls: must be from 1 to 1000000"),
    ],
)
def test_messages(section: str, message: str) -> None:
    assert told(section + "\n") == [f"gateway.yaml:3: {message}"]
