"""The development issuer, and a real HTTP client."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from gateway.demo.issuer import Issuer
from tests.integration.demo_issuer.asking import ORIGINS


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    issuer = Issuer(ORIGINS)
    await issuer.start()
    yield issuer
    await issuer.stop()


@pytest.fixture
async def client(issuer: Issuer) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(issuer.url) as client:
        yield client
