"""Calls through a real gateway to a real mTLS backend: what arrives, what comes back, and who may."""

import asyncio
import io
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from google.protobuf.any_pb2 import Any as PackedMessage
from structlog.testing import capture_logs

from gateway.demo.pb import demo_pb2
from gateway.demo.pb.status_pb2 import ErrorInfo, RichStatus
from tests.support.backends import SCRIPT, ScriptedBackend
from tests.support.frames import message
from tests.support.gateway import DEMO, ORIGIN, Reply, RunningGateway, eventually, running
from tests.support.wire import connect, request

pytestmark = pytest.mark.asyncio(loop_scope="module")

HEALTH = "/grpc.health.v1.Health/"


def echoes(*texts: str) -> list[bytes]:
    return [message(demo_pb2.EchoRequest(text=text)) for text in texts]


async def pieces(parts: list[bytes]) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def who(gateway: RunningGateway, role: str | None = "reader", **headers: str) -> demo_pb2.WhoAmIReply:
    body = message(demo_pb2.WhoAmIRequest())
    reply = await gateway.post(DEMO + "WhoAmI", body, gateway.headers(role, **headers))
    assert reply.code == 0, reply.status
    return demo_pb2.WhoAmIReply.FromString(reply.messages[0])


# --- every kind of method


async def test_a_unary_call_comes_back_with_its_status_and_cors(gateway: RunningGateway) -> None:
    before = gateway.backend_calls
    reply = await gateway.echo("grüß dich")
    assert demo_pb2.EchoReply.FromString(reply.messages[0]).text == "grüß dich"
    assert reply.code == 0
    assert reply.headers["content-type"] == "application/grpc-web+proto"
    assert reply.headers["access-control-allow-origin"] == ORIGIN
    assert "Origin" in reply.headers["vary"]
    assert gateway.backend_calls == before + 1


async def test_a_server_stream(gateway: RunningGateway) -> None:
    reply = await gateway.post(DEMO + "Count", message(demo_pb2.CountRequest(count=5, interval_ms=1)))
    assert [demo_pb2.CountReply.FromString(each).number for each in reply.messages] == [1, 2, 3, 4, 5]
    assert reply.code == 0


@pytest.mark.parametrize("in_chunks", [True, False])
async def test_a_client_stream(gateway: RunningGateway, in_chunks: bool) -> None:
    parts = echoes("one", "two", "three")
    reply = await gateway.post(DEMO + "Collect", pieces(parts) if in_chunks else b"".join(parts))
    assert demo_pb2.CollectReply.FromString(reply.messages[0]) == demo_pb2.CollectReply(count=3, text="one two three")
    assert (reply.code, len(reply.messages)) == (0, 1)


@pytest.mark.parametrize("in_chunks", [True, False])
async def test_a_stream_both_ways(gateway: RunningGateway, in_chunks: bool) -> None:
    parts = echoes(*(f"message {number}" for number in range(100)))
    reply = await gateway.post(DEMO + "Chat", pieces(parts) if in_chunks else b"".join(parts))
    assert [message(each) for each in reply.messages] == parts
    assert reply.code == 0


async def test_a_large_message_crosses_both_ways(gateway: RunningGateway) -> None:
    large = demo_pb2.EchoRequest(payload=bytes(range(256)) * 12 * 1024)
    reply = await gateway.post(DEMO + "Echo", io.BytesIO(message(large)))
    assert reply.messages == [large.SerializeToString()]


async def test_a_large_stream_crosses(gateway: RunningGateway) -> None:
    reply = await gateway.post(DEMO + "Count", message(demo_pb2.CountRequest(count=40, payload_bytes=300_000)))
    assert reply.code == 0
    assert [demo_pb2.CountReply.FromString(each).number for each in reply.messages] == list(range(1, 41))


async def test_a_failure_keeps_its_details(gateway: RunningGateway) -> None:
    failure = demo_pb2.FailRequest(code=9, message="schön: 100 %", detail="NOT_READY")
    reply = await gateway.post(DEMO + "Fail", message(failure))
    assert (reply.code, reply.messages, reply.trailers) == (9, [], [])
    assert reply.status is not None
    assert reply.status.message == "schön: 100 %"
    rich = RichStatus.FromString(reply.status.details or b"")
    packed: PackedMessage = rich.details[0]
    assert (rich.code, ErrorInfo.FromString(packed.value).reason) == (9, "NOT_READY")


async def test_calls_at_the_same_time_are_not_mixed_up(gateway: RunningGateway) -> None:
    async def one(name: str) -> str:
        headers = gateway.headers() | {"authorization": f"Bearer {gateway.token(sub=name)}"}
        reply = await gateway.post(DEMO + "WhoAmI", message(demo_pb2.WhoAmIRequest()), headers)
        return demo_pb2.WhoAmIReply.FromString(reply.messages[0]).subject

    names = [f"user-{number}" for number in range(50)]
    assert await asyncio.gather(*map(one, names)) == names


# --- what the backend sees


async def test_the_backend_sees_the_gateway_and_the_subject(gateway: RunningGateway) -> None:
    seen = await who(gateway, "admin", x_user_id="root", x_forwarded_for="203.0.113.1", x_mine="1")
    assert seen.gateway == "DNS:gateway.demo.internal"
    assert (seen.subject, list(seen.roles)) == ("admin@demo", ["reader", "admin"])
    assert seen.metadata["x-user-id"] == "admin@demo"
    assert seen.metadata["x-forwarded-for"] == "127.0.0.1"
    assert seen.metadata["x-forwarded-proto"] == "http"
    assert seen.metadata["x-forwarded-host"] == gateway.url.removeprefix("http://")
    assert seen.metadata["x-mine"] == "1"
    assert seen.deadline == ""


async def test_claims_are_forwarded_as_they_stand(backend: ScriptedBackend) -> None:
    def change(configuration: dict[str, Any]) -> None:
        backend.behind()(configuration)
        configuration["auth"]["forward_authorization"] = False
        configuration["auth"]["forward_claims"] = {
            "x-user-id": "sub", "x-tenant": "tenant", "x-level": "level", "x-flag": "flag", "x-list": "roles",
        }  # fmt: skip

    async with running(change) as gateway:
        claims: dict[str, Any] = {"sub": "Zoë\r\nx-admin: 1", "level": 7, "flag": True}
        headers = gateway.headers(x_user_id="root", x_tenant="theirs", x_list="admin")
        headers["authorization"] = f"Bearer {gateway.token(**claims)}"
        reply = await gateway.post(SCRIPT + "Tell", b"", headers)
        arrived = dict(json.loads(reply.messages[0])["metadata"])
        assert arrived["x-user-id"] == "Zo%C3%AB%0D%0Ax-admin: 1"
        assert arrived["x-level"] == "7"
        # What the token does not say, nobody says; and neither is the token itself handed on.
        assert arrived.keys().isdisjoint({"x-tenant", "x-flag", "x-list", "authorization", "x-admin"})


# --- who may call


async def call(gateway: RunningGateway, path: str, role: str | None, **headers: str) -> Reply:
    return await gateway.post(path, message(b""), gateway.headers(role, **headers))


async def test_a_role_is_asked_for_by_its_whole_name(gateway: RunningGateway) -> None:
    before = gateway.backend_calls
    assert (await call(gateway, DEMO + "Shout", "reader")).code == 7
    assert (await call(gateway, DEMO + "Shout", None)).code == 16
    for roles in (["admin.readonly"], ["ADMIN"], ["admi"], [], "reader", [["admin"]], {"admin": True}):
        token = gateway.token(roles=roles)
        headers = gateway.headers() | {"authorization": f"Bearer {token}"}
        reply = await gateway.post(DEMO + "Shout", message(b""), headers)
        assert reply.code == 7, roles
        assert reply.headers["www-authenticate"] == 'Bearer error="insufficient_scope"'
        assert reply.messages == []
    assert gateway.backend_calls == before
    assert (await call(gateway, DEMO + "Shout", "admin")).code == 0


async def test_a_method_without_a_rule_is_closed() -> None:
    def change(configuration: dict[str, Any]) -> None:
        rules = configuration["authorization"]["rules"]
        rules[0]["methods"].remove("/demo.v1.Demo/Count")

    async with running(change) as gateway:
        assert (await call(gateway, DEMO + "Count", "admin")).code == 7
        assert (await call(gateway, DEMO + "Count", None)).code == 16
        assert gateway.backend_calls == 0
        assert (await call(gateway, DEMO + "Echo", "reader")).code == 0


async def test_public_methods_do_not_read_the_token(gateway: RunningGateway) -> None:
    before = gateway.backend_calls
    for authorization in (None, "Bearer rubbish", "Basic eDp5", ""):
        headers = {} if authorization is None else {"authorization": authorization}
        assert (await call(gateway, HEALTH + "Check", None, **headers)).code == 0, authorization
    for path in ("Watch", "check", "Chec", "CheckX"):
        assert (await call(gateway, HEALTH + path, None)).code == 16, path
    assert (await call(gateway, HEALTH + "Watch", "reader")).code == 7
    assert gateway.backend_calls == before + 4
    for path in ("Check/", "Check?x", "/Check"):
        assert (await call(gateway, HEALTH + path, None)).http in (400, 404)


async def test_a_shadow_denies_nobody_who_is_known_and_says_whom_it_would() -> None:
    def change(configuration: dict[str, Any]) -> None:
        configuration["authorization"]["shadow"] = True

    async with running(change) as gateway:
        with capture_logs() as events:
            assert (await call(gateway, DEMO + "Shout", "reader")).code == 0
        denied = [event for event in events if event["event"] == "shadow_denied"]
        assert [(event["method"], event["roles"]) for event in denied] == [(DEMO + "Shout", ["reader"])]
        with capture_logs() as events:
            assert (await call(gateway, DEMO + "Shout", "admin")).code == 0
            assert (await call(gateway, DEMO + "Echo", "reader")).code == 0
        assert not [event for event in events if event["event"] == "shadow_denied"]
        assert (await call(gateway, DEMO + "Shout", None)).code == 16
        assert (await call(gateway, DEMO + "Shout", None, authorization="Bearer x")).code == 16
        assert gateway.backend_calls == 3


async def test_a_stream_ends_with_its_token(gateway: RunningGateway) -> None:
    token = gateway.token(exp=int(time.time()) + 1)
    headers = gateway.headers() | {"authorization": f"Bearer {token}"}
    async with asyncio.timeout(5):
        reply = await gateway.post(DEMO + "Count", message(demo_pb2.CountRequest(interval_ms=60_000)), headers)
    assert (reply.code, len(reply.messages)) == (16, 1)
    await asyncio.wait_for(gateway.world.backend.wait_open(0), 1.0)
    assert (await gateway.post(DEMO + "Echo", message(b""), headers)).code == 16


# --- how much at once


async def test_calls_at_once_are_counted(backend: ScriptedBackend) -> None:
    def change(configuration: dict[str, Any]) -> None:
        configuration["limits"] = {"max_calls": 2}

    async with running(change) as gateway:
        idle = request(DEMO + "Count", gateway.fields(), message(demo_pb2.CountRequest(interval_ms=60_000)))
        async with connect(gateway.port) as one, connect(gateway.port) as two:
            for wire in (one, two):
                await wire.send(idle)
                await wire.head()
                await wire.chunk()
            full = await gateway.echo()
            assert (full.code, full.headers["access-control-allow-origin"]) == (8, ORIGIN)
            assert gateway.backend_calls == 2
            one.reset()
            await asyncio.wait_for(gateway.world.backend.wait_open(1), 1.0)
            assert (await gateway.echo()).code == 0


async def test_connections_are_counted() -> None:
    def change(configuration: dict[str, Any]) -> None:
        configuration["limits"] = {"max_connections": 2}

    async with running(change) as gateway:
        ask = request(DEMO + "Echo", gateway.fields(), message(b""))
        async with connect(gateway.port) as one, connect(gateway.port) as two:
            assert (await one.ask(ask)).code == 0
            assert (await two.ask(ask)).code == 0
            async with connect(gateway.port) as three:
                assert await three.rest() == b""
            assert (await one.ask(ask)).code == 0
            two.reset()
            await eventually(lambda: gateway.gateway._census.connections == 1)
            async with connect(gateway.port) as three:
                assert (await three.ask(ask)).code == 0
