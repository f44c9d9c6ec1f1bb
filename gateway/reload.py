"""Watches files, and tells when those beside them may have changed.

Rules
- Folders are watched, not files: a renewal is often a rename or, in Kubernetes, a symbolic link that turns to a new
  folder, perhaps one above. So the folder of every link on the way is watched, too.
- From an event nothing is concluded: the files are looked at, and who is told reads them and compares. The folders may
  be others by then, even under the same names, so they are watched anew before that look.
- A watch ends only when it is cancelled. While files are missing or folders cannot be watched, it looks again soon.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

import structlog
from watchfiles import awatch

from gateway.tasks import lasting
from gateway.upstream.tls import CertificateError

log = structlog.get_logger("gateway.reload")

SETTLE_MS = 200  # a certificate and its key are written one after the other
POLL_MS = 30_000  # some file systems (NFS, FUSE) tell nothing
SOON_MS = 1_000  # nothing tells of a volume that is mounted again
MOST_LINKS = 40  # on the way to a file; as many as Linux follows
PATIENCE = 2.0  # seconds after which a pair that does not fit is no longer taken for one half written
TRY_AGAIN = 30.0  # seconds between two tries of what is refused


async def watch(files: Iterable[Path], changed: Callable[[], None]) -> None:
    """Call `changed` soon after something happened to one of `files`, and once at first; runs until cancelled.

    At first, because something may have happened between the reading of the files and now.
    """
    files = tuple(files)
    seen: list[tuple[int, ...] | None] | None = None

    def look() -> None:
        nonlocal seen
        if (state := _state(files)) == seen:
            return
        seen = state
        try:
            changed()
        except Exception:  # the next change may be a better one
            log.exception("unexpected_error")

    while True:
        # Runs when the first step of the waiting has begun to watch, so that nothing can happen in between.
        looking = asyncio.get_running_loop().call_soon(look)
        try:
            await _happening(files)
        finally:
            looking.cancel()


async def _happening(files: tuple[Path, ...]) -> None:
    """Return when it is time to look at the files. Never raises."""
    try:
        folders = _folders(files)
        there = {folder for folder in folders if folder.is_dir()}
        whole = there == folders and None not in _state(files)
        timeout = POLL_MS if whole else SOON_MS
        async with contextlib.aclosing(
            awatch(
                *there,
                watch_filter=None,  # the default one leaves out what lies in folders of some names
                step=SETTLE_MS,
                recursive=False,
                rust_timeout=timeout,
                yield_on_timeout=True,
            )
        ) as events:
            await anext(events)
    except Exception:  # a folder is gone in this moment, or the kernel watches no more: looking still does
        await asyncio.sleep(SOON_MS / 1000)


def _folders(files: Iterable[Path]) -> set[Path]:
    """Where something has to happen if one of the files is to be another. Raises OSError."""
    folders: set[Path] = set()
    for file in files:
        path = file.absolute()
        for _ in range(MOST_LINKS):
            folders.add(path.parent)
            link = next((step for step in (path, *path.parents) if step.is_symlink()), None)
            if link is None:
                break
            folders.add(link.parent)
            path = link.parent / link.readlink() / path.relative_to(link)
    return folders


def _state(files: Iterable[Path]) -> list[tuple[int, ...] | None]:
    """What tells a file from the one that was there before, or could not be read; None where there is none."""
    states: list[tuple[int, ...] | None] = []
    for file in files:
        try:
            status = file.stat()
        except OSError:
            states.append(None)
        else:
            states.append((status.st_dev, status.st_ino, status.st_size, status.st_ctime_ns))
    return states


async def happened(event: asyncio.Event, *, within: float | None) -> bool:
    """Whether it did within so many seconds, or ever; then it may happen again."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(within):
            await event.wait()
            event.clear()
            return True
    return False


class CertificateRenewal:
    """Renews what certificate files are used for when they change; those that cannot be used raise an alarm, once, and
    are tried again, for what is wrong may be a clock, or lie elsewhere.
    """

    def __init__(self, renew: Callable[[], Awaitable[bool]], **whose: str) -> None:
        """`renew` reads the files and has them used; True: they had changed. It raises CertificateError. `whose`: for
        the log.
        """
        self.failed = False  # the files are bad, and the old certificate is in use
        self._renew = renew
        self._whose = whose
        self._look = asyncio.Event()

    def look_again(self) -> None:
        """Whether the files have changed or not."""
        self._look.set()

    async def follow(self, files: Iterable[Path]) -> None:
        """Runs until cancelled."""
        trying = lasting(self._keep_trying())
        try:
            await watch(files, self.look_again)
        finally:
            trying.cancel()

    async def _keep_trying(self) -> None:
        """If the pair is bad, once more after PATIENCE before the alarm."""
        pause: float | None = None
        while True:
            is_news = await happened(self._look, within=pause)
            error = await self._try()
            if error is None:
                pause = None
            elif is_news:
                pause = PATIENCE
            else:
                self._raise_alarm(error)
                pause = TRY_AGAIN

    async def _try(self) -> Exception | None:
        try:
            renewed = await self._renew()
        except Exception as error:  # a defect, too, must not end the trying
            return error
        refused, self.failed = self.failed, False
        if renewed or refused:
            log.info("certificate_renewed", **self._whose)
        return None

    def _raise_alarm(self, error: Exception) -> None:
        if self.failed:
            return
        self.failed = True
        problem, hint = f"internal error: {type(error).__name__}", None
        if isinstance(error, CertificateError):
            problem, hint = error.message, error.hint
        else:
            log.error("unexpected_error", exc_info=error)
        log.error("certificate_refused", **self._whose, problem=problem, hint=hint, kept="the old one")
