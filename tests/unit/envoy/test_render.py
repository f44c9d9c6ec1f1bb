"""No key of gateway.yaml vanishes: a comment names it where it is rendered, or it is a difference, or an obstacle."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from gateway.envoy import Rendering
from gateway.settings import SettingsError
from gateway.settings.outline import sections
from tests.unit.envoy.reading import FILES, leaves, read, rendering

NAMES = {"*": "shop", "[]": "[0]"}  # of the first part of each kind

# Everything that can be rendered at once; no value is the default.
FULL: dict[str, Any] = {
    "listeners": [
        {
            "bind": "0.0.0.0:8443",
            "tls": {**FILES, "minimum_version": "TLSv1.3", "client_ca": "/dev/null", "client_auth": "optional"},
            "allow_plaintext": True,
            "http2": False,
        }
    ],
    "admin": {"bind": "0.0.0.0:9000"},
    "cors": {
        "allow_origins": ["https://app.example.com"],
        "allow_headers": ["x-own"],
        "expose_headers": ["x-shown"],
        "allow_credentials": True,
        "max_age": "5m",
        "require_origin": True,
    },
    "auth": {
        "issuers": [
            {
                "issuer": "https://login.example.com/",
                "audiences": ["api"],
                "algorithms": ["ES256"],
                "jwks": "/dev/null",
                "token_types": ["at+jwt"],
                "leeway": "5s",
                "max_lifetime": "1h",
                "roles_from": ["scope"],
            }
        ],
        "public_methods": ["/shop.v1.Orders/Public"],
        "forward_authorization": False,
        "forward_claims": {"x-user-id": "sub"},
    },
    "authorization": {
        "default": "authenticated",
        "shadow": True,
        "rules": [{"methods": ["/shop.v1.Orders/*"], "roles": ["reader"], "identities": ["DNS:ops.internal"]}],
        "descriptors": "/dev/null",
    },
    "upstreams": {
        "shop": {
            "services": ["shop.v1.Orders"],
            "targets": ["shop.internal:50051"],
            "transport": "h2",
            "tls": {**FILES, "ca": "/dev/null", "server_name": "backend.internal"},
            "balance": "least_request",
            "connections": 2,
            "keepalive": "1m",
            "max_calls": 50,
            "idempotent_methods": ["/shop.v1.Orders/GetOrder"],
            "health_check": True,
            "outlier_detection": {"consecutive_failures": 3, "eject_for": "10s"},
        }
    },
    "limits": {
        "max_request_message": "1MiB",
        "max_response_message": "1MiB",
        "max_metadata": "4KiB",
        "default_deadline": "10s",
        "max_deadline": "1m",
        "stream_idle": "2m",
        "body_stall": "10s",
        "max_calls": 100,
        "max_connections": 200,
        "max_connection_age": "30m",
    },
    "observability": {
        "log": {"format": "console", "level": "warning", "access": True},
        "tracing": {"otlp": "http://localhost:4318/v1/traces", "ratio": 0.5},
    },
    "workers": 2,
    "drain": "20s",
}

# What Envoy's configuration shows: another value, with which it must be another configuration.
RENDERED: dict[str, Any] = {
    "listeners[].bind": "0.0.0.0:8444",
    "listeners[].http2": True,
    "listeners[].tls.certificate": "/dev/zero",
    "listeners[].tls.private_key": "/dev/zero",
    "listeners[].tls.minimum_version": "TLSv1.2",
    "listeners[].tls.client_ca": "/dev/zero",
    "listeners[].tls.client_auth": "required",
    "admin.bind": "127.0.0.1:9000",
    "cors.allow_origins": ["https://other.example.com"],
    "cors.allow_headers": ["x-other"],
    "cors.expose_headers": ["x-other"],
    "cors.allow_credentials": False,
    "cors.max_age": "10m",
    "cors.require_origin": False,
    "auth.issuers[].issuer": "https://other.example.com/",
    "auth.issuers[].audiences": ["other"],
    "auth.issuers[].algorithms": ["RS256"],
    "auth.issuers[].jwks": "https://login.example.com/keys",
    "auth.issuers[].token_types": ["JWT"],
    "auth.issuers[].leeway": "10s",
    "auth.issuers[].max_lifetime": "2h",
    "auth.issuers[].roles_from": ["roles"],
    "auth.public_methods": ["/shop.v1.Orders/Other"],
    "auth.forward_authorization": True,
    "auth.forward_claims": {"x-other": "sub"},
    "authorization.default": "deny",
    "authorization.shadow": False,
    "authorization.rules[].methods": ["/shop.v1.Orders/Other"],
    "authorization.rules[].roles": ["other"],
    "authorization.rules[].identities": ["DNS:other.internal"],
    "upstreams.*.services": ["shop.v1.*"],
    "upstreams.*.targets": ["other.internal:50051"],
    "upstreams.*.balance": "round_robin",
    "upstreams.*.keepalive": "none",
    "upstreams.*.max_calls": 51,
    "upstreams.*.idempotent_methods": ["/shop.v1.Orders/Other"],
    "upstreams.*.health_check": False,
    "upstreams.*.outlier_detection.consecutive_failures": 4,
    "upstreams.*.outlier_detection.eject_for": "20s",
    "upstreams.*.tls.ca": "/dev/zero",
    "upstreams.*.tls.certificate": "/dev/zero",
    "upstreams.*.tls.private_key": "/dev/zero",
    "upstreams.*.tls.server_name": "other.internal",
    "limits.default_deadline": "20s",
    "limits.max_deadline": "2m",
    "limits.stream_idle": "3m",
    "limits.body_stall": "20s",
    "limits.max_calls": 101,
    "limits.max_connections": 201,
    "limits.max_connection_age": "none",
    "observability.log.format": "json",
    "observability.log.access": False,
    "observability.tracing.otlp": "http://localhost:4319/v1/traces",
    "observability.tracing.ratio": 0.07,
    "workers": 1,
    "drain": "30s",
}
# Keys that make one part together, or many: the comment there.
TOGETHER = {
    "authorization.rules[].methods": "authorization.rules[0]",
    "authorization.rules[].roles": "authorization.rules[0]",
    "upstreams.*.services": "upstreams.shop.services[0]",
    "upstreams.*.outlier_detection.consecutive_failures": "upstreams.shop.outlier_detection",
    "upstreams.*.outlier_detection.eject_for": "upstreams.shop.outlier_detection",
    "observability.log.format": "observability.log",
    "observability.log.access": "observability.log",
}
# What is told instead.
TOLD = (
    "authorization.descriptors",
    "upstreams.*.transport",
    "upstreams.*.connections",
    "limits.max_request_message",
    "limits.max_response_message",
    "limits.max_metadata",
)
# What only the command line of Envoy can say, which stands in the heading.
ARGUMENTS: dict[str, tuple[Any, str, str]] = {
    "observability.log.level": ("error", "--log-level warning", "--log-level error"),
    "workers": (3, "--concurrency 2", "--concurrency 3"),
    "drain": ("30s", "--drain-time-s 20", "--drain-time-s 30"),
}
# What stops the rendering.
OBSTACLES: dict[str, Any] = {
    "auth.introspection.url": "https://login.example.com/introspect",
    "auth.introspection.client_id": "gateway",
    "auth.introspection.client_secret": "hunter2",
    "auth.introspection.cache": "10s",
    "limits.rate[].key": "peer",
    "limits.rate[].limit": "1/second",
    "limits.rate[].burst": 5,
    "limits.rate_storage": "redis://:hunter2@cache",  # without a rate
    "limits.rate_storage_failure": "allow",  # without a storage that can fail
    "limits.max_calls_per_peer": 5,
}
# What permits something else in the file, and so has no part of its own.
PERMITS = ("listeners[].allow_plaintext", "upstreams.*.plaintext", "upstreams.*.allow_insecure_tokens")


def keys() -> Iterator[str]:
    """Every key that holds a value: `upstreams.*.tls.ca`."""
    paths = {path for path, _ in sections()}
    for path, section in sections():
        for name in section.model_fields:
            key = f"{path}.{name}".lstrip(".")
            if not paths & {key, f"{key}[]", f"{key}.*"}:
                yield key


def spelled(key: str) -> str:
    """As comments and problems name it."""
    for sign, name in NAMES.items():
        key = key.replace(sign, name)
    return key


def changed(key: str, value: object) -> dict[str, Any]:
    """FULL with another value."""

    def change(node: Any, steps: list[str]) -> Any:
        if not steps:
            return value
        if isinstance(node, list):
            return [change(node[0], steps), *node[1:]]
        return node | {steps[0]: change(node.get(steps[0]), steps[1:])}

    return dict(change(FULL, spelled(key).replace("[0]", "").split(".")))


@cache
def full() -> Rendering:
    return rendering(**FULL)


def comments(rendered: Rendering) -> str:
    """Those below the heading."""
    _, _, body = rendered.text.partition("\n#\nnode:")
    return "\n".join(re.findall(r"^ *# (.*)$", body, re.MULTILINE))


def without_comments(rendered: Rendering) -> list[str]:
    return [line for line in rendered.text.splitlines() if not line.lstrip().startswith("#")]


def test_every_key_is_rendered_or_told_or_an_obstacle() -> None:
    spoken_for = [*RENDERED, *TOLD, *OBSTACLES, *PERMITS, "observability.log.level"]
    assert sorted(spoken_for) == sorted(keys())


@pytest.mark.parametrize("key", RENDERED)
def test_another_value_is_another_configuration(key: str) -> None:
    assert without_comments(rendering(**changed(key, RENDERED[key]))) != without_comments(full())


@pytest.mark.parametrize("key", RENDERED)
def test_a_comment_names_the_key(key: str) -> None:
    named = set(re.findall(r"[a-z0-9_]+(?:\[\d+\])?(?:\.[a-z0-9_]+(?:\[\d+\])?)*", comments(full())))
    assert TOGETHER.get(key, spelled(key)) in named


@pytest.mark.parametrize("key", TOLD)
def test_what_is_not_rendered_is_told(key: str) -> None:
    rendered = full()
    assert spelled(key) in {warning.key for warning in rendered.warnings}


@pytest.mark.parametrize("key", ARGUMENTS)
def test_what_the_command_line_has_to_say_stands_in_the_heading(key: str) -> None:
    value, before, after = ARGUMENTS[key]
    heading, _, _ = full().text.partition("\nnode:")
    assert before in heading
    assert key in heading
    assert after in rendering(**changed(key, value)).text


@pytest.mark.parametrize("key", OBSTACLES)
def test_what_envoy_has_nothing_for_stops_it(key: str) -> None:
    sections = {
        "auth.introspection": {"url": "https://a.example.com/", "client_id": "a", "client_secret": "hunter2"},
        "limits.rate[]": {"key": "peer", "limit": "1/second"},
    }
    section, _, name = key.rpartition(".")
    document = changed(section, sections[section] | {name: OBSTACLES[key]}) if section in sections else None
    if section == "limits.rate[]":
        document = changed("limits.rate", [sections[section] | {name: OBSTACLES[key]}])
    with pytest.raises(SettingsError) as caught:
        rendering(**(document or changed(key, OBSTACLES[key])))
    told = section.removesuffix("[]") if section in sections else key
    assert [problem.key for problem in caught.value.problems] == [told]
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("key", PERMITS)
def test_what_only_permits_changes_nothing(key: str) -> None:
    shop = {name: value for name, value in FULL["upstreams"]["shop"].items() if name != "tls"}
    plain = {**shop, "plaintext": True, "allow_insecure_tokens": True}
    before = FULL | {"upstreams": {"shop": plain}} if key.startswith("upstreams") else FULL
    if key == "upstreams.*.plaintext":
        assert "transport_socket" not in read(rendering(**before).text)["static_resources"]["clusters"][0]
        return
    part = before["upstreams"]["shop"] if key.startswith("upstreams") else before["listeners"][0]
    without = {name: value for name, value in part.items() if name != key.rpartition(".")[2]}
    after = before | ({"upstreams": {"shop": without}} if key.startswith("upstreams") else {"listeners": [without]})
    assert rendering(**before).text == rendering(**after).text


def test_the_heading_tells_how_to_run_it_and_every_difference() -> None:
    rendered = full()
    heading, _, _ = rendered.text.partition("\nnode:")
    flat = " ".join(line.removeprefix("#").strip() for line in heading.splitlines())
    assert "envoy -c FILE --concurrency 2 --drain-time-s 20 --log-level warning" in flat
    for warning in rendered.warnings:
        assert f"- {warning.key}: {warning.message}" in flat


def test_what_is_least_is_a_configuration_too() -> None:
    rendered = rendering()
    assert set(read(rendered.text)) == {"node", "admin", "overload_manager", "static_resources"}
    assert rendered.secrets == {}


def test_it_is_the_same_each_time() -> None:
    assert full() == rendering(**FULL)


def test_it_is_made_of_texts_numbers_and_truths_alone() -> None:
    """Other kinds, None and floats, are written differently by those who read and write YAML."""
    assert {type(leaf) for leaf in leaves(read(full().text))} == {str, int, bool}


def test_no_secret_is_in_it(tmp_path: Path) -> None:
    secret = tmp_path / "secret.pem"
    secret.write_text("-----BEGIN PRIVATE KEY-----\nhunter2\n")
    pair = {"certificate": str(secret), "private_key": str(secret)}
    document = changed("listeners[].tls", {**pair, "client_ca": str(secret), "client_auth": "optional"})
    document["upstreams"]["shop"]["tls"] = {**pair, "ca": str(secret), "server_name": "a.b"}
    document["auth"]["issuers"][0]["jwks"] = str(secret)
    rendered = rendering(**document)
    everything = rendered.text + "".join(rendered.secrets.values()) + "".join(map(str, rendered.warnings))
    assert "hunter2" not in everything
    assert "PRIVATE KEY" not in everything
