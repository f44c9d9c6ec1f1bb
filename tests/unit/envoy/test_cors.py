"""Which origins may call, and what their pages are told."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.envoy.cors import allowed_origins, answer_headers, origin_headers
from gateway.policy.cors import CorsPolicy
from gateway.settings import Cors
from tests.unit.envoy.model import header_matches
from tests.unit.envoy.reading import Node, http_filter, rendered, virtual_host

EXACT, PATTERN = "https://app.example.com", "https://*.example.com"
ORIGINS = (EXACT, PATTERN, "http://localhost:8080", "https://*.a-b.test:8443", "http://[::1]", "*")
TRICKS = [
    *(
        "https://app.example.com",
        "https://a.example.com",
        "https://a-1.example.com",
        "http://localhost:8080",
        "http://[::1]",
    ),
    *("https://x.a-b.test:8443", "https://x.a-b.test", "https://xyz.a-b.test:84433", "https://x.axb.test:8443"),
    *("https://evil-example.com", "https://a.b.example.com", "https://.example.com", "https://example.com", "null", ""),
    *("https://APP.example.com", "HTTPS://app.example.com", "https://app.example.com:443", "https://app.example.com."),
    *(
        "http://app.example.com",
        "https://app.example.com/",
        "https://app.example.com.evil.test",
        "https://appXexample.com",
    ),
    *("https://app.example.com:8443", "https://evil.test/https://app.example.com", "https://app.example.com evil"),
    *("https://app.example.com, https://evil.test", "https://a.example.com@evil.test", "https://a%2e.example.com"),
    *(
        "https://A.example.com",
        "https://a/.example.com",
        "https://a?.example.com",
        "https://a\n.example.com",
        "file://",
    ),
    *("chrome-extension://abc", "https://", "http://x", "ftp://x", "https://app.example.com\n", "nullhttps://a"),
]


def pattern(*origins: str) -> str:
    return allowed_origins(Cors(allow_origins=origins))


def allows(origins: tuple[str, ...], origin: str) -> bool:
    return re.fullmatch(pattern(*origins), origin) is not None


@pytest.mark.parametrize("origin", TRICKS)
@pytest.mark.parametrize("allowed", [(), (EXACT,), (PATTERN,), ORIGINS[:-1]])
def test_the_very_origins_that_the_gateway_allows(allowed: tuple[str, ...], origin: str) -> None:
    expected = CorsPolicy(Cors(allow_origins=allowed)).allows(origin.encode())
    assert allows(allowed, origin) is expected


@given(
    st.sets(st.sampled_from(ORIGINS[:-1])),
    st.from_regex(r"https?://[a-zA-Z0-9.*:@/_-]{0,20}(\.example\.com|\.a-b\.test:8443)?", fullmatch=True),
)
def test_any_origin_as_the_gateway_would(allowed: set[str], origin: str) -> None:
    expected = CorsPolicy(Cors(allow_origins=tuple(sorted(allowed)))).allows(origin.encode())
    assert allows(tuple(sorted(allowed)), origin) is expected


@pytest.mark.parametrize(
    ("origin", "may"),
    [
        ("https://anybody.test", True),
        ("http://[::1]:1", True),
        ("null", False),
        ("", False),
        ("https://", False),
        ("file://", False),
    ],
)
def test_a_star_is_any_origin_but_no_origin_at_all(origin: str, may: bool) -> None:
    assert allows(("*",), origin) is may


@pytest.mark.parametrize("origin", TRICKS)
def test_none_allowed_none_allowed(origin: str) -> None:
    assert not allows((), origin)


@pytest.mark.parametrize(
    ("required", "origin", "may"),
    [
        (False, None, True),
        (True, None, False),
        (True, EXACT, True),
        (False, EXACT, True),
        (False, "null", False),
        (False, "", False),
    ],
)
def test_who_has_readable_refusals(required: bool, origin: str | None, may: bool) -> None:
    matchers = origin_headers(Cors(allow_origins=(EXACT,), require_origin=required))
    sent = {} if origin is None else {"origin": origin}
    assert any(header_matches(each, sent) for each in matchers) is may


# -- what pages are told -----------------------------------------------------------------------------------------------


def policy(**cors: Any) -> Node:
    config = virtual_host(rendered(cors=cors))["typed_per_filter_config"]
    found: Node = config["envoy.filters.http.cors"]
    return found


def test_the_policy() -> None:
    found = policy(allow_origins=[EXACT], max_age="90500ms")
    assert found["allow_origin_string_match"] == [{"safe_regex": {"regex": re.escape(EXACT)}}]
    assert found["allow_methods"] == "POST"
    assert found["max_age"] == "90"
    assert found["allow_credentials"] is False
    for name in ("authorization", "content-type", "grpc-timeout", "x-grpc-web", "x-user-agent"):
        assert name in found["allow_headers"].split(", ")
    for name in ("grpc-status", "grpc-message", "grpc-status-details-bin", "www-authenticate"):
        assert name in found["expose_headers"].split(", ")


def test_further_headers_stand_once_and_in_lower_case() -> None:
    found = policy(
        allow_origins=[EXACT], allow_headers=["X-Own", "Grpc-Timeout"], expose_headers=["X-Shown", "Grpc-Status"]
    )
    assert found["allow_headers"].split(", ")[-1] == "x-own"
    assert found["expose_headers"].split(", ")[-1] == "x-shown"
    assert found["allow_headers"].count("grpc-timeout") == 1


@pytest.mark.parametrize("credentials", [True, False])
def test_refusals_can_be_read_by_the_page_that_was_refused(credentials: bool) -> None:
    headers = {
        each["header"]["key"]: each["header"]["value"]
        for each in answer_headers(Cors(allow_origins=(EXACT,), allow_credentials=credentials, expose_headers=("X-A",)))
    }
    assert headers["access-control-allow-origin"] == "%REQ(origin)%"
    assert headers["access-control-expose-headers"].endswith(", x-a")
    assert ("access-control-allow-credentials" in headers) is credentials


def test_the_filter_stands_before_the_gate() -> None:
    config = rendered(cors={"allow_origins": [EXACT]})
    assert http_filter(config, "cors") is not None
