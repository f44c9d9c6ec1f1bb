"""What is wrong with a configuration, said so that a person can mend it: where, what, and what to do.

Rule: every problem is told at once. Nobody should mend a file one error at a time.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.settings.root import Settings

Key = tuple[str | int, ...]  # the way to a value: ("listeners", 0, "tls", "certificate")
ANY = "*"  # in what a finding needs: every name that a user may have chosen


def spell(key: Key) -> str:
    """The key as messages show it: `listeners[0].tls.certificate`."""
    text = ""
    for step in key:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to mend. `str()` is one line: `gateway.yaml:12: listeners[0].bind: must be HOST:PORT (hint: …)`."""

    key: str  # as `spell` writes it; empty: the file as a whole
    line: int | None  # counted from 1
    message: str
    hint: str | None = None
    file: str = ""  # as the user named it; empty: no file was read

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.file and self.line else self.file
        text = ": ".join(part for part in (place, self.key, self.message) if part)
        if self.hint:
            text += f" (hint: {self.hint})"
        # One line, whatever a value holds; and no terminal obeys what a file says.
        return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem whose line is not looked up yet."""

    key: Key
    message: str
    hint: str | None = None
    needs: tuple[Key, ...] = ()  # values it was concluded from: where one of them is bad, nothing can be concluded


@dataclass(frozen=True, slots=True)
class Places:
    """Where the keys of a file stand."""

    file: str = ""
    lines: Mapping[Key, int] = field(default_factory=dict)

    def problem(self, finding: Finding) -> Problem:
        """With the line of the key, or of the nearest section around it that was written."""
        key = finding.key
        while key and key not in self.lines:
            key = key[:-1]
        return Problem(spell(finding.key), self.lines.get(key), finding.message, finding.hint, self.file)


class SettingsError(Exception):
    """The configuration cannot be used; `problems` holds everything that was found, in the order of the file."""

    def __init__(
        self, problems: Iterable[Problem], partial: "Settings | None" = None, in_doubt: Iterable[Key] = ()
    ) -> None:
        """`partial`: the rest of the configuration, to judge further, never to run; what stands at the keys `in_doubt`
        there is not what the file says.
        """
        self.problems = list(problems)
        self.partial = partial
        self._in_doubt = tuple(map(spell, in_doubt))
        super().__init__("\n".join(map(str, self.problems)))

    def doubts(self, key: str) -> bool:
        """Whether nothing can be concluded from the value that `partial` has at this key."""
        return any(key == bad or key.startswith((f"{bad}.", f"{bad}[")) for bad in self._in_doubt)
