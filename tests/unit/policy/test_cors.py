"""Origins: who may call, and what an answer says."""

import pytest

from gateway.policy.cors import CorsPolicy, LocalOrigins
from gateway.settings import Cors

APP = b"https://app.example.com"


def policy(**settings: object) -> CorsPolicy:
    return CorsPolicy(Cors.model_validate({"allow_origins": [APP.decode()], **settings}))


@pytest.mark.parametrize(
    "origin",
    [
        b"https://app.example.com.evil.test",
        b"https://evil-app.example.com",
        b"http://app.example.com",
        b"https://app.example.com:8443",
        b"https://app.example.com/",
        b"HTTPS://APP.EXAMPLE.COM",
        b"https://app.example.com, https://evil.test",
        b" https://app.example.com",
        b"null",
        b"",
        b"*",
    ],
)
def test_an_origin_is_compared_byte_for_byte(origin: bytes) -> None:
    assert policy().allows(APP)
    assert not policy().allows(origin)


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        (b"https://pr-12.preview.example.com", True),
        (b"https://preview.example.com", False),
        (b"https://.preview.example.com", False),
        (b"https://a.b.preview.example.com", False),
        (b"https://evil-preview.example.com", False),
        (b"https://x.preview.example.com.evil.test", False),
        (b"http://x.preview.example.com", False),
        (b"https://x:1.preview.example.com", False),
        (b"https://x@y.preview.example.com", False),
        (b"https://X.preview.example.com", False),
    ],
)
def test_a_star_is_one_label(origin: bytes, allowed: bool) -> None:
    assert policy(allow_origins=["https://*.preview.example.com"]).allows(origin) is allowed


def test_without_an_origin_it_is_no_browser() -> None:
    assert policy().allows(None)
    assert not policy(require_origin=True).allows(None)


def test_a_star_alone_allows_every_origin_but_null() -> None:
    anyone = policy(allow_origins=["*"])
    assert anyone.allows(b"https://whoever.test")
    assert not anyone.allows(b"null")
    assert dict(anyone.reply_headers(b"https://whoever.test", []))[b"access-control-allow-origin"] == b"*"


def test_an_answer_names_what_may_be_read() -> None:
    headers = dict(policy(expose_headers=["X-More"]).reply_headers(APP, [(b"x-cost", b"1"), (b"grpc-status", b"0")]))
    assert headers[b"access-control-allow-origin"] == APP
    assert headers[b"vary"] == b"Origin"
    exposed = headers[b"access-control-expose-headers"].split(b", ")
    assert exposed == [b"grpc-status", b"grpc-message", b"grpc-status-details-bin", b"x-more", b"x-cost"]
    assert b"access-control-allow-credentials" not in headers


def test_credentials_are_for_one_origin() -> None:
    headers = dict(policy(allow_credentials=True).reply_headers(APP, []))
    assert headers[b"access-control-allow-credentials"] == b"true"
    assert headers[b"access-control-allow-origin"] == APP


def test_a_preflight_tells_what_clients_need() -> None:
    headers = dict(policy(allow_headers=["X-Tenant"], max_age="1h").preflight_headers(APP))
    assert headers[b"access-control-allow-methods"] == b"POST"
    assert headers[b"access-control-max-age"] == b"3600"
    allowed = headers[b"access-control-allow-headers"].split(b", ")
    assert {b"content-type", b"x-grpc-web", b"x-user-agent", b"grpc-timeout", b"authorization", b"x-tenant"} <= set(
        allowed
    )
    assert headers[b"vary"] == b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers"


@pytest.mark.parametrize(
    ("requested", "refused"),
    [
        (b"", []),
        (b"content-type,x-grpc-web", []),
        (b" Authorization , X-Tenant", []),
        (b"x-tenant,x-trace-id,,authorization,x-more", [b"x-trace-id", b"x-more"]),
        (b"x-tenant-2", [b"x-tenant-2"]),
        (b"*", [b"*"]),
    ],
)
def test_the_headers_that_no_page_may_send(requested: bytes, refused: list[bytes]) -> None:
    assert policy(allow_headers=["X-Tenant"]).refused_headers(requested) == refused


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        (b"http://localhost:5173", True),
        (b"https://127.0.0.1", True),
        (b"http://[::1]:3000", True),
        (b"http://localhost.evil.test", False),
        (b"http://localhost:5173.evil.test", False),
        (b"http://192.168.0.2:5173", False),
        (b"null", False),
    ],
)
def test_development_allows_this_machine_only(origin: bytes, allowed: bool) -> None:
    assert LocalOrigins(Cors()).allows(origin) is allowed
