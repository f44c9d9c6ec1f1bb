"""A gateway before a hostile backend, which does well again after every test, and so do the calls."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.gateway import RunningGateway, eventually
from tests.support.hostile import ECHO, Bystander, under_attack
from tests.support.hostile_backend import HostileBackend, ask, gateway_before, hostile_backend, pool_of, well


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def backend() -> AsyncIterator[HostileBackend]:
    async with hostile_backend(well) as backend:
        yield backend


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(backend: HostileBackend) -> AsyncIterator[RunningGateway]:
    async with gateway_before(backend) as gateway:
        yield gateway


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def bystander(
    gateway: RunningGateway, backend: HostileBackend, caplog: pytest.LogCaptureFixture
) -> AsyncIterator[Bystander]:
    async with under_attack(gateway, caplog) as bystander:
        yield bystander
        await backend.turn(well)
        await eventually(lambda: bool(pool_of(gateway).ready))
        assert await ask(gateway) == ([ECHO[5:]], 0)
