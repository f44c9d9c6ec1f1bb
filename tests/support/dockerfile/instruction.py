"""The instructions of a Dockerfile.

Rule: what is said in another form than is known here is an error, told with its line.
"""

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass


class ReplayError(Exception):
    """A step that cannot be replayed, or failed; the message is for a person."""


@dataclass(frozen=True, slots=True)
class Instruction:
    """One line of a Dockerfile, continuation lines joined."""

    line: int
    name: str
    text: str

    def fail(self, reason: str) -> ReplayError:
        return ReplayError(f"Dockerfile:{self.line}: {self.name}: {reason}")

    def words(self, *flags: str) -> tuple[dict[str, str], list[str]]:
        """Flags (`--from=x`) and the other words; a flag that is not in `flags` is an error."""
        words = shlex.split(self.text)
        found = {}
        while words and words[0].startswith("--"):
            name, _, value = words.pop(0).removeprefix("--").partition("=")
            if name not in flags:
                raise self.fail(f"the flag --{name} is not known here")
            found[name] = value
        return found, words

    def command(self, text: str) -> list[str]:
        """The exec form, a JSON list of words: no shell stands between the engine and the program."""
        try:
            command = json.loads(text)
        except ValueError:
            command = None
        if not isinstance(command, list) or not all(isinstance(word, str) for word in command):
            raise self.fail("must be in exec form, a JSON list")
        return command


def read(text: str) -> Iterator[Instruction]:
    """The instructions of a Dockerfile."""
    start, joined = 0, ""
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        start, joined = (start or number), joined + line.strip().removesuffix("\\")
        if not line.endswith("\\"):
            name, _, rest = joined.strip().partition(" ")
            yield Instruction(start, name.upper(), rest.strip())
            start, joined = 0, ""
