"""Who is shown the operator's pages."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from gateway.front.admin import AdminPages, Readiness
from gateway.settings import Address


class Operated:
    async def readiness(self) -> Readiness:
        return Readiness(ready=True, missing={})

    async def metrics(self) -> bytes:
        return b""

    async def configuration(self) -> dict[str, Any]:
        return {}


@pytest.fixture(params=["127.0.0.1", "::1", "0.0.0.0"])
async def port(request: pytest.FixtureRequest) -> AsyncIterator[tuple[str, int]]:
    pages = AdminPages(Operated())
    await pages.listen(Address(request.param, 0))
    assert pages.url is not None
    here = "[::1]" if request.param == "::1" else "127.0.0.1"
    yield here, int(pages.url.rpartition(":")[2])
    await pages.close()


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:9901", 200),
        ("LOCALHOST", 200),
        ("127.0.0.1:9901", 200),
        ("10.1.2.3:9901", 200),  # a probe that a sidecar passes on
        ("[::1]:9901", 200),
        ("rebound.example", 403),
        ("rebound.example:9901", 403),
        ("localhost.rebound.example", 403),
        ("127.0.0.1.rebound.example", 403),
        ("127.0.0.1@rebound.example", 403),
        ("[::1", 403),
        ("", 403),
    ],
)
async def test_no_web_page_reads_them_by_a_name_that_leads_here(port: tuple[str, int], host: str, status: int) -> None:
    here, number = port
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://{here}:{number}/config", headers={"Host": host}) as response,
    ):
        assert response.status == status
        assert (await response.text() == "{}") == (status == 200)
