"""What is wrong with a text that is not YAML, said to those who did not mean to write YAML's signs.

Rule: the line is the one to mend, not the one where the parser gave up; and no value is repeated, since it may be a
secret.
"""

import re
from collections.abc import Mapping

import yaml

from gateway.settings.problem import Problem

_NEEDS_QUOTES = "put a value that begins with {} in quotes"

# Parts of what PyYAML says, of where and of what, and what to do about it.
_HINTS: Mapping[tuple[str, str], str] = {
    ("", "mapping values are not allowed"): "look at the indentation, or put a value that holds ': ' in quotes",
    ("", "sequence entries are not allowed"): "begin the list on the next line, or write [one, two]",
    ("", "character '\\t'"): "indent with spaces, not tabs",
    ("", "character '%'"): _NEEDS_QUOTES.format("%"),
    ("", "character '@'"): _NEEDS_QUOTES.format("@"),
    ("", "character '`'"): _NEEDS_QUOTES.format("`"),
    ("", "undefined alias"): _NEEDS_QUOTES.format("*"),
    ("while scanning an alias", ""): _NEEDS_QUOTES.format("*"),
    ("while scanning an anchor", ""): _NEEDS_QUOTES.format("&"),
    ("while parsing a block", "but found ']'"): "remove it, or look for the [ that is missing",
    ("while parsing a block", "but found '}'"): "remove it, or look for the { that is missing",
    ("while parsing a block", "expected <block end>"): "look at the indentation, here and above",
    ("while parsing a flow node", "'<stream end>'"): "look for a [ or { that is not closed",
}
_BRACKETS = {"while parsing a flow sequence": "[", "while parsing a flow mapping": "{"}
_REFERENCE = re.compile(r"\$\{([A-Za-z0-9_]*)")


def explain(error: yaml.MarkedYAMLError, text: str, file: str) -> Problem:
    """`text` is what could not be parsed."""
    context, reason = error.context or "", error.problem or error.context or "unreadable"
    mark = error.problem_mark or error.context_mark
    hint = next((hint for (where, what), hint in _HINTS.items() if where in context and what in reason), None)
    if "expected a single document" in context:
        reason, hint = "two documents in one file", "remove the line ---"
    elif context == "while scanning a quoted scalar" and "end of stream" in reason:
        mark, reason, hint = error.context_mark, "the quote is never closed", "write its other half"
    elif context == "while scanning a simple key":
        mark, hint = error.context_mark, "write key: value, with a colon and a space"
    elif mark is not None and error.context_mark is not None and context in _BRACKETS:
        bracket = _BRACKETS[context]
        if reference := _REFERENCE.match(text, mark.index - 1):
            reason = f"within {'[ ]' if bracket == '[' else '{ }'} a value that holds ${{…}} needs quotes"
            quoted = f'"${{{reference[1]}}}"'
            hint = f"put all of it in quotes, as in {f'[{quoted}]' if bracket == '[' else f'{{key: {quoted}}}'}"
        else:
            hint = f"is the {bracket} of line {error.context_mark.line + 1} closed, and a comma between its values?"
    return Problem("", mark.line + 1 if mark else None, f"not valid YAML: {reason}", hint, file)
