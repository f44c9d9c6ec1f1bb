"""Files that the configuration names.

Rule: whether a file is there and can be read is judged here; what is in it, by those who use it.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from gateway.settings.kind import JsonSchema, Kind, Source, refuse


@dataclass(frozen=True)
class File(Kind):
    """An absolute path of a file that exists and can be read; `or_word` is a word that stands for something else."""

    or_word: str | None = None
    none: bool = False
    native = (Path, str)

    def read(self, text: str, source: Source, /) -> Path | str:
        if text == self.or_word:
            return text
        return existing_file(text, source)

    def shape(self) -> JsonSchema:
        return {"type": ["string", "null"] if self.none else "string", "minLength": 1}

    def refuse_type(self, _value: object, /) -> NoReturn:
        refuse("must be the name of a file")


def existing_file(text: str, source: Source) -> Path:
    if not text:
        refuse("names no file", "leave the key out if there is none")
    path = Path(os.path.normpath(source.base / Path(text).expanduser()))
    if path.is_dir():
        refuse(f"is a directory: {text}", "name a file in it")
    if not path.exists():
        refuse(f"no such file: {text}", f"looked for {path}")
    if not os.access(path, os.R_OK):
        refuse(f"cannot be read: {text}", f"let the user that runs the gateway read {path}")
    return path
