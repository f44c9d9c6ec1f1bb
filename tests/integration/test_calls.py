"""Calls through a real gateway to a real mTLS backend: what arrives, and what comes back."""

import pytest

from gateway.demo.pb import demo_pb2
from tests.support.gateway import DEMO, ORIGIN, RunningGateway, message, running


@pytest.fixture
async def gateway():
    async with running() as running_gateway:
        yield running_gateway


async def test_a_unary_call_comes_back_with_its_status_and_cors(gateway: RunningGateway) -> None:
    reply = await gateway.echo("grüß dich")
    assert demo_pb2.EchoReply.FromString(reply.messages[0]).text == "grüß dich"
    assert reply.code == 0
    assert reply.headers["content-type"] == "application/grpc-web+proto"
    assert reply.headers["access-control-allow-origin"] == ORIGIN
    assert "Origin" in reply.headers["vary"]
    assert gateway.backend_calls == 1
