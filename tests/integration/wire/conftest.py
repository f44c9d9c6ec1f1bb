"""A gateway with pages, before the demo's backend and a scripted one, and the ways to it."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from gateway.front.pages import static_pages
from tests.integration.wire.ways import PAGE, Http2Way, Way
from tests.support.backends import ScriptedBackend, scripted
from tests.support.behaviours import Steps, deaf, decorated, flood, packed, refuse, tell
from tests.support.gateway import RunningGateway, running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def backend() -> AsyncIterator[ScriptedBackend]:
    async with scripted() as backend:
        backend.methods |= {"Tell": tell, "Decorated": decorated, "Refuse": refuse, "Packed": packed}
        backend.methods |= {"Flood": flood, "Deaf": deaf}
        yield backend


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(backend: ScriptedBackend, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningGateway]:
    folder = tmp_path_factory.mktemp("pages")
    (folder / "index.html").write_text(PAGE)
    async with running(backend.behind(), pages=static_pages(folder)) as gateway:
        yield gateway


@pytest.fixture
def steps(backend: ScriptedBackend) -> Steps:
    backend.methods["Steps"] = steps = Steps()
    return steps


@pytest.fixture(params=["tls", "plaintext"])
def way(request: pytest.FixtureRequest, gateway: RunningGateway) -> Way:
    """Over HTTP/2; a module may choose others."""
    return Http2Way(gateway, request.param == "tls")
