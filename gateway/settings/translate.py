"""pydantic's errors in the words of the file.

Rule: no message repeats a value, except those of `kind.refuse`, which know that theirs is no secret.
"""

import difflib
from collections.abc import Mapping
from typing import get_args

from pydantic_core import ErrorDetails

from gateway.settings.outline import places_of, section_at
from gateway.settings.problem import Finding, Key

EMPTY = "must not be empty"

MESSAGES: Mapping[str, tuple[str, str | None]] = {
    "missing": ("is missing", None),
    "too_short": (EMPTY, None),
    "bool_type": ("must be true or false", None),
    "bool_parsing": ("must be true or false", None),
    "tuple_type": ("must be a list", "write [one, two], or each on a line after a dash"),
    "dict_type": ("must be a mapping (key: value)", None),
    "mapping_type": ("must be a mapping (key: value)", None),
    "model_type": ("must be a mapping (key: value)", None),
}


def explain(details: ErrorDetails) -> Finding:
    """One error of `ValidationError.errors()`."""
    key: Key = tuple(step for step in details["loc"] if step != "[key]")
    kind, context = details["type"], details.get("ctx", {})
    if kind == "settings":
        return Finding(key, context["message"], context["hint"])
    if kind == "extra_forbidden":
        return Finding(key, "unknown key", _suggest_key(key))
    if kind == "literal_error":
        return Finding(key, f"must be {context['expected']}")
    message, hint = MESSAGES.get(kind, (details["msg"].replace("Input should be", "must be"), None))
    return Finding(key, message, _suggest_value(key, kind, details["input"]) or hint)


def _suggest_value(key: Key, kind: str, given: object) -> str | None:
    """For a value of another type than `kind` says."""
    around, section = section_at(key[:-1]), section_at(key)
    field = around.model_fields.get(str(key[-1])) if around and key else None
    if given is None and kind.endswith("_type"):
        return None if field and field.is_required() else "give it a value, or remove the key"
    if kind != "model_type" or section is None:
        return None
    if given is False and field and type(None) in get_args(field.annotation):
        return "write null for none"
    if isinstance(given, str) and given.partition(":")[0] in section.model_fields:
        return "write a space after the colon"
    return f"its keys: {', '.join(section.model_fields)}"


def _suggest_key(key: Key) -> str | None:
    name = str(key[-1])
    section = section_at(key[:-1])
    known = list(section.model_fields) if section else []
    spelled = name.lower().replace("-", "_")
    close = difflib.get_close_matches(spelled, known, 1)
    close = close or [one for one in known if spelled in one.split("_") or one.startswith(spelled)]
    if len(close) == 1:
        return f"did you mean {close[0]}?"
    places = places_of(name)
    if places:
        return f"it belongs in {' or '.join(places)}"
    return f"known here: {', '.join(known)}" if known else None
