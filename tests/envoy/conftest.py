"""The stage is set once for all cases: a backend, and a gateway and an Envoy for each configuration."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.envoy.stage import Stage, staged
from tests.support.envoy import require_envoy


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    require_envoy()
    async with staged(tmp_path_factory.mktemp("stage")) as stage:
        yield stage
