"""JSON from strangers: the header and the claims of a token, key sets, metadata, introspection answers.

Rule: one object that every parser reads alike (RFC 7493, RFC 8725, section 2.4), or none: UTF-8 without a byte order
mark, no member twice, no NaN, no text that UTF-8 cannot carry, not deeper than `MAX_DEPTH`.
"""

import json

MAX_DEPTH = 16  # a security limit: claims are two or three deep, the parser's stack is not ours to fill


def parse_object(raw: bytes) -> dict[str, object]:
    """The object that is `raw`, all of it. Raises ValueError; its text repeats nothing of `raw`."""
    try:
        text = raw.decode("utf-8")
        value: object = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON (line {error.lineno}, column {error.colno})") from None
    except UnicodeDecodeError:
        raise ValueError("not JSON: no UTF-8") from None
    except RecursionError:
        raise ValueError("nested too deep") from None
    # There are as many brackets as levels, at least: most documents need no walk.
    if not isinstance(value, dict) or (text.count("{") + text.count("[") > MAX_DEPTH and _is_deep(value)):
        raise ValueError("not an object, or nested too deep")
    # Only an escape can have made a lone surrogate, which would fail much later, wherever it is written out.
    if "\\u" in text:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    return value


def _unique(members: list[tuple[str, object]]) -> dict[str, object]:
    value = dict(members)
    if len(value) != len(members):
        raise ValueError("a member twice")
    return value


def _refuse_constant(_name: str) -> object:
    raise ValueError("not a number")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse_constant)


def _is_deep(value: object) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [child for item in level for child in _children(item)]
        if not level:
            return False
    return True


def _children(value: object) -> list[object]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
