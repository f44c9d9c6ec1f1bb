import pytest

from gateway.policy.claims import TokenError, check_times, date, is_meant_for, roles

NOW = 1_800_000_000.5
DAY = 86400.0


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"exp": NOW + 0.25}, ""),
        ({"exp": NOW}, "token_expired"),
        ({"exp": NOW - 10}, "token_expired"),
        ({}, "token_lifetime"),
        ({"exp": NOW + 60, "nbf": NOW + 30}, ""),
        ({"exp": NOW + 60, "nbf": NOW + 30.5}, "token_not_yet_valid"),
        ({"exp": NOW + 60, "iat": NOW + 30}, ""),
        ({"exp": NOW + 60, "iat": NOW + 31}, "token_not_yet_valid"),
        ({"exp": NOW + 60, "iat": NOW + 60 - DAY}, ""),
        ({"exp": NOW + 60, "iat": NOW + 59 - DAY}, "token_lifetime"),
        ({"exp": NOW + DAY}, ""),
        ({"exp": NOW + DAY + 1}, "token_lifetime"),
    ],
)
def test_times(claims: dict[str, object], reason: str) -> None:
    if not reason:
        assert check_times(claims, NOW, 30.0, DAY) == claims["exp"]
        return
    with pytest.raises(TokenError) as refused:
        check_times(claims, NOW, 30.0, DAY)
    assert refused.value.reason == reason


def test_without_max_lifetime_only_the_clock_limits_exp() -> None:
    assert check_times({"exp": 253_402_300_799}, NOW, 0.0, None) == 253_402_300_799.0


@pytest.mark.parametrize("value", [None, True, "1", [], {}, -1, float("nan"), float("inf"), 10**400, 253_402_300_800])
def test_a_date_is_a_number(value: object) -> None:
    with pytest.raises(TokenError, match="token_malformed"):
        date({"exp": value}, "exp")


@pytest.mark.parametrize(
    ("audience", "meant"),
    [
        ("api", True),
        (["x", "api"], True),
        ("ap", False),
        ("API", False),
        ("api ", False),
        ("", False),
        ([], False),
        (None, False),
        ({"api": 1}, False),
        (["api", 1], False),
        ([["api"]], False),
    ],
)
def test_audience(audience: object, meant: bool) -> None:
    assert is_meant_for(audience, ("api", "other")) is meant


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ({}, set()),
        ({"scope": "a b  c "}, {"a", "b", "c"}),
        ({"scope": "admin.readonly"}, {"admin.readonly"}),
        ({"scope": "a\tb"}, {"a\tb"}),
        ({"scope": ["a b", "c", 1, None, "", ["d"]]}, {"a b", "c"}),
        ({"scope": {"a": True}}, set()),
        ({"scope": True}, set()),
        ({"realm_access": {"roles": ["x"]}}, {"x"}),
        ({"realm_access": "roles"}, set()),
        ({"realm_access": ["roles"]}, set()),
        ({"realm_access.roles": "y", "realm_access": {"roles": ["x"]}}, {"y"}),
        ({"https://example.com/roles": ["z"], "scope": "a"}, {"a", "z"}),
        ({"groups": ["a"]}, set()),
    ],
)
def test_roles(claims: dict[str, object], expected: set[str]) -> None:
    assert roles(claims, ("scope", "realm_access.roles", "https://example.com/roles")) == expected
