"""The configuration file of a running gateway: it is read again when it changes, on demand (SIGHUP), and now and then
while it is refused.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path

import structlog

from gateway.app import Gateway
from gateway.reload import TRY_AGAIN, happened, watch
from gateway.settings import Settings
from gateway.tasks import lasting

log = structlog.get_logger("gateway")


class ConfigurationFile:
    """Has a gateway follow it, and the descriptors that it names."""

    def __init__(self, path: Path, load: Callable[[], Settings], gateway: Gateway, changed: Callable[[], None]) -> None:
        """`load` reads it; `changed` is called when the gateway has other settings."""
        self._path = path
        self._load = load
        self._gateway = gateway
        self._changed = changed
        self._seen: list[bytes | None] = []
        self._asked = False  # for another reading, whatever was seen
        self._look = asyncio.Event()
        self._following = lasting(self._follow())

    def read_again(self) -> None:
        """Whether it has changed or not: what it leads to may have, such as the methods that backends have."""
        log.info("configuration_read_again")
        self._gateway.look_at_certificates()
        self._asked = True
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
        """False: it is only time to try a refused file again: what was wrong may lie elsewhere, such as a certificate
        that comes later.
        """
        return await happened(self._look, within=TRY_AGAIN if self._gateway.configuration_refused else None)

    def _files(self) -> list[Path]:
        descriptors = self._gateway.settings.authorization.descriptors
        return [self._path, *([descriptors] if isinstance(descriptors, Path) else [])]

    async def _read(self, files: list[Path], *, again: bool) -> None:
        asked, self._asked = self._asked, False
        content = await asyncio.to_thread(lambda: list(map(_content, files)))
        changed = content != self._seen
        if not asked and changed == again:
            return  # nothing is new; or the file is just being written, and the watch will tell when that has settled
        self._seen = content
        before = self._gateway.settings
        await self._gateway.reload(self._load, again=again and not asked)
        if self._gateway.settings is not before:
            self._changed()


def _content(file: Path) -> bytes | None:
    """None: it cannot be read, which the reload will say."""
    try:
        return file.read_bytes()
    except OSError:
        return None
