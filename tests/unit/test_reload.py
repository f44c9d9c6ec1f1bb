"""The watch over files, through whatever links lead to them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway import reload
from gateway.reload import watch


@pytest.fixture(autouse=True)
def _no_polling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reload, "POLL_MS", 3_600_000)  # only what the kernel tells counts here


@contextlib.asynccontextmanager
async def watching(file: Path) -> AsyncIterator["asyncio.Queue[str]"]:
    """What the file holds, whenever it may have changed."""
    seen: asyncio.Queue[str] = asyncio.Queue()
    task = asyncio.create_task(watch([file], lambda: seen.put_nowait(file.read_text())))
    await seen.get()
    await asyncio.sleep(0.3)  # the kernel is asked in another thread, which tells nobody when it has begun
    yield seen
    task.cancel()


async def soon(seen: "asyncio.Queue[str]") -> str:
    return await asyncio.wait_for(seen.get(), 5)


async def test_a_file_that_is_written_and_one_that_is_put_in_its_place(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("1")
    async with watching(file) as seen:
        file.write_text("2")
        assert await soon(seen) == "2"
        (tmp_path / "new").write_text("3")
        (tmp_path / "new").replace(file)
        assert await soon(seen) == "3"


@pytest.mark.parametrize("below", ["", "tls"])
async def test_a_mount_of_kubernetes_is_followed_again_and_again(tmp_path: Path, below: str) -> None:
    """mount/tls -> ..data/tls, mount/..data -> ..1: a renewal is a new folder, a turned link, and the old one gone."""
    mount = tmp_path / "mount"
    mount.mkdir()

    def project(version: int) -> None:
        folder = mount / f"..{version}"
        (folder / below).mkdir(parents=True)
        (folder / below / "key").write_text(str(version))
        (mount / "..new").symlink_to(folder.name)
        (mount / "..new").replace(mount / "..data")
        for old in mount.glob(f"..{version - 1}"):
            (old / below / "key").unlink()
            if below:
                (old / below).rmdir()
            old.rmdir()

    project(1)
    name = below or "key"
    (mount / name).symlink_to(Path("..data") / name)
    async with watching(mount / below / "key") as seen:
        for version in (2, 3, 4):
            project(version)
            assert await soon(seen) == str(version)
            await asyncio.sleep(0.3)


async def test_a_folder_above_may_be_the_link(tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name / "deep").mkdir(parents=True)
        (tmp_path / name / "deep" / "key").write_text(name)
    (tmp_path / "current").symlink_to("first")
    async with watching(tmp_path / "current" / "deep" / "key") as seen:
        (tmp_path / "new").symlink_to("second")
        (tmp_path / "new").replace(tmp_path / "current")
        assert await soon(seen) == "second"
