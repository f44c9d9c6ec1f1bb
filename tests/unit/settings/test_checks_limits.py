"""Limits that take more than one key to judge: deadlines, calls, rates."""

import json

import pytest

from tests.unit.settings.reading import told


def test_a_default_beyond_the_longest_deadline() -> None:
    assert told("limits: {default_deadline: 10s, max_deadline: 5s}\n") == [
        "gateway.yaml:3: limits.default_deadline: is longer than max_deadline, 5s"
    ]
    assert told("limits: {default_deadline: 5s, max_deadline: 5s}\n") == []


def test_more_calls_of_one_address_than_of_all() -> None:
    assert told("limits: {max_calls: 5, max_calls_per_peer: 6}\n") == [
        "gateway.yaml:3: limits.max_calls_per_peer: has no effect: max_calls is 5"
    ]
    assert told("limits: {max_calls: 5, max_calls_per_peer: 5}\n") == []


@pytest.mark.parametrize(
    ("rate", "least", "most"),
    [
        ({"limit": "100/second", "burst": 9}, 10, 8_640_000),
        ({"limit": "999999999/second", "burst": 1_000_000}, 100_000_000, 86_399_999_913_600),
        ({"limit": "1/hour", "burst": 25}, 1, 24),
        ({"limit": "20/minute", "burst": 28_801}, 1, 28_800),
    ],
)
def test_a_burst_that_is_worth_no_time_or_too_much(rate: dict[str, object], least: int, most: int) -> None:
    assert told("limits: " + json.dumps({"rate": [{"key": "peer", **rate}]}) + "\n") == [
        f"gateway.yaml:3: limits.rate[0].burst: must be from {least} to {most}, "
        f"which {rate['limit']} allows in 100ms and in a day"
    ]
    if most <= 1_000_000:
        for burst in (least, most):
            assert told("limits: " + json.dumps({"rate": [{"key": "peer", **rate, "burst": burst}]}) + "\n") == []


def test_a_rate_twice() -> None:
    rates = "{key: peer, limit: 1/second}, {key: subject, limit: 1/second}, {key: peer, limit: 1/second}"
    assert told(f"limits: {{rate: [{rates}]}}\n") == [
        "gateway.yaml:3: limits.rate[2]: is the same as limits.rate[0] (hint: remove one of them)"
    ]
    assert told("limits: {rate: [{key: peer, limit: 1/second}, {key: peer, limit: 20/minute}]}\n") == []


def test_a_storage_without_rates() -> None:
    assert told("limits: {rate_storage: 'redis://:hunter2@cache'}\n") == [
        "gateway.yaml:3: limits.rate_storage: has no effect: no rate is counted (hint: remove it, or add limits.rate)"
    ]


def test_memory_does_not_fail() -> None:
    assert told("limits: {rate: [{key: peer, limit: 1/second}], rate_storage_failure: allow}\n") == [
        "gateway.yaml:3: limits.rate_storage_failure: has no effect: memory does not fail (hint: remove it)"
    ]
    redis = "rate_storage: 'redis://cache', rate_storage_failure: allow"
    assert told(f"limits: {{rate: [{{key: peer, limit: 1/second}}], {redis}}}\n") == []
