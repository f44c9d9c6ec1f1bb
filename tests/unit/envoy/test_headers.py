"""Which headers cross."""

from typing import Any

import pytest

from tests.unit.envoy.reading import Node, manager, rendered


def removed(mutations: list[Node]) -> set[str]:
    """Names; a prefix with a star."""
    names = {each["remove"] for each in mutations if "remove" in each}
    prefixes = {
        each["remove_on_match"]["key_matcher"]["prefix"] + "*" for each in mutations if "remove_on_match" in each
    }
    return names | prefixes


def early(**sections: Any) -> set[str]:
    [extension] = manager(rendered(**sections))["early_header_mutation_extensions"]
    return removed(extension["typed_config"]["mutations"])


def last(**sections: Any) -> Node:
    """The filter before the router."""
    found: Node = manager(rendered(**sections))["http_filters"][-2]["typed_config"]["mutations"]
    return found


def test_what_could_pass_for_the_gateways_own_word_goes_first() -> None:
    assert early() == {"x-forwarded-*", "x-envoy-*", "forwarded", "x-real-ip"}
    assert early(auth={"forward_claims": {"x-user-id": "sub", "x-tenant": "t"}}) >= {"x-user-id", "x-tenant"}


def test_what_is_the_browsers_own_stays_here() -> None:
    routes = manager(rendered())["route_config"]
    names = set(routes["request_headers_to_remove"])
    assert names >= {
        "cookie",
        "origin",
        "referer",
        "user-agent",
        "proxy-authorization",
        "content-encoding",
        "grpc-status",
    }
    assert removed(last()["request_mutations"]) >= {"sec-*", "access-control-*", "x-envoy-*", "accept-*"}
    assert not {"authorization", "grpc-timeout", "te", "traceparent", "x-user-agent"} & names


def test_a_backend_has_no_say_in_what_browsers_may_do() -> None:
    names = {
        "access-control-allow-origin",
        "access-control-allow-credentials",
        "location",
        "server",
        "content-encoding",
    }
    assert set(manager(rendered())["route_config"]["response_headers_to_remove"]) >= names
    assert removed(last()["response_trailers_mutations"]) >= names


def test_every_answer_varies_with_the_origin() -> None:
    first = manager(rendered())["http_filters"][0]["typed_config"]["mutations"]
    assert first == {
        "response_mutations": [
            {"append": {"header": {"key": "vary", "value": "Origin"}, "append_action": "APPEND_IF_EXISTS_OR_ADD"}}
        ]
    }


@pytest.mark.parametrize(
    ("limits", "timeout"),
    [
        ({}, None),
        ({"default_deadline": "1500ms"}, "1500m"),
        ({"max_deadline": "1m"}, "60000m"),
        ({"default_deadline": "10s", "max_deadline": "1m"}, "10000m"),
        ({"default_deadline": "1h"}, "3600000m"),
    ],
)
def test_the_backend_is_told_the_deadline_that_the_client_has_not_set(limits: Node, timeout: str | None) -> None:
    added = {
        each["append"]["header"]["key"]: (each["append"]["header"]["value"], each["append"]["append_action"])
        for each in last(limits=limits)["request_mutations"]
        if "append" in each
    }
    assert added.get("grpc-timeout") == ((timeout, "ADD_IF_ABSENT") if timeout else None)
    assert added["x-forwarded-host"] == ("%REQ(:authority)%", "OVERWRITE_IF_EXISTS_OR_ADD")
