"""YAML: what is written counts once and as it looks, and every key has its line."""

import pytest

from gateway.settings import SettingsError
from gateway.settings.document import EMPTY_HINT, read


def told(text: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        read(text, "x.yaml")
    return [str(problem) for problem in caught.value.problems]


def test_every_key_has_its_line() -> None:
    text = "a:\n  b: 1\n\n  c:\n    - d: x\n    -\n      e: y\n"
    lines = read(text, "x.yaml").places.lines
    assert lines == {
        ("a",): 1,
        ("a", "b"): 2,
        ("a", "c"): 4,
        ("a", "c", 0): 5,
        ("a", "c", 0, "d"): 5,
        ("a", "c", 1): 7,
        ("a", "c", 1, "e"): 7,
    }


def test_only_what_looks_like_a_number_or_truth_is_one() -> None:
    text = "[yes, no, on, 12:30, 010, 0x10, 1_000, 2024-01-01, true, False, null, ~, 7, -7, 1.5, '7', =, .5]"
    assert read(f"a: {text}", "x.yaml").data["a"] == [
        *("yes", "no", "on", "12:30", "010", "0x10", "1_000", "2024-01-01"),
        *(True, False, None, None, 7, -7, 1.5, "7", "=", ".5"),
    ]


def test_an_empty_value_is_null() -> None:
    assert read("a:\nb: ''\n", "x.yaml").data == {"a": None, "b": ""}


def test_keys_are_text_whatever_they_look_like() -> None:
    assert read("{true: 1, 2: x, on: y}", "x.yaml").data == {"true": 1, "2": "x", "on": "y"}


def test_anchors_and_merges() -> None:
    text = "a: &a {x: 1, y: 2}\nb: *a\nc:\n  y: 3\n  <<: *a\n"
    assert read(text, "x.yaml").data == {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 2}, "c": {"x": 1, "y": 3}}


def test_a_merge_that_is_used_twice_is_no_key_twice() -> None:
    document = read("a: &a {x: 1}\nb: &b {<<: *a, x: 2}\nc: *b\nd: {<<: *b, x: 3}\n", "x.yaml")
    assert document.findings == []
    assert document.data == {"a": {"x": 1}, "b": {"x": 2}, "c": {"x": 2}, "d": {"x": 3}}


def test_an_alias_makes_a_value_of_its_own() -> None:
    data = read("a: &a [1]\nb: *a\n", "x.yaml").data
    assert data["a"] == data["b"]
    assert data["a"] is not data["b"]


def test_a_key_twice_is_told_with_both_lines() -> None:
    document = read("a: 1\nb:\n  c: 1\n  c: 2\na: 2\n", "x.yaml")
    assert [str(document.places.problem(finding)) for finding in document.findings] == [
        "x.yaml:5: a: written twice: first on line 1",
        "x.yaml:4: b.c: written twice: first on line 3",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", f"x.yaml: the file is empty (hint: {EMPTY_HINT})"),
        ("# nothing\n---\n", f"x.yaml: the file is empty (hint: {EMPTY_HINT})"),
        ("- a\n", "x.yaml:1: must be a mapping (key: value) (hint: begin with a line like listeners:)"),
        ("\nhello\n", "x.yaml:2: must be a mapping (key: value) (hint: begin with a line like listeners:)"),
        (
            "a: b: c\n",
            "x.yaml:1: not valid YAML: mapping values are not allowed here "
            "(hint: look at the indentation, or put a value that holds ': ' in quotes)",
        ),
        (
            "a:\n\tb: 1\n",
            "x.yaml:2: not valid YAML: found character '\\t' that cannot start any token "
            "(hint: indent with spaces, not tabs)",
        ),
        (
            "a: *b\n",
            "x.yaml:1: not valid YAML: found undefined alias 'b' (hint: put a value that begins with * in quotes)",
        ),
        ("a: 1\n---\nb: 2\n", "x.yaml:2: not valid YAML: two documents in one file (hint: remove the line ---)"),
        (
            "a: 1\nb: \0\n",
            "x.yaml:2: not valid YAML: holds a control character (hint: remove it, or save the file as UTF-8)",
        ),
        ("a: " + "[" * 2000, "x.yaml: nested too deeply"),
    ],
)
def test_what_cannot_be_read_is_one_line(text: str, problem: str) -> None:
    assert told(text) == [problem]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("b: 1\na: !x y\n", "x.yaml:2: a: unknown tag !x (hint: write plain values)"),
        (
            "a: !!python/name:os.system\n",
            "x.yaml:1: a: unknown tag tag:yaml.org,2002:python/name:os.system (hint: write plain values)",
        ),
        ("a: !!set {x}\n", "x.yaml:1: a: unknown tag tag:yaml.org,2002:set (hint: write plain values)"),
        ("a: !!int x\n", "x.yaml:1: a: is not what its tag says"),
        ("a: &a [*a]\n", "x.yaml:1: a[0]: is an alias that holds itself"),
        ("? [x, y]\n: 1\n", "x.yaml: a key must be plain text"),
    ],
)
def test_a_value_that_cannot_be_read_does_not_hide_the_rest(text: str, problem: str) -> None:
    document = read(text, "x.yaml")
    assert [str(document.places.problem(finding)) for finding in document.findings] == [problem]
