"""The watch over the configuration: what a reload comes to does not end it."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from structlog.testing import capture_logs

from gateway.configuration_file import ConfigurationFile


async def test_a_defect_in_a_reload_does_not_end_the_watch(tmp_path: Path) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_text("first")
    reloads: asyncio.Queue[Any] = asyncio.Queue()

    async def reload(load: Callable[[], Any]) -> None:
        reloads.put_nowait(load())
        raise ZeroDivisionError("a defect")

    settings = SimpleNamespace(authorization=SimpleNamespace(descriptors=None))
    gateway: Any = SimpleNamespace(settings=settings, reload=reload)
    with capture_logs() as events:
        file = ConfigurationFile(path, path.read_text, gateway, changed=lambda: None)
        assert await asyncio.wait_for(reloads.get(), 5) == "first"
        file.read_again()
        assert await asyncio.wait_for(reloads.get(), 5) == "first"
        await file.close()
    assert [event["event"] for event in events] == ["unexpected_error", "configuration_read_again", "unexpected_error"]
