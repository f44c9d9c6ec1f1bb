"""Envoy's own answers to calls are gRPC answers, and only those."""

from functools import cache

import pytest

from gateway.protocol.status import Code
from tests.unit.envoy.model import header_matches
from tests.unit.envoy.reading import Node, manager, rendered

ORIGIN = "https://app.example.com"
CALL = {":method": "POST", "content-type": "application/grpc", ":path": "/shop.v1.Orders/Get", "origin": ORIGIN}


@cache
def mappers() -> list[Node]:
    found: list[Node] = manager(rendered(cors={"allow_origins": [ORIGIN]}))["local_reply_config"]["mappers"]
    return found


def reply(status: int, sent: dict[str, str]) -> dict[str, str] | None:
    """Headers that the first mapper that fits adds to an answer with this HTTP status; None: it stays as it is."""
    for mapper in mappers():
        first, *headers = mapper["filter"]["and_filter"]["filters"]
        comparison = first["status_code_filter"]["comparison"]
        fits = comparison["op"] == "EQ" and comparison["value"]["default_value"] == status
        if fits and all(header_matches(each["header_filter"]["header"], sent) for each in headers):
            assert mapper["status_code"] == 200
            assert mapper["body_format_override"] == {"text_format_source": {"inline_string": ""}}
            return {each["header"]["key"]: each["header"]["value"] for each in mapper["headers_to_add"]}
    return None


@pytest.mark.parametrize(
    ("http", "code"),
    [
        (401, Code.UNAUTHENTICATED),
        (403, Code.PERMISSION_DENIED),
        (404, Code.UNIMPLEMENTED),
        (408, Code.DEADLINE_EXCEEDED),
        (413, Code.RESOURCE_EXHAUSTED),
        (422, Code.INVALID_ARGUMENT),
        (429, Code.RESOURCE_EXHAUSTED),
        (500, Code.INTERNAL),
        (502, Code.UNAVAILABLE),
        (503, Code.UNAVAILABLE),
        (504, Code.DEADLINE_EXCEEDED),
    ],
)
def test_a_call_has_a_status(http: int, code: Code) -> None:
    headers = reply(http, CALL)
    assert headers is not None
    assert headers["grpc-status"] == str(int(code))
    assert headers["grpc-message"]


def test_what_is_told_about_tokens() -> None:
    with_token = CALL | {"authorization": "Bearer a.b.c"}
    challenges = [
        (reply(status, sent) or {}).get("www-authenticate")
        for status, sent in [(401, CALL), (401, with_token), (403, with_token)]
    ]
    assert challenges == ["Bearer", 'Bearer error="invalid_token"', 'Bearer error="insufficient_scope"']


@pytest.mark.parametrize(
    "changes",
    [
        {":method": "GET"},
        {"content-type": "application/json"},
        {"content-type": "application/grpc-web"},
        {":path": "/shop.v1.Orders/Get?x=1"},
        {"content-encoding": "gzip"},
    ],
)
def test_what_is_no_call_keeps_its_http_status(changes: Node) -> None:
    for http in (401, 403, 404, 503):
        assert reply(http, CALL | changes) is None


@pytest.mark.parametrize(
    ("origin", "readable"), [(ORIGIN, True), (None, True), ("https://evil.example", False), ("null", False)]
)
def test_a_foreign_origin_keeps_its_403(origin: str | None, readable: bool) -> None:
    sent = {name: value for name, value in CALL.items() if name != "origin"} | ({"origin": origin} if origin else {})
    assert (reply(403, sent) is not None) is readable
