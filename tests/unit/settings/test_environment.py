"""`${NAME}` in values."""

import pytest

from gateway.settings.environment import substitute
from gateway.settings.problem import Finding
from tests.unit.settings.reading import read, told

ENVIRON = {"NAME": "value", "EMPTY": "", "NESTED": "${NAME}"}


def no_report(finding: Finding) -> None:
    raise AssertionError(finding)


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("${NAME}", "value"),
        ("a-${NAME}-${NAME}", "a-value-value"),
        ("${EMPTY}", ""),
        ("${UNSET:-default}", "default"),
        ("${EMPTY:-default}", "default"),
        ("${NAME:-default}", "value"),
        ("${UNSET:-}", ""),
        ("${UNSET:-a:-b}", "a:-b"),
        ("$${NAME}", "${NAME}"),
        ("$$${NAME}", "$${NAME}"),
        ("${NESTED}", "${NAME}"),
        ("$NAME $ {NAME}", "$NAME $ {NAME}"),
    ],
)
def test_filled_in_once(text: str, filled: str) -> None:
    assert substitute(text, ENVIRON, no_report) == filled


def test_values_at_every_depth_but_never_keys() -> None:
    data = {"${NAME}": ["${NAME}", {"a": "${NAME}"}, 1, None, True]}
    assert substitute(data, ENVIRON, no_report) == {"${NAME}": ["value", {"a": "value"}, 1, None, True]}


def test_an_unset_variable_is_told_with_its_key_and_name() -> None:
    assert told("cors:\n  allow_origins:\n    - https://a.example\n    - ${ORIGIN}\n") == [
        "gateway.yaml:6: cors.allow_origins[1]: the environment variable ORIGIN is not set "
        "(hint: set it, or write ${ORIGIN:-default})"
    ]


@pytest.mark.parametrize("text", ["${}", "${1A}", "${NAME:default}", "${NAME", "${a-b}"])
def test_what_is_no_reference_is_told(text: str) -> None:
    (problem,) = told(f"drain: '{text}'\n", environ={"NAME": "5s"})
    assert problem.startswith(f"gateway.yaml:3: drain: not a variable: {text} ")


def test_the_environment_gives_values_of_every_kind() -> None:
    rest = """
limits: {max_calls: "${CALLS}", max_metadata: "${SIZE}", default_deadline: "${NONE:-none}"}
cors: {allow_credentials: "${BOOL}", max_age: "${AGE}"}
"""
    settings = read(rest, environ={"CALLS": "7", "SIZE": "4KiB", "BOOL": "true", "AGE": "90s"})
    assert settings.limits.max_calls == 7
    assert settings.limits.max_metadata == 4096
    assert settings.limits.default_deadline is None
    assert settings.cors.allow_credentials is True
    assert settings.cors.max_age == 90.0


def test_a_secret_is_in_no_message() -> None:
    rest = "auth: {introspection: {url: '${S}', client_id: '${S}', client_secret: '${S}', cache: '${S}'}, x: '${S}'}\n"
    rest += "cors: {max_age: '${S}', require_origin: '${S}'}\nlimits: {max_calls: '${S}'}\n"
    problems = told(rest, environ={"S": "hunter2"})
    assert len(problems) == 6
    assert "hunter2" not in "".join(problems)
