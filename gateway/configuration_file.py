"""The configuration file of a running gateway: it is read again when it changes, on demand (SIGHUP), and now and then
while it is refused.
"""

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

import structlog

from gateway.app import Gateway
from gateway.reload import watch
from gateway.settings import Settings
from gateway.tasks import lasting

log = structlog.get_logger("gateway")

TRY_AGAIN = 30.0  # seconds; a file may be refused for what lies elsewhere, such as a certificate that comes later


class ConfigurationFile:
    """Has a gateway follow it, and the descriptors that it names."""

    def __init__(self, path: Path, load: Callable[[], Settings], gateway: Gateway, changed: Callable[[], None]) -> None:
        """`load` reads it; `changed` is called when the gateway has other settings."""
        self._path = path
        self._load = load
        self._gateway = gateway
        self._changed = changed
        self._seen: list[bytes | None] = []
        self._look = asyncio.Event()
        self._following = lasting(self._follow())

    def read_again(self) -> None:
        """Whether it has changed or not: what it leads to may have, such as the methods that backends have."""
        log.info("configuration_read_again")
        self._seen = []
        self._look.set()

    async def close(self) -> None:
        self._following.cancel()
        await asyncio.wait([self._following])

    async def _follow(self) -> None:
        while True:
            files = self._files()
            watching = lasting(watch(files, self._look.set))
            try:
                while files == self._files():
                    timely = await self._something_new()
                    await self._read(files, again=not timely)
            finally:
                watching.cancel()

    async def _something_new(self) -> bool:
        """False: it is only time to try a refused file again."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TRY_AGAIN if self._gateway.configuration_refused else None):
                await self._look.wait()
                self._look.clear()
                return True
        return False

    def _files(self) -> list[Path]:
        descriptors = self._gateway.settings.authorization.descriptors
        return [self._path, *([descriptors] if isinstance(descriptors, Path) else [])]

    async def _read(self, files: list[Path], *, again: bool) -> None:
        content = await asyncio.to_thread(lambda: list(map(_content, files)))
        if content == self._seen and not again:
            return
        self._seen = content
        before = self._gateway.settings
        await self._gateway.reload(self._load, again=again)
        if self._gateway.settings is not before:
            self._changed()


def _content(file: Path) -> bytes | None:
    """None: it cannot be read, which the reload will say."""
    try:
        return file.read_bytes()
    except OSError:
        return None
