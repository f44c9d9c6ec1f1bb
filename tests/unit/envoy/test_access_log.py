"""One line for each request, without secrets."""

from typing import Any

from gateway.envoy.access_log import FIELDS
from tests.unit.envoy.reading import Node, manager, rendered

ALLOWED = {"START_TIME", "PATH", "GRPC_STATUS", "RESPONSE_CODE", "RESPONSE_CODE_DETAILS", "RESPONSE_FLAGS"} | {
    "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT",
    "UPSTREAM_CLUSTER",
    "UPSTREAM_HOST",
    "DURATION",
    "BYTES_RECEIVED",
    "BYTES_SENT",
}


def logs(**log: Any) -> tuple[list[Node], list[Node]]:
    """Of the connection manager, and of the router."""
    found = manager(rendered(observability={"log": log}))
    return found["access_log"], found["http_filters"][-1]["typed_config"]["upstream_log"]


def test_each_request_is_logged_by_one_of_the_two() -> None:
    conditions = [each["filter"]["extension_filter"]["typed_config"]["expression"] for (each,) in logs() if each]
    assert conditions == [
        '!has(response.code_details) || response.code_details != "via_upstream"',
        "response.code != 0",
    ]


def test_no_field_could_hold_a_token_a_cookie_or_a_query() -> None:
    commands = {value.strip("%").partition("(")[0] for name, value in FIELDS.items() if name != "event"}
    assert commands <= ALLOWED
    assert FIELDS["method"] == "%PATH(NQ)%"  # NQ: no query


def test_json_and_console_have_the_same_fields() -> None:
    for made, console in zip(logs(), logs(format="console"), strict=True):
        [[one], [other]] = made, console
        assert one["typed_config"]["log_format"] == {"json_format": FIELDS}
        text = other["typed_config"]["log_format"]["text_format_source"]["inline_string"]
        assert text.endswith("\n")
        assert all(f" {name}={value}" in text for name, value in FIELDS.items() if name not in ("event", "timestamp"))


def test_no_access_log() -> None:
    assert logs(access=False) == ([], [])
