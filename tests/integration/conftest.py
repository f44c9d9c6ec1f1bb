"""A gateway before the demo's backend, and a backend that tells what arrives, for the modules that set up no others."""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.support.backends import ScriptedBackend, scripted
from tests.support.behaviours import tell
from tests.support.gateway import RunningGateway, running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway() -> AsyncIterator[RunningGateway]:
    async with running() as gateway:
        yield gateway


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def backend() -> AsyncIterator[ScriptedBackend]:
    async with scripted() as backend:
        backend.methods["Tell"] = tell
        yield backend
