"""A gateway under attack over HTTP/2, beside somebody who notices nothing."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.backends import ScriptedBackend, scripted
from tests.support.behaviours import flood, silent
from tests.support.gateway import RunningGateway, running
from tests.support.hostile import Bystander, under_attack


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def backend() -> AsyncIterator[ScriptedBackend]:
    async with scripted() as backend:
        backend.methods |= {"Silent": silent, "Flood": flood}
        yield backend


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(backend: ScriptedBackend) -> AsyncIterator[RunningGateway]:
    async with running(backend.behind()) as gateway:
        yield gateway


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def bystander(
    gateway: RunningGateway, backend: ScriptedBackend, caplog: pytest.LogCaptureFixture
) -> AsyncIterator[Bystander]:
    async with under_attack(gateway, caplog, backend) as bystander:
        yield bystander
