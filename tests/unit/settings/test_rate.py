"""Rates and where they are counted, as people write them."""

import json

import pytest

from gateway.settings.limits import Rate
from tests.unit.settings.reading import read, told


def rate(limit: object, **more: object) -> str:
    return "limits: " + json.dumps({"rate": [{"key": "peer", "limit": limit, **more}]}) + "\n"


def storage(text: str) -> str:
    return "limits: " + json.dumps({"rate": [{"key": "peer", "limit": "1/second"}], "rate_storage": text}) + "\n"


@pytest.mark.parametrize(
    ("limit", "burst", "most", "window"),
    [
        ("100/second", None, 100, 1.0),
        ("100/second", 200, 200, 2.0),
        ("20/minute", 30, 30, 90.0),
        ("500/hour", 5, 5, 36.0),
        ("1/second", "none", 1, 1.0),
    ],
)
def test_what_a_rate_allows(limit: str, burst: object, most: int, window: float) -> None:
    (made,) = read(rate(limit, burst=burst)).limits.rate
    assert (made.most, made.window) == (most, window)


@pytest.mark.parametrize(
    "limit", ["", "100", "0/second", "-1/second", "1.5/second", "1/day", "1 / second", "/second", 5]
)
def test_no_rates(limit: object) -> None:
    (line,) = told(rate(limit))
    assert line.startswith("gateway.yaml:3: limits.rate[0].limit: must ")


@pytest.mark.parametrize("more", [{"key": "address"}, {"burst": 0}, {"burst": "5s"}, {"every": 5}])
def test_no_other_keys_and_values(more: dict[str, object]) -> None:
    (line,) = told(rate("1/second", **more))
    assert f"limits.rate[0].{next(iter(more))}: " in line


@pytest.mark.parametrize(
    "text",
    [
        "memory",
        "redis://cache",
        "redis://cache:6380/3",
        "rediss://gateway:hunter%2F2@cache.internal:6379/0",
        "redis://:hunter2@[2001:db8::1]:6379",
        "redis://cache/",
    ],
)
def test_where_rates_can_be_counted(text: str) -> None:
    assert read(storage(text)).limits.rate_storage == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must not be empty"),
        ("disk", "must be memory or a redis:// URL"),
        ("http://hunter2", "must be memory or a redis:// URL"),
        ("redis://:hunter2@", "is not a URL"),
        ("redis://:hunter2@cache:x", "is not a URL"),
        ("redis://:hunter2@cache:99999", "is not a URL"),
        ("redis://:hunter2@[cache", "is not a URL"),
        ("redis://:hunter 2@cache", "is not a URL"),
        ("redis://:hunter2@cache/orders", "must name a database by its number"),
        ("redis://:hunter2@cache/0?ssl_cert_reqs=none", "must not have a query"),
        ("redis://:hunter2#x@cache", "is not a URL"),
    ],
)
def test_where_they_cannot(text: str, message: str) -> None:
    (line,) = told(storage(text))
    assert line.startswith(f"gateway.yaml:3: limits.rate_storage: {message}")
    assert "hunter" not in line


def test_a_password_is_not_shown() -> None:
    settings = read(storage("redis://:${SECRET}@cache"), environ={"SECRET": "hunter2"})
    assert settings.limits.rate_storage == "redis://:hunter2@cache"
    assert "hunter2" not in repr(settings) + str(settings) + json.dumps(settings.redacted())


def test_python_code_gives_its_own_values() -> None:
    assert Rate(key="method", limit="2/minute", burst=1).window == 30.0
