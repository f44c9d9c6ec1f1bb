"""Channels to several targets: in turn, and past one that is not there."""

import socket
from typing import Any

import yaml

from gateway.settings import Upstream, parse
from gateway.upstream.channels import Channels
from tests.support.gateway import RunningGateway, eventually, running


def several(gateway: RunningGateway, *targets: str, connections: int = 1) -> Channels:
    configuration = yaml.safe_load(gateway.world.config_path.read_text())
    configuration["upstreams"]["demo"] |= {"targets": list(targets), "connections": connections}
    upstream: Upstream = parse(yaml.safe_dump(configuration), gateway.world.config_path.parent).upstreams["demo"]
    return Channels(upstream, max_response=1024, user_agent="test")


async def test_a_target_that_is_not_there_gets_no_calls_while_another_is() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound, not listening: refused at once
        async with running() as gateway:
            dead, alive = f"127.0.0.1:{nobody.getsockname()[1]}", f"127.0.0.1:{gateway.world.backend.port}"
            channels = several(gateway, dead, alive)
            assert await channels.reachable()
            taken = {channels.take() for _ in range(10)}
            await channels.close()
            assert len(taken) == 1


async def test_connections_are_taken_in_turn() -> None:
    async with running() as gateway:
        channels = several(gateway, f"127.0.0.1:{gateway.world.backend.port}", connections=3)
        await eventually(lambda: len({channels.take() for _ in range(9)}) == 3)
        await channels.close()


async def test_an_upstream_without_calls_is_seen_to_be_well() -> None:
    """Nobody should be woken for it."""

    def over_grpcio(configuration: dict[str, Any]) -> None:
        configuration["upstreams"]["demo"]["transport"] = "grpcio"

    async with running(over_grpcio) as gateway:
        upstream = gateway.gateway.upstream("demo")
        await eventually(lambda: upstream.connections == 1)
        assert [state.healthy for state in upstream.addresses] == [True]


async def test_nobody_there_is_not_reachable() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        async with running() as gateway:
            channels = several(gateway, f"127.0.0.1:{nobody.getsockname()[1]}")
            assert not await channels.reachable()
            await channels.close()
