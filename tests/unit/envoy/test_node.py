"""Values with comments, and YAML that every reader takes for the same."""

import re
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.envoy.node import WIDTH, extension, plain, said, seconds, to_yaml, typed

KEYS = st.from_regex(r"@?[a-z]{3,8}(_[a-z]{1,8})?", fullmatch=True).filter(
    lambda key: key not in ("yes", "off", "true", "null", "false")
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=100)
TRICKY = [
    *(
        "",
        " ",
        "~",
        "null",
        "Null",
        "NULL",
        "true",
        "True",
        "yes",
        "No",
        "on",
        "OFF",
        "y",
        "N",
        "=",
        "<<",
        "-",
        "?",
        ":",
    ),
    *("0", "1", "-1", "1.5", "1e3", "0x1f", "0o17", "017", "1_000", ".5", ".inf", ".nan", "-.inf", "12:30:45", "1:2"),
    *("2026-01-01", "2026-01-01T00:00:00Z", "30s", "0s", "127.0.0.1", "::1", "a: b", "a:b", "a #b", "#a", "a,b", "{a}"),
    *(
        "[a]",
        "*a",
        "&a",
        "!a",
        "%a",
        "@a",
        "`a",
        "|",
        ">",
        "'",
        '"',
        "it's",
        'say "a"',
        "a\\b",
        "\\",
        "\t",
        "a\tb",
        " a",
    ),
    *(
        "a ",
        "a\n",
        "\na",
        "a\nb",
        "a\r\nb",
        "\u0085",
        "\u2028",
        "\ufeff",
        "\x00",
        "\x07",
        "\x7f",
        "é",
        "日本",
        "😀",
        "a" * 300,
    ),
    *(
        "[a-z0-9-]+",
        "(?:.* )?(?:a|b)(?: .*)?",
        "\\b\\B",
        "%REQ(:authority)%",
        "https://*.example.com",
        "a" + " b" * 200,
    ),
]


def nodes() -> st.SearchStrategy[dict[str, Any]]:
    values = st.one_of(TEXTS, st.sampled_from(TRICKY), st.booleans(), st.integers(-(2**40), 2**40))
    comments = st.text(st.characters(categories=["L", "N", "P", "Zs"]), min_size=1, max_size=300)

    def deeper(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        mappings, lists = st.dictionaries(KEYS, inner, max_size=4), st.lists(inner, max_size=4)
        return mappings | lists | st.builds(said, mappings | lists | values, comments)

    return st.dictionaries(KEYS, st.recursive(values, deeper, max_leaves=15), max_size=5)


@pytest.mark.parametrize("text", TRICKY)
def test_a_text_stays_a_text(text: str) -> None:
    node = {
        "alone": text,
        "flow": {"a1": text, "b1": [text, text]},
        "block": ["x" * 100, text],
        "said": said(text, "k"),
    }
    assert yaml.safe_load(to_yaml(node)) == plain(node)


@settings(deadline=None)
@given(TEXTS)
def test_any_text_stays_a_text(text: str) -> None:
    node = {"alone": text, "flow": [text], "long": {"a1": "x" * 100, "b1": text}}
    assert yaml.safe_load(to_yaml(node)) == node


@settings(deadline=None)
@given(nodes())
def test_any_node_is_read_as_it_is(node: dict[str, Any]) -> None:
    assert yaml.safe_load(to_yaml(node, ["A heading."])) == plain(node)


@settings(deadline=None)
@given(st.lists(st.one_of(TEXTS, st.sampled_from(TRICKY)), max_size=4))
def test_no_text_without_quotes_is_anything_else_to_other_readers(texts: list[str]) -> None:
    """Envoy's, yaml-cpp, goes by YAML 1.2, ends plain words in flow style at other places, and knows no dates."""
    for token in yaml.scan(to_yaml({"list": texts, "flow": {"a1": texts}})):
        if isinstance(token, yaml.ScalarToken) and token.plain and token.value not in ("list", "flow", "a1"):
            assert re.fullmatch(r"[A-Za-z_/][A-Za-z0-9_./-]*", token.value)
            assert token.value.lower() not in ("true", "false", "null", "yes", "no", "on", "off", "y", "n")


def test_a_comment_stands_above_its_value_with_its_indent() -> None:
    node = {
        "first": said(1, "a.b"),
        "part": said({"inner": said("x", "a.c", "a.d", why="because")}, "a"),
        "list": [
            said({"name": "one"}, "l[0]"),
            {"name": "x" * 80, "b1": said("two", "l[1].b1")},
            said("three", "l[2]"),
        ],
        "empty": said([], why="no key"),
    }
    assert to_yaml(node) == (
        "# a.b\n"
        "first: 1\n"
        "# a\n"
        "part:\n"
        "  # a.c, a.d: because\n"
        "  inner: x\n"
        "list:\n"
        "  # l[0]\n"
        "  - {name: one}\n"
        f"  - name: {'x' * 80}\n"
        "    # l[1].b1\n"
        "    b1: two\n"
        "  # l[2]\n"
        "  - three\n"
        "# no key\n"
        "empty: []\n"
    )


def test_a_heading_and_comments_are_wrapped() -> None:
    long = "word " * 60
    text = to_yaml({"a1": {"b1": said(1, long.strip())}}, ["Heading.", "", long, f"- {long}", f"  {long}"])
    assert max(map(len, text.splitlines())) <= WIDTH
    assert text.startswith("# Heading.\n#\n# word word")
    assert "\n# - word" in text
    assert "\n#   word" in text
    assert yaml.safe_load(text) == {"a1": {"b1": 1}}


def test_short_values_take_one_line_and_long_ones_none() -> None:
    node = {"short": {"a1": "x", "b1": [1, 2]}, "mappings": {"a1": [{"b1": 1}]}, "long": {"a1": "x" * 80}}
    assert to_yaml(node) == (
        f"short: {{a1: x, b1: [1, 2]}}\nmappings:\n  a1:\n    - {{b1: 1}}\nlong:\n  a1: {'x' * 80}\n"
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "0s"),
        (0.0, "0s"),
        (1.0, "1s"),
        (0.5, "0.5s"),
        (0.001, "0.001s"),
        (300.0, "300s"),
        (90.25, "90.25s"),
        (1e6, "1000000s"),
    ],
)
def test_durations(value: float | None, text: str) -> None:
    assert seconds(value) == text


def test_types_have_their_url() -> None:
    assert typed("a.v3.B", c=1) == {"@type": "type.googleapis.com/a.v3.B", "c": 1}
    assert extension("a.b", "a.v3.B") == {"name": "a.b", "typed_config": {"@type": "type.googleapis.com/a.v3.B"}}
