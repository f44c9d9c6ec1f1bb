"""The JSON Schema (2020-12) of the file as people write it, so that editors complete and check it.

Rule: it is made from the models, never by hand. What takes several keys to judge it cannot see; `check` does.
"""

from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from gateway.settings.environment import ENVIRONMENT_PATTERN
from gateway.settings.outline import sections
from gateway.settings.root import Settings

JsonSchema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
ENVIRONMENT: JsonSchema = {
    "description": "Taken from the environment: ${NAME} or ${NAME:-default}.",
    "type": "string",
    "pattern": ENVIRONMENT_PATTERN,
}
FROM_ENVIRONMENT: JsonSchema = {"$ref": "#/$defs/Environment"}
ANNOTATIONS = ("title", "description", "default", "examples")  # what says nothing about the value


class _Untitled(GenerateJsonSchema):
    def field_title_should_be_set(self, schema: object) -> bool:  # noqa: ARG002
        return False  # "Max Age" beside max_age tells nobody anything


def json_schema() -> JsonSchema:
    """A schema ready for `json.dumps`."""
    schema = Settings.model_json_schema(schema_generator=_Untitled)
    definitions: dict[str, JsonSchema] = schema["$defs"]
    for _, section in sections():
        described = schema if section is Settings else definitions[section.__name__]
        described.pop("title", None)
        _show_defaults(described, section.model_construct().model_dump(mode="json"))
        _open_to_environment(described)
    definitions["Environment"] = ENVIRONMENT
    return {"$schema": DIALECT, "title": "Configuration of grpcweb-gateway", **schema}


def _show_defaults(described: JsonSchema, defaults: JsonSchema) -> None:
    """As people write them: 30s, not 30.0. A section's own keys show theirs."""
    for name, value in described["properties"].items():
        value.pop("default", None)
        if name in defaults and not isinstance(defaults[name], dict):
            value["default"] = defaults[name]


def _open_to_environment(described: JsonSchema) -> None:
    for name, value in described["properties"].items():
        described["properties"][name] = _or_environment(value)


def _or_environment(value: JsonSchema) -> JsonSchema:
    if "items" in value:
        return {**value, "items": _or_environment(value["items"])}
    if "patternProperties" in value:  # the names that users choose
        return {**value, "additionalProperties": False}
    forms = value.get("anyOf") or [{key: item for key, item in value.items() if key not in ANNOTATIONS}]
    if any("$ref" in form or (set(form) <= {"type", "minLength"} and "string" in form["type"]) for form in forms):
        return value  # a section is not a text; and any text may hold a reference already
    annotations = {key: item for key, item in value.items() if key in ANNOTATIONS}
    return {**annotations, "anyOf": [*forms, FROM_ENVIRONMENT]}
