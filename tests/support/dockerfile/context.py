"""What an engine would be sent: the files of a folder that .dockerignore lets through.

Rule: the last pattern that fits a path, or a folder above it, decides.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path


class Context:
    """Of one folder; paths are relative to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        ignore = folder / ".dockerignore"
        lines = ignore.read_text().splitlines() if ignore.exists() else []
        self._patterns = [
            (not line.startswith("!"), _pattern(line.removeprefix("!").strip("/")))
            for line in map(str.strip, lines)
            if line and not line.startswith("#")
        ]

    def has(self, path: Path) -> bool:
        """It is not ignored; whether there is such a file is not asked."""
        names = [path.as_posix(), *(parent.as_posix() for parent in path.parents if parent != Path())]
        ignored = False
        for ignores, pattern in self._patterns:
            if any(pattern.fullmatch(name) for name in names):
                ignored = ignores
        return not ignored

    def files(self, below: Path) -> Iterator[Path]:
        """All that is sent of a folder."""
        for folder, _, names in os.walk(self.folder / below):
            for name in sorted(names):
                path = (Path(folder) / name).relative_to(self.folder)
                if self.has(path):
                    yield path


def _pattern(line: str) -> re.Pattern[str]:
    parts = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(parts.get(part) or re.escape(part) for part in re.findall(r"\*\*/|\*\*|.", line)))
