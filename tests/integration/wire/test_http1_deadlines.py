"""Over HTTP/1.1: deadlines, as they arrive at the backend, and as they end calls."""

import pytest

from tests.integration.wire.ways import told
from tests.support.backends import SCRIPT, ScriptedBackend
from tests.support.gateway import DEMO, RunningGateway, running, untouched
from tests.support.wire import connect, request

pytestmark = pytest.mark.asyncio(loop_scope="module")


ROUNDED = 1.01  # grpc-core writes few digits, and rounds up: the gateway's own timer is the exact one


async def test_without_a_deadline_there_is_none(gateway: RunningGateway) -> None:
    assert (await told(gateway))["left"] is None


@pytest.mark.parametrize(
    ("timeout", "least", "most"),
    [
        ("5S", 4, 5),
        ("5000m", 4, 5),
        ("2M", 119, 120),
        ("00000007S", 6, 7),
        ("3000000u", 2, 3),
        ("123456789m", 123_400, 123_457),  # more digits than the wire allows, as browsers' clients write
    ],
)
async def test_a_deadline_is_handed_on_less_the_time_it_took(
    gateway: RunningGateway, timeout: str, least: float, most: float
) -> None:
    assert least < (await told(gateway, ("grpc-timeout", timeout)))["left"] < most * ROUNDED


@pytest.mark.parametrize("timeout", ["", "5", "5s", "5h", "S", "-5S", "+5S", "5 S", "5.0S", "5SS", "0x5S", "5S, 5S"])
async def test_a_deadline_that_is_none(gateway: RunningGateway, backend: ScriptedBackend, timeout: str) -> None:
    async with untouched(gateway, backend):
        headers = gateway.fields(("grpc-timeout", timeout))
        assert (await gateway.ask(request(SCRIPT + "Tell", headers, b""))).code == 3
        headers = gateway.fields(("grpc-timeout", "5S"), ("grpc-timeout", "6S"))
        assert (await gateway.ask(request(SCRIPT + "Tell", headers, b""))).code == 3


async def test_a_deadline_that_has_passed(gateway: RunningGateway) -> None:
    assert (await gateway.ask(request(SCRIPT + "Tell", gateway.fields(("grpc-timeout", "0S")), b""))).code == 4


async def test_a_deadline_holds_while_the_body_is_still_to_come(gateway: RunningGateway) -> None:
    headers = gateway.fields(("grpc-timeout", "100m"), ("content-length", "100"))
    async with connect(gateway.port) as wire:
        assert (await wire.ask(request(DEMO + "Collect", headers, None))).code == 4


async def test_configured_deadlines(backend: ScriptedBackend) -> None:
    async with running(backend.behind(default_deadline="20s", max_deadline="1m")) as gateway:
        for timeout, most in ((None, 20), ("5S", 5), ("2H", 60)):
            more = [("grpc-timeout", timeout)] if timeout else []
            assert most - 1 < (await told(gateway, *more))["left"] < most * ROUNDED
