"""Whom the demo backend lets in: its gateway, with a token; health and reflection ask for less."""

import time
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from gateway.demo.backend import Backend
from gateway.demo.interceptors import JwtVerifier
from gateway.demo.pb import demo_pb2 as pb
from gateway.demo.pb import demo_pb2_grpc
from gateway.demo.pki import Pki
from gateway.demo.signer import Signer
from tests.integration.demo_backend.calling import (
    AUDIENCE,
    CALLS,
    ISSUER,
    SIGNER,
    TIMEOUT,
    Metadata,
    authorization,
    connect,
    read,
    refusal,
    running,
    token,
)


@pytest.mark.parametrize("method", CALLS)
async def test_another_certificate_of_the_same_authority_is_not_the_gateway(
    pki: Pki, backend: Backend, method: str
) -> None:
    async with connect(backend, pki.ca, pki.stranger) as channel:
        error = await refusal(CALLS[method](demo_pb2_grpc.DemoStub(channel), authorization(token())))
    assert (error.code(), error.details()) == (
        grpc.StatusCode.PERMISSION_DENIED,
        "this backend serves its gateway only",
    )
    assert backend.calls == {f"/demo.v1.Demo/{method}": 1}


@pytest.mark.parametrize("method", ["Echo", "Count", "Collect", "Chat"])
async def test_without_a_certificate_nothing_arrives(pki: Pki, backend: Backend, method: str) -> None:
    async with connect(backend, pki.ca, None) as channel:
        error = await refusal(CALLS[method](demo_pb2_grpc.DemoStub(channel), authorization(token())))
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert not backend.calls


async def test_another_authority_is_not_believed(pki: Pki, backend: Backend, tmp_path: Path) -> None:
    other = Pki(tmp_path)  # its gateway.pem has the right name
    async with connect(backend, pki.ca, other.gateway) as channel:
        error = await refusal(CALLS["Echo"](demo_pb2_grpc.DemoStub(channel), authorization(token())))
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert not backend.calls


BAD_TOKENS: dict[str, Metadata] = {
    "none": (),
    "empty": authorization(""),
    "expired": authorization(token(exp=int(time.time()) - 1)),
    "audience": authorization(token(aud="other-api")),
    "issuer": authorization(token(iss="https://other.example")),
    "key": authorization(Signer().sign({"iss": ISSUER, "aud": AUDIENCE, "sub": "x", "exp": 4102444800})),
    "basic": (("authorization", f"Basic {token()}"),),
    "two": authorization(token()) * 2,
}


@pytest.mark.parametrize("bad", BAD_TOKENS)
@pytest.mark.parametrize("method", CALLS)
async def test_the_token_is_checked_again(stub: Any, method: str, bad: str) -> None:
    error = await refusal(CALLS[method](stub, BAD_TOKENS[bad]))
    assert (error.code(), error.details()) == (
        grpc.StatusCode.UNAUTHENTICATED,
        "the forwarded token is missing or not valid",
    )


async def test_the_certificate_is_judged_before_the_token(pki: Pki) -> None:
    seen: list[str] = []

    def verify(value: str) -> dict[str, object]:
        seen.append(value)
        return {}

    async with running(Backend(pki, verify=verify)) as backend, connect(backend, pki.ca, pki.stranger) as channel:
        await refusal(CALLS["Count"](demo_pb2_grpc.DemoStub(channel), authorization("any")))
    assert seen == []


async def test_several_gateways_may_be_admitted(pki: Pki) -> None:
    admit = ("DNS:gateway.demo.internal", "DNS:stranger.demo.internal")
    async with running(Backend(pki, admit=admit, require_token=False)) as backend:
        for pair, name in ((pki.gateway, admit[0]), (pki.stranger, admit[1])):
            async with connect(backend, pki.ca, pair) as channel:
                assert (await demo_pb2_grpc.DemoStub(channel).WhoAmI(pb.WhoAmIRequest())).gateway == name


async def test_a_token_may_be_left_out_where_it_is_not_required_but_not_be_bad(pki: Pki) -> None:
    verify = JwtVerifier(SIGNER.jwks, issuer=ISSUER, audience=AUDIENCE)
    async with (
        running(Backend(pki, verify=verify, require_token=False)) as backend,
        connect(backend, pki.ca, pki.gateway) as channel,
    ):
        stub: Any = demo_pb2_grpc.DemoStub(channel)
        assert (await stub.WhoAmI(pb.WhoAmIRequest())).subject == ""
        assert (await stub.WhoAmI(pb.WhoAmIRequest(), metadata=authorization(token()))).subject == "reader@demo"
        error = await refusal(stub.WhoAmI(pb.WhoAmIRequest(), metadata=BAD_TOKENS["expired"]))
        assert error.code() is grpc.StatusCode.UNAUTHENTICATED


def test_required_tokens_need_something_that_verifies_them(pki: Pki) -> None:
    with pytest.raises(ValueError, match="require_token=False"):
        Backend(pki)


# --- what is exempt


async def test_health_asks_for_neither(pki: Pki, backend: Backend) -> None:
    async with connect(backend, pki.ca, pki.stranger) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        for service in ("", "demo.v1.Demo"):
            request = health_pb2.HealthCheckRequest(service=service)
            assert (await health.Check(request)).status == health_pb2.HealthCheckResponse.SERVING
        watch = health.Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        watch.cancel()


async def list_services(channel: grpc.aio.Channel) -> set[str]:
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
    call = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]), timeout=TIMEOUT)
    (reply,) = await read(call)
    return {service.name for service in reply.list_services_response.service}


async def test_reflection_asks_for_the_gateway_alone(pki: Pki, backend: Backend) -> None:
    async with connect(backend, pki.ca, pki.gateway) as channel:
        assert {"demo.v1.Demo", "grpc.health.v1.Health"} <= await list_services(channel)
    async with connect(backend, pki.ca, pki.stranger) as channel:
        assert (await refusal(list_services(channel))).code() is grpc.StatusCode.PERMISSION_DENIED
