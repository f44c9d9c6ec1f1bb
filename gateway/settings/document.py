"""YAML -> plain values, and the line of every key.

Rule: what is written counts once and as it looks. A key twice is an error. Only true, false, null and decimal numbers
are more than text (the core schema of YAML 1.2), so `no` is not false, `12:30` not 750 and `010` not 8.
"""

import re
from dataclasses import dataclass, field

import yaml
from yaml.reader import ReaderError

from gateway.settings import syntax
from gateway.settings.problem import Finding, Key, Places, Problem, SettingsError

EMPTY_HINT = "start from gateway.example.yaml, or try grpcweb-gateway demo"

_MAP, _SEQ, _NULL, _MERGE = (f"tag:yaml.org,2002:{name}" for name in ("map", "seq", "null", "merge"))
_SCALARS = frozenset(f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null"))


class _Loader(yaml.SafeLoader):
    """A SafeLoader with its own idea of what is not text."""


_Loader.yaml_implicit_resolvers = {}


for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", r"[-+]?(0|[1-9][0-9]*)", "-+0123456789"),
    ("float", r"[-+]?(0|[1-9][0-9]*)\.[0-9]+", "-+0123456789"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list(_first))
_Loader.add_implicit_resolver(_MERGE, re.compile(r"^<<$"), ["<"])


@dataclass(slots=True)
class Document:
    """A file that could be read as YAML; what was found does not keep the rest from being judged."""

    data: dict[str, object]
    places: Places
    findings: list[Finding] = field(default_factory=list)
    lost: set[Key] = field(default_factory=set)  # keys whose value could not be read


def read(text: str, file: str) -> Document:
    """Raises SettingsError when there is nothing to judge: bad syntax, an empty file, no mapping."""
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None or (isinstance(node, yaml.ScalarNode) and node.tag == _NULL):
            raise SettingsError([Problem("", None, "the file is empty", EMPTY_HINT, file)])
        if not isinstance(node, yaml.MappingNode):
            hint = "begin with a line like listeners:"
            raise SettingsError([Problem("", _line(node), "must be a mapping (key: value)", hint, file)])
        return _Reader(loader, file).read(node)
    except yaml.MarkedYAMLError as error:
        raise SettingsError([syntax.explain(error, text, file)]) from None
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        reason = "not valid YAML: holds a control character"
        raise SettingsError([Problem("", line, reason, "remove it, or save the file as UTF-8", file)]) from None
    except RecursionError:
        raise SettingsError([Problem("", None, "nested too deeply", None, file)]) from None


class _Reader:
    """Walks the nodes once."""

    def __init__(self, loader: _Loader, file: str) -> None:
        self._loader = loader
        self._lines: dict[Key, int] = {}
        self._document = Document({}, Places(file, self._lines))
        self._open: set[int] = set()  # nodes being read, to see one that holds itself
        self._flat: set[int] = set()  # mappings whose merges are done

    def read(self, node: yaml.MappingNode) -> Document:
        self._document.data = self._mapping(node, ())
        return self._document

    def _value(self, node: yaml.Node, key: Key) -> object:
        if id(node) in self._open:
            self._lose(key, "is an alias that holds itself")
            return None
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode) and node.tag == _MAP:
                return self._mapping(node, key)
            if isinstance(node, yaml.SequenceNode) and node.tag == _SEQ:
                return self._sequence(node, key)
            if isinstance(node, yaml.ScalarNode) and node.tag in _SCALARS:
                return self._scalar(node, key)
        finally:
            self._open.discard(id(node))
        self._lose(key, f"unknown tag {node.tag}", "write plain values")
        return None

    def _scalar(self, node: yaml.ScalarNode, key: Key) -> object:
        try:
            value: object = self._loader.construct_object(node)
        except ValueError:
            self._lose(key, "is not what its tag says")
            return None
        return value

    def _sequence(self, node: yaml.SequenceNode, key: Key) -> list[object]:
        values = []
        for index, item in enumerate(node.value):
            self._lines[*key, index] = _line(item)
            values.append(self._value(item, (*key, index)))
        return values

    def _mapping(self, node: yaml.MappingNode, key: Key) -> dict[str, object]:
        if id(node) not in self._flat:  # an alias brings the same node again
            self._flat.add(id(node))
            self._find_twice(node, key)
            self._loader.flatten_mapping(node)  # `<<: *anchor`; own keys come last and win
        values: dict[str, object] = {}
        for name_node, value_node in node.value:
            if not isinstance(name_node, yaml.ScalarNode):
                self._find(key, "a key must be plain text")
                continue
            step = (*key, name_node.value)
            self._lines[step] = _line(name_node)
            values[name_node.value] = self._value(value_node, step)
        return values

    def _find_twice(self, node: yaml.MappingNode, key: Key) -> None:
        first: dict[str, int] = {}
        for name_node, _ in node.value:
            name = str(name_node.value)
            if name in first and name_node.tag != _MERGE:
                self._find((*key, name), f"written twice: first on line {first[name]}")
            first.setdefault(name, _line(name_node))

    def _find(self, key: Key, message: str, hint: str | None = None) -> None:
        self._document.findings.append(Finding(key, message, hint))

    def _lose(self, key: Key, message: str, hint: str | None = None) -> None:
        self._document.lost.add(key)
        self._find(key, message, hint)


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
