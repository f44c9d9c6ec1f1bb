"""`${NAME}` and `${NAME:-default}` in text values; `$${` stands for `${`.

Rule: values only, never keys, and once: what a variable holds is not looked into again. The default is taken when the
variable is unset or empty, as in a shell.
"""

import re
from collections.abc import Callable, Mapping

from gateway.settings.problem import Finding, Key

ENVIRONMENT_PATTERN = r"\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\}"

Report = Callable[[Finding], None]

_REFERENCE = re.compile(r"\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}|\$\{[^}]*\}?")


def substitute(value: object, environ: Mapping[str, str], report: Report, key: Key = ()) -> object:
    """The value with all its texts filled in. `report` is told what could not be, with its key."""
    if isinstance(value, dict):
        return {name: substitute(item, environ, report, (*key, name)) for name, item in value.items()}
    if isinstance(value, list):
        return [substitute(item, environ, report, (*key, index)) for index, item in enumerate(value)]
    if not isinstance(value, str) or "${" not in value:
        return value

    def fill(match: re.Match[str]) -> str:
        name, default = match.groups()
        if match[0] == "$${":
            return "${"
        if name is None:
            report(Finding(key, f"not a variable: {match[0]}", "write ${NAME} or ${NAME:-default}; $${ for a plain ${"))
        elif name not in environ and default is None:
            hint = f"set it, or write ${{{name}:-default}}"
            report(Finding(key, f"the environment variable {name} is not set", hint))
        elif default is None:
            return environ[name]
        else:
            return environ.get(name) or default
        return match[0]

    return _REFERENCE.sub(fill, value)
