"""The watch over files, through whatever links lead to them; renewed certificates, good and bad."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway import reload
from gateway.reload import CertificateRenewal, watch
from gateway.upstream.tls import CertificateError
from tests.support.gateway import eventually

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


# -- certificates ----------------------------------------------------------------------------------------------------


class Files:
    """What the files of one certificate hold."""

    def __init__(self) -> None:
        self.content = self.in_use = "first"
        self.reads = 0

    async def renew(self) -> bool:
        self.reads += 1
        if self.content == "defect":
            raise ValueError("nobody has thought of this")
        if self.content == "bad":
            raise CertificateError("certificate", "it is bad", "make another")
        changed, self.in_use = self.content != self.in_use, self.content
        return changed

    async def read(self) -> None:
        """Once more."""
        seen = self.reads
        await eventually(lambda: self.reads > seen)


@contextlib.asynccontextmanager
async def renewing(files: Files, *paths: Path) -> AsyncIterator[CertificateRenewal]:
    renewal = CertificateRenewal(files.renew, listener="listeners[0]")
    task = asyncio.create_task(renewal.follow(paths))
    await files.read()
    yield renewal
    assert not task.done()
    task.cancel()


@pytest.mark.parametrize("content", ["first", "second"])
async def test_the_end_of_a_refusal_is_told(content: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when the files hold again what is in use."""
    monkeypatch.setattr(reload, "PATIENCE", 0.01)
    files = Files()
    with capture_logs() as logs:
        async with renewing(files) as renewal:
            files.content = "bad"
            renewal.look_again()
            await eventually(lambda: renewal.failed)
            files.content = content
            for _ in range(2):
                renewal.look_again()
                await files.read()
    assert not renewal.failed
    told = [(entry["event"], entry["listener"]) for entry in logs]
    assert told == [("certificate_refused", "listeners[0]"), ("certificate_renewed", "listeners[0]")]


async def test_what_was_half_written_is_not_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reload, "PATIENCE", 3600.0)
    files = Files()
    with capture_logs() as logs:
        async with renewing(files) as renewal:
            for content in ("bad", "first"):
                files.content = content
                renewal.look_again()
                await files.read()
    assert logs == []


@pytest.mark.parametrize(
    ("content", "told"), [("bad", ["certificate_refused"]), ("defect", ["unexpected_error", "certificate_refused"])]
)
async def test_what_is_refused_is_told_once_and_tried_until_it_can_be_used(
    content: str, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing happens to the files: a clock was wrong, or descriptors were short."""
    monkeypatch.setattr(reload, "PATIENCE", 0.01)
    monkeypatch.setattr(reload, "TRY_AGAIN", 0.01)
    files = Files()
    with capture_logs() as logs:
        async with renewing(files) as renewal:
            files.content = content
            renewal.look_again()
            await eventually(lambda: files.reads > 5)
            assert [entry["event"] for entry in logs] == told
            files.content = "second"
            await eventually(lambda: files.in_use == "second")
            seen = files.reads
            await asyncio.sleep(0.05)
            assert files.reads == seen
    assert [entry["event"] for entry in logs] == [*told, "certificate_renewed"]


async def test_who_does_not_follow_any_more_does_not_try_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reload, "PATIENCE", 0.01)
    monkeypatch.setattr(reload, "TRY_AGAIN", 0.01)
    files = Files()
    files.content = "bad"
    with capture_logs():
        async with renewing(files) as renewal:
            await eventually(lambda: renewal.failed)
    await asyncio.sleep(0)
    seen = files.reads
    await asyncio.sleep(0.05)
    assert files.reads == seen


async def test_a_file_that_can_be_read_by_now_is_looked_at(tmp_path: Path) -> None:
    """Who writes it may give it to its reader later: that changes neither what it holds nor when it was written."""
    path, files = tmp_path / "key.pem", Files()
    path.write_text("a key")
    async with renewing(files, path):
        seen = files.reads
        await asyncio.sleep(0.5)  # for what happened before
        path.chmod(0o640)
        await eventually(lambda: files.reads > seen)
