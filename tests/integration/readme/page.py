"""README.md is a promise: its commands run, its configurations are read, its tables say what the code does.

Rule: nothing that looks like a command, a configuration, a sample of output or a name is left unproved. What cannot be
run here is listed with the reason (test_commands.py).
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "README.md").read_text()


class Block(NamedTuple):
    language: str
    text: str
    line: int


def blocks() -> Iterator[Block]:
    for match in re.finditer(r"^```(\w*)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL):
        yield Block(match[1], match[2], TEXT.count("\n", 0, match.start()) + 2)


BLOCKS = list(blocks())
PROSE = re.sub(r"^```.*?^```$", "", TEXT, flags=re.MULTILINE | re.DOTALL)
INLINE = re.findall(r"`([^`\n]+)`", PROSE)
YAML = [block for block in BLOCKS if block.language == "yaml"]
SCRIPTS = [block for block in BLOCKS if block.language == "js"]
(PROGRAM,) = [block.text for block in BLOCKS if block.language == "python"]
COMMANDS = [
    line.removeprefix("$ ") for block in BLOCKS if block.language == "console" for line in block.text.splitlines()
]
DEV = [command for command in COMMANDS if command.startswith("grpcweb-gateway dev ")]
CHECK, SERVE, CALL, RENDER, SCHEMA = (
    next(command for command in COMMANDS if beginning in command)
    for beginning in ("-gateway check", "-gateway serve", "curl", "-gateway envoy", "-gateway schema")
)


def section(title: str) -> str:
    """The text below a heading, up to the next of the same rank or above."""
    match = re.search(rf"^(#+) {re.escape(title)}\n(.*?)(?=^##? |\Z)", TEXT, re.MULTILINE | re.DOTALL)
    assert match is not None, title
    return match[2].split(f"\n{match[1]} ")[0]


def rows(text: str) -> list[list[str]]:
    """The cells of all tables, without heads."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    heads = {index - 1 for index, line in enumerate(lines) if line.startswith("|---")}
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for index, line in enumerate(lines)
        if index not in heads and not line.startswith("|---")
    ]


def codes(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)
