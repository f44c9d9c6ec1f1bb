"""A configuration as plain dictionaries and lists, in which a value may say which key of gateway.yaml it comes from;
and the YAML of it, where that is a comment above the value.
"""

import io
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.scalarstring import DoubleQuotedScalarString, SingleQuotedScalarString

Node = dict[str, Any]

WIDTH = 120  # columns of a comment
SHORT = 80  # columns that a value may take on one line: a longer one is a block
TYPE_URL = "type.googleapis.com/"


@dataclass(frozen=True, slots=True)
class Said:
    """A value with a comment. Only the writer looks inside."""

    value: Any
    comment: str


def said(value: object, *keys: str, why: str = "") -> Said:
    """`value` comes from `keys` of gateway.yaml; `why` is what a reader would otherwise ask."""
    return Said(value, ": ".join(part for part in (", ".join(keys), why) if part))


def typed(type_name: str, **fields: Any) -> Node:
    """An `Any` of Envoy's API: `type_name` without the URL before it."""
    return {"@type": TYPE_URL + type_name, **fields}


def extension(name: str, type_name: str, **fields: Any) -> Node:
    """A TypedExtensionConfig, or what looks like one: a filter, a transport socket, an access log."""
    return {"name": name, "typed_config": typed(type_name, **fields)}


def seconds(value: float | None) -> str:
    """A Duration as JSON has it; 0s, where there is none, means without limit to Envoy."""
    return f"{value or 0:.9f}".rstrip("0").rstrip(".") + "s"


def plain(node: Any) -> Any:
    """Without the comments: what a YAML reader would make of it."""
    if isinstance(node, Said):
        return plain(node.value)
    if isinstance(node, dict):
        return {key: plain(value) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [plain(item) for item in node]
    return node


def to_yaml(node: Node, heading: Sequence[str] = ()) -> str:
    """The document; `heading` are paragraphs of a comment at its top."""
    yaml = YAML()
    yaml.width = 10_000  # a value is one line: folded ones are hard to look for
    yaml.indent(mapping=2, sequence=4, offset=2)
    out = io.StringIO()
    yaml.dump(_commented(node, 0), out)
    return _comment(heading) + out.getvalue()


def _comment(paragraphs: Sequence[str]) -> str:
    lines = [line for paragraph in paragraphs for line in _wrapped(paragraph, 0)]
    return "".join(f"# {line}".rstrip() + "\n" for line in lines)


def _wrapped(text: str, indent: int, hanging: str = "") -> list[str]:
    hanging = "  " if text.startswith(("- ", "  ")) else hanging
    return textwrap.wrap(
        text,
        WIDTH - indent - 2,
        subsequent_indent=hanging,
        break_long_words=False,
        break_on_hyphens=False,
        drop_whitespace=True,
    ) or [""]


def _commented(node: Any, indent: int) -> Any:
    """As ruamel.yaml has it; `indent`: the column in which the keys of a mapping stand."""
    if isinstance(node, dict):
        mapping = CommentedMap()
        if _is_short(node):
            mapping.fa.set_flow_style()
        for key, value in node.items():
            mapping[key] = _commented(value.value if isinstance(value, Said) else value, indent + 2)
            if isinstance(value, Said):
                mapping.yaml_set_comment_before_after_key(key, before=_lines(value, indent), indent=indent)
        return mapping
    if isinstance(node, list | tuple):
        sequence = CommentedSeq()
        if _is_short(node):
            sequence.fa.set_flow_style()
        for index, item in enumerate(node):
            # A mapping in a list has its keys beside the dash, which stands two columns further in.
            sequence.append(_commented(item.value if isinstance(item, Said) else item, indent + 2))
            if isinstance(item, Said):
                sequence.yaml_set_comment_before_after_key(index, before=_lines(item, indent), indent=indent)
        return sequence
    if isinstance(node, str):
        if _is_plain(node):
            return node
        # Between double quotes what some readers take for the end of a line is escaped.
        return SingleQuotedScalarString(node) if node.isprintable() else DoubleQuotedScalarString(node)
    return node


def _is_short(node: Node | Sequence[object]) -> bool:
    # A list of mappings on one line is hard to read, and [key: value] is known to few.
    return len(str(node)) <= SHORT and not _is_deep(node)


def _is_deep(node: object) -> bool:
    """Whether there is a comment in it, or a list of more than plain values."""
    if isinstance(node, list | tuple):
        return any(isinstance(item, dict | list | tuple | Said) for item in node)
    return isinstance(node, Said) or (isinstance(node, dict) and any(map(_is_deep, node.values())))


def _is_plain(text: str) -> bool:
    """Whether every reader takes it for the same text without quotes, in flow style too (Envoy's is yaml-cpp)."""
    words = ("y", "n", "yes", "no", "on", "off", "true", "false", "null")
    return re.fullmatch(r"[A-Za-z_/][A-Za-z0-9_./-]*", text) is not None and text.lower() not in words


def _lines(value: Said, indent: int) -> str:
    return "\n".join(_wrapped(value.comment, indent))
