"""The watch over files, through whatever links lead to them."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway import reload
from gateway.reload import watch

GONE = "(no such file)"


@pytest.fixture(autouse=True)
def _no_polling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reload, "POLL_MS", 3_600_000)  # only what the kernel tells counts here
    monkeypatch.setattr(reload, "SOON_MS", 200)  # save of what is not there


@contextlib.asynccontextmanager
async def watching(file: Path) -> AsyncIterator["asyncio.Queue[str]"]:
    """What the file holds, whenever it may have changed."""
    seen: asyncio.Queue[str] = asyncio.Queue()
    task = asyncio.create_task(watch([file], lambda: seen.put_nowait(file.read_text() if file.exists() else GONE)))
    await seen.get()
    yield seen
    assert not task.done()
    task.cancel()


async def soon(seen: "asyncio.Queue[str]") -> str:
    return await asyncio.wait_for(seen.get(), 5)


async def settled(seen: "asyncio.Queue[str]") -> str:
    """What is seen in the end, when nothing more happens for longer than a look takes."""
    last = await soon(seen)
    with contextlib.suppress(TimeoutError):
        while True:
            last = await asyncio.wait_for(seen.get(), 0.7)
    return last


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


# -- folders that go and come ----------------------------------------------------------------------------------------


def anew(folder: Path, content: str) -> Path:
    """A folder with the file `key`."""
    folder.mkdir(parents=True)
    (folder / "key").write_text(content)
    return folder / "key"


async def test_a_folder_that_goes_and_comes_again(tmp_path: Path) -> None:
    folder = tmp_path / "above" / "conf"
    async with watching(anew(folder, "1")) as seen:
        for version in ("2", "3"):
            shutil.rmtree(folder.parent)
            assert await soon(seen) == GONE
            anew(folder, version)
            assert await soon(seen) == version
        (folder / "key").write_text("4")
        assert await soon(seen) == "4"


async def test_a_folder_that_is_another_before_anybody_looks(tmp_path: Path) -> None:
    """Of the same name, and perhaps of the same inode."""
    folder = tmp_path / "conf"
    async with watching(anew(folder, "0")) as seen:
        for version in range(1, 3):
            shutil.rmtree(folder)
            anew(folder, f"{version}")
            assert await settled(seen) == f"{version}"
            (folder / "key").write_text(f"{version}, and more")
            assert await settled(seen) == f"{version}, and more"


async def test_a_folder_that_is_moved_and_another_in_its_place(tmp_path: Path) -> None:
    folder = tmp_path / "conf"
    async with watching(anew(folder, "0")) as seen:
        for version in range(1, 3):
            anew(tmp_path / "new", f"{version}")
            folder.rename(tmp_path / f"old{version}")
            (tmp_path / "new").rename(folder)
            assert await settled(seen) == f"{version}"
            (folder / "key").write_text(f"{version}, and more")
            assert await settled(seen) == f"{version}, and more"


async def test_a_folder_that_goes_before_it_is_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "conf"
    file = anew(folder, "1")
    find = reload._folders

    def gone_by_then(files: Iterable[Path]) -> set[Path]:
        folders = find(files)
        monkeypatch.setattr(reload, "_folders", find)
        shutil.rmtree(folder)
        return folders

    async with watching(file) as seen:
        monkeypatch.setattr(reload, "_folders", gone_by_then)
        file.write_text("2")
        assert await settled(seen) == GONE
        anew(folder, "3")
        assert await settled(seen) == "3"


async def test_what_happens_before_the_folder_is_watched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = anew(tmp_path / "conf", "1")
    find = reload._folders

    def changed_by_then(files: Iterable[Path]) -> set[Path]:
        folders = find(files)
        monkeypatch.setattr(reload, "_folders", find)
        file.write_text("3, and nothing after it")
        return folders

    async with watching(file) as seen:
        monkeypatch.setattr(reload, "_folders", changed_by_then)
        file.write_text("2")
        assert await settled(seen) == "3, and nothing after it"


async def test_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    folder = tmp_path / "volume" / "conf"
    async with watching(folder / "key") as seen:
        anew(folder, "1")
        assert await soon(seen) == "1"


async def test_a_watcher_that_fails_is_replaced_by_looking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel gives a user only so many."""

    def none_left(*_folders: Path, **_options: object) -> AsyncIterator[object]:
        raise RuntimeError("Error creating recommended watcher: Too many open files")

    monkeypatch.setattr(reload, "awatch", none_left)
    async with watching(anew(tmp_path / "conf", "1")) as seen:
        for version in ("2", "3"):
            (tmp_path / "conf" / "key").write_text(f"{version}...")
            (tmp_path / "conf" / "key").write_text(version)
            assert await settled(seen) == version


async def test_who_fails_once_is_told_again(tmp_path: Path) -> None:
    file = anew(tmp_path / "conf", "1")
    told: asyncio.Queue[str] = asyncio.Queue()

    def changed() -> None:
        told.put_nowait(file.read_text())
        raise ValueError("nobody has thought of this")

    task = asyncio.create_task(watch([file], changed))
    with capture_logs() as logs:
        assert await soon(told) == "1"
        file.write_text("2")
        assert await settled(told) == "2"
    assert {entry["event"] for entry in logs} == {"unexpected_error"}
    task.cancel()
