"""A world to run commands in."""

from collections.abc import AsyncIterator

import pytest

from gateway.demo.world import DemoWorld


@pytest.fixture
async def world() -> AsyncIterator[DemoWorld]:
    async with DemoWorld(http_port=0, https_port=0, issuer_port=0, admin_port=0) as demo_world:
        yield demo_world
