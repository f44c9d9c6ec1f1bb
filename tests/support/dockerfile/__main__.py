"""The replay, as a command: 0 when every step worked and what it made was proved to work, 1 otherwise."""

import argparse
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from tests.support.dockerfile.context import Context
from tests.support.dockerfile.instruction import Instruction, ReplayError, read
from tests.support.dockerfile.proof import prove
from tests.support.dockerfile.replay import Replay

ROOT = Path(__file__).parents[3]


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.support.dockerfile",
        description="Replays the Dockerfile without an engine and starts the result.",
    )
    parser.add_argument("--context", type=Path, default=ROOT, help="the folder that is built (default: this checkout)")
    parser.add_argument(
        "--python", help="stands for the base image (default: its version, else the one that runs this)"
    )
    options = parser.parse_args()
    instructions = list(read((options.context / "Dockerfile").read_text()))
    python = find_python(options.python) if options.python else base_python(instructions)
    if python is None:
        parser.error(f"{options.python} starts no Python")
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="replay-dockerfile-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # for the user of USER
        replay = Replay(folder, Context(options.context.resolve()), python)
        try:
            for instruction in instructions:
                replay.step(instruction)
            seen = prove(replay)
        except ReplayError as error:
            print(f"replay: {error}", file=sys.stderr)
            return 1
    print("\n".join(f"  {line}" for line in seen))
    print(f"replayed in {time.monotonic() - began:.0f} s with {python} in place of {replay.image.base}")
    return 0


def base_python(instructions: Iterable[Instruction]) -> Path | None:
    """Of the version that the Dockerfile names, or else the one that runs this."""
    named = re.search(r"python:(3\.\d+)", "\n".join(one.text for one in instructions))
    return find_python(f"python{named[1]}" if named else "python3") or find_python(sys.executable)


def find_python(command: str) -> Path | None:
    """The interpreter itself, where `command` starts one: not a virtual environment, not a shim."""
    question = "import os, sys; print(os.path.realpath(sys._base_executable))"
    try:
        found = subprocess.run([command, "-c", question], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return Path(found.stdout.strip())


if __name__ == "__main__":
    sys.exit(main())
