"""A change of the configuration, and calls that run meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import yaml

from gateway.configuration_file import ConfigurationFile
from gateway.demo.pb import demo_pb2
from gateway.settings import load
from tests.support.frames import message
from tests.support.gateway import RunningGateway, eventually

ELSEWHERE = "https://elsewhere.example.com"


def elsewhere(configuration: dict[str, Any]) -> None:
    """Admits one more origin."""
    configuration["cors"]["allow_origins"].append(ELSEWHERE)


def count(number: int, interval_ms: int) -> bytes:
    return message(demo_pb2.CountRequest(count=number, interval_ms=interval_ms))


@asynccontextmanager
async def following(gateway: RunningGateway) -> AsyncIterator[ConfigurationFile]:
    """The gateway follows its file."""
    path = gateway.world.config_path
    path.write_text(yaml.safe_dump(gateway.configuration))
    file = ConfigurationFile(path, partial(load, path), gateway.gateway, lambda: None)
    try:
        yield file
    finally:
        await file.close()


class Load:
    """Calls, one after the other in each of some tasks, until it ends."""

    def __init__(self, gateway: RunningGateway) -> None:
        self._gateway = gateway
        self.codes: list[int] = []
        self._going_on = True

    async def __aenter__(self) -> "Load":
        self._callers = [asyncio.create_task(self._call()) for _ in range(4)]
        await self.more(20)
        return self

    async def __aexit__(self, *_exc: object) -> None:
        self._going_on = False
        await asyncio.gather(*self._callers)

    async def more(self, calls: int) -> None:
        wanted = len(self.codes) + calls
        await eventually(lambda: len(self.codes) >= wanted, 10)

    async def _call(self) -> None:
        while self._going_on:
            self.codes.append((await self._gateway.echo()).code)
