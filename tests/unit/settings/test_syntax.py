"""Texts that are not YAML: which line is to be mended, and how."""

import pytest

from tests.unit.settings.reading import told
from tests.unit.settings.test_document import told as told_of_document

QUOTE_IT = "put all of it in quotes, as in"


@pytest.mark.parametrize(
    ("text", "bracket", "hint"),
    [
        ("a: [${AUD}]", "[ ]", '["${AUD}"]'),
        ("a: [b, ${AUD}, c]", "[ ]", '["${AUD}"]'),
        ("a: [https://${HOST}:443]", "[ ]", '["${HOST}"]'),
        ("a: ['${B}', ${AUD}]", "[ ]", '["${AUD}"]'),
        ("a: {b: [${AUD}]}", "[ ]", '["${AUD}"]'),
        ("a: {b: ${X}}", "{ }", '{key: "${X}"}'),
        ("a: {b: {c: ${X}, d: 5}}", "{ }", '{key: "${X}"}'),
        ("a: {b: redis://:hunter2@${HOST}}", "{ }", '{key: "${HOST}"}'),
        ("a: {b: ${SECRET:-hunter2}}", "{ }", '{key: "${SECRET}"}'),
        ("a: [${}]", "[ ]", '["${}"]'),
    ],
)
def test_a_reference_in_brackets_needs_quotes(text: str, bracket: str, hint: str) -> None:
    assert told_of_document(f"z: 1\n{text}\n") == [
        f"x.yaml:2: not valid YAML: within {bracket} a value that holds ${{…}} needs quotes (hint: {QUOTE_IT} {hint})"
    ]


def test_what_the_hint_says_is_right() -> None:
    issuer = "auth: {{issuers: [{{issuer: 'https://login.example.com/', audiences: [{}]}}]}}\n"
    assert QUOTE_IT in told(issuer.format("${AUD}"), environ={"AUD": "api"})[0]
    assert told(issuer.format('"${AUD}"'), environ={"AUD": "api"}) == []


@pytest.mark.parametrize("sign", ["%", "@", "`", "*", "&"])
@pytest.mark.parametrize("value", ["{}", "[{}]"])
def test_signs_that_mean_something_in_yaml(sign: str, value: str) -> None:
    (problem,) = told_of_document(f"z: 1\na: {value.format(sign)}\n")
    assert problem.startswith("x.yaml:2: not valid YAML: ")
    assert problem.endswith(f"(hint: put a value that begins with {sign} in quotes)")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: [1,\n", "2: not valid YAML: expected the node content, but found '<stream end>' (hint: look for a [ or {"),
        ("a: [1\nb: 2\n", "2: not valid YAML: expected ',' or ']', but got ':' (hint: is the [ of line 1 closed, "),
        ("a:\n  {b: 1\nc: 2\n", "3: not valid YAML: expected ',' or '}', but got ':' (hint: is the { of line 2 "),
        ("a: ['b' 'c']\n", "1: not valid YAML: expected ',' or ']', but got '<scalar>' (hint: is the [ of line 1 "),
        ("a: [b]]\n", "1: not valid YAML: expected <block end>, but found ']' (hint: remove it, or look for the ["),
        ("a: {b: c}}\n", "1: not valid YAML: expected <block end>, but found '}' (hint: remove it, or look for the {"),
        ("a: 1\nb: 'c\nd: 1\ne: 1\n", "2: not valid YAML: the quote is never closed (hint: write its other half)"),
        ("a: 1\nb = c\nd: 1\n", "2: not valid YAML: could not find expected ':' (hint: write key: value, "),
        ("a: - b\n", "1: not valid YAML: sequence entries are not allowed here (hint: begin the list on the next "),
        ("a:\n  b: 1\n c: 1\n", "3: not valid YAML: expected <block end>, but found '<block mapping start>' (hint: "),
        ("a:\n  - b\n  c: 1\n", "3: not valid YAML: expected <block end>, but found '?' (hint: look at the "),
    ],
)
def test_the_line_to_mend_and_how(text: str, problem: str) -> None:
    (told,) = told_of_document(text)
    assert told.startswith(f"x.yaml:{problem}")
