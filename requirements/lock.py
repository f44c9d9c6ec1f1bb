"""Resolves the dependencies of pyproject.toml into the hashed lock files of this folder (`make lock`).

The files serve every platform and every supported Python (`--universal`); pass `--upgrade` for newer versions.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FILES = {
    "build.txt": ["--group", "pyproject.toml:build"],
    "runtime.txt": ["pyproject.toml"],
    "demo.txt": ["pyproject.toml", "--extra", "demo", "--group", "build"],
    "dev.txt": ["pyproject.toml", "--all-extras", "--group", "build", "--group", "dev"],
}

for name, options in FILES.items():
    command = [
        *(sys.executable, "-m", "uv", "pip", "compile", "--universal", "--python-version", "3.11"),
        *("--generate-hashes", "--no-emit-index-url", "--no-header", "--quiet", *options, *sys.argv[1:]),
        *("--output-file", f"requirements/{name}"),
    ]
    print("  requirements/" + name, flush=True)
    subprocess.run(command, cwd=ROOT, check=True)  # noqa: S603 - this file's own words
