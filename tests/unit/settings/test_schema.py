"""The JSON Schema describes the file as people write it."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from gateway.settings import json_schema
from gateway.settings.document import read
from gateway.settings.outline import sections
from gateway.settings.root import Settings
from tests.unit.settings.test_contract import CONTRACT, EXAMPLE

TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "null": type(None),
    "number": (int, float),
}  # fmt: skip
KNOWN_WORDS = {
    *("$ref", "$defs", "$schema", "title", "description", "default", "examples", "type", "enum", "const", "anyOf"),
    *("properties", "patternProperties", "additionalProperties", "required", "items", "minItems", "minProperties"),
    *("pattern", "minLength", "minimum", "maximum"),
}


def faults(value: object, schema: dict[str, Any], root: dict[str, Any], where: str = "") -> list[str]:
    """What is wrong, by the words of JSON Schema that this schema uses."""
    assert set(schema) <= KNOWN_WORDS
    if "$ref" in schema:
        return faults(value, root["$defs"][schema["$ref"].removeprefix("#/$defs/")], root, where)
    if "anyOf" in schema:
        return [] if any(not faults(value, form, root) for form in schema["anyOf"]) else [f"{where}: none of anyOf"]
    if not is_of_type(value, schema.get("type", list(TYPES))):
        return [f"{where}: not of type {schema['type']}"]
    if "enum" in schema and value not in schema["enum"]:
        return [f"{where}: not in enum"]
    if isinstance(value, str):
        fits = re.search(schema.get("pattern", ""), value) and len(value) >= schema.get("minLength", 0)
        return [] if fits else [f"{where}: not in pattern"]
    if isinstance(value, int | float):
        return [] if schema.get("minimum", value) <= value <= schema.get("maximum", value) else [f"{where}: too big"]
    if isinstance(value, list):
        few = [f"{where}: too few"] if len(value) < schema.get("minItems", 0) else []
        return few + [
            fault
            for index, item in enumerate(value)
            for fault in faults(item, schema["items"], root, f"{where}[{index}]")
        ]
    return faults_of_mapping(value, schema, root, where) if isinstance(value, dict) else []


def faults_of_mapping(value: dict[str, object], schema: dict[str, Any], root: dict[str, Any], where: str) -> list[str]:
    assert schema["additionalProperties"] is False
    found = [f"{where}.{name}: missing" for name in schema.get("required", []) if name not in value]
    for name, item in value.items():
        inner = schema.get("properties", {}).get(name)
        for pattern, chosen in schema.get("patternProperties", {}).items():
            inner = chosen if re.search(pattern, name) else inner
        found += [f"{where}.{name}: unknown"] if inner is None else faults(item, inner, root, f"{where}.{name}")
    return found


def is_of_type(value: object, names: str | list[str]) -> bool:
    names = [names] if isinstance(names, str) else names
    return any(isinstance(value, TYPES[name]) and (name == "boolean") == isinstance(value, bool) for name in names)


def judged(text: str) -> list[str]:
    schema = json_schema()
    return faults(read(text, "x.yaml").data, schema, schema)


@pytest.mark.parametrize("file", [CONTRACT, EXAMPLE])
def test_the_contract_and_the_example_are_valid(file: Path) -> None:
    assert judged(file.read_text()) == []


def test_every_value_may_come_from_the_environment() -> None:
    def from_environment(value: object) -> object:
        if isinstance(value, dict):
            return {name: from_environment(item) for name, item in value.items()}
        return [from_environment(item) for item in value] if isinstance(value, list) else "${VALUE:-x}"

    schema = json_schema()
    assert faults(from_environment(read(EXAMPLE.read_text(), "x.yaml").data), schema, schema) == []


@pytest.mark.parametrize(
    ("given", "instead", "fault"),
    [
        ("max_age: 10m", "max_age: 10", ".cors.max_age: none of anyOf"),
        ("max_age: 10m", "max_age: ten minutes", ".cors.max_age: none of anyOf"),
        ("max_age: 10m", "max_ages: 10m", ".cors.max_ages: unknown"),
        ("max_metadata: 8KiB", "max_metadata: 8k", ".limits.max_metadata: none of anyOf"),
        ("max_deadline: none", "max_deadline: never", ".limits.max_deadline: none of anyOf"),
        ("max_calls: 1000", "max_calls: 0", ".limits.max_calls: none of anyOf"),
        ("max_calls: 1000", "max_calls: true", ".limits.max_calls: none of anyOf"),
        ("format: json", "format: xml", ".observability.log.format: none of anyOf"),
        ("bind: 0.0.0.0:8443", "bind: :8443", ".listeners[0].bind: none of anyOf"),
        ("allow_credentials: false", "allow_credentials: maybe", ".cors.allow_credentials: none of anyOf"),
        ("https://app.example.com", "https://app.example.com/", ".cors.allow_origins[0]: none of anyOf"),
        ("/shop.v1.Catalog/*", "/shop.v1.Cat*", ".authorization.rules[0].methods[1]: none of anyOf"),
        ("[RS256, ES256]", "[HS256]", ".auth.issuers[0].algorithms[0]: none of anyOf"),
        ("  shop:", "  a shop:", ".upstreams.a shop: unknown"),
        ("x-user-id:", "X-User-Id:", ".auth.forward_claims.X-User-Id: unknown"),
        ("      certificate: tls/server.pem", "", ".listeners[0].tls: none of anyOf"),
    ],
)
def test_a_fault_is_seen(given: str, instead: str, fault: str) -> None:
    text = EXAMPLE.read_text()
    assert given in text
    assert judged(text.replace(given, instead, 1)) == [fault]


def test_every_key_is_described_and_every_section_closed() -> None:
    schema = json_schema()
    for path, section in sections():
        described = schema if section is Settings else schema["$defs"][section.__name__]
        assert described["additionalProperties"] is False
        assert list(described["properties"]) == list(section.model_fields)
        for name, key in described["properties"].items():
            assert key["description"].endswith("."), f"{path}.{name}"


def test_defaults_are_as_people_write_them() -> None:
    schema = json_schema()
    limits = schema["$defs"]["Limits"]["properties"]
    assert limits["body_stall"]["default"] == "30s"
    assert limits["max_metadata"]["default"] == "8KiB"
    assert limits["max_deadline"]["default"] is None
    assert schema["properties"]["drain"]["default"] == "15s"
    assert schema["$defs"]["Admin"]["properties"]["bind"]["default"] == "127.0.0.1:9901"
    assert "default" not in schema["$defs"]["Issuer"]["properties"]["issuer"]


def test_it_is_json_of_the_2020_dialect() -> None:
    schema = json.loads(json.dumps(json_schema()))
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["required"] == ["listeners", "upstreams"]
