"""A gateway under attack over HTTP/1.1, and what must hold after every test."""

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from gateway.front import connection as front_connection
from tests.faults.hostile_http1.attack import CANARY, STALL, ask_echo
from tests.support.backends import ScriptedBackend, scripted
from tests.support.behaviours import deaf, flood, silent
from tests.support.gateway import RunningGateway, eventually, running
from tests.support.hostile import unshown


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def backend() -> AsyncIterator[ScriptedBackend]:
    async with scripted() as backend:
        backend.methods |= {"Silent": silent, "Deaf": deaf, "Flood": flood}
        yield backend


@pytest.fixture(scope="module")
def time_outs() -> tuple[float, float]:
    """Seconds: body_stall, and how long a body that nobody wants is still read."""
    return STALL, 1.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(backend: ScriptedBackend, time_outs: tuple[float, float]) -> AsyncIterator[RunningGateway]:
    stall, patience = time_outs
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(front_connection, "LINGERING", patience)
        async with running(backend.behind(body_stall=f"{int(stall * 1000)}ms")) as gateway:
            await ask_echo(gateway)
            await nothing_open(gateway, backend)
            yield gateway


async def nothing_open(gateway: RunningGateway, backend: ScriptedBackend) -> None:
    """Nor at the backends, where a call ends a moment after its answer: the next one is not to be taken for it."""
    await eventually(lambda: gateway.open_calls == 0 and backend.open + gateway.world.backend.open_streams == 0)


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def defects(
    gateway: RunningGateway, backend: ScriptedBackend, caplog: pytest.LogCaptureFixture
) -> AsyncIterator[list[str]]:
    """After every test: no call, task or stream is left, nothing was logged as a defect, and calls go on.

    The list is of log events that a test brings about on purpose.
    """
    tasks = len(asyncio.all_tasks())
    expected: list[str] = []
    with capture_logs() as events:
        yield expected
        await nothing_open(gateway, backend)
        await eventually(lambda: len(asyncio.all_tasks()) <= tasks)
        await ask_echo(gateway)
        await nothing_open(gateway, backend)
    assert [event for event in events if event["log_level"] == "error" and event["event"] not in expected] == []
    loud = [each for each in caplog.records if each.levelno >= logging.ERROR and not each.name.startswith("grpc")]
    assert loud == []
    assert CANARY not in str(unshown(event for event in events if event["event"] not in expected))
