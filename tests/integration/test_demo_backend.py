"""The demo backend with a real grpcio client over mutual TLS: every method, and whom it lets in."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
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
from gateway.demo.pb import demo_pb2_grpc, status_pb2
from gateway.demo.pki import Pair, Pki
from gateway.demo.signer import Signer

ISSUER = "https://issuer.example"
AUDIENCE = "demo-api"
SIGNER = Signer()
TIMEOUT = 5.0

Metadata = tuple[tuple[str, str | bytes], ...]
Call = Callable[[Any, Metadata], Awaitable[object]]


def token(**changes: object) -> str:
    now = int(time.time())
    good = {"iss": ISSUER, "aud": AUDIENCE, "sub": "reader@demo", "iat": now, "exp": now + 60, "roles": ["reader"]}
    return SIGNER.sign({**good, **changes})


def authorization(value: str) -> Metadata:
    return (("authorization", f"Bearer {value}"),)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


@asynccontextmanager
async def running(backend: Backend) -> AsyncIterator[Backend]:
    await backend.start()
    try:
        yield backend
    finally:
        await backend.stop()


@pytest.fixture
async def backend(pki: Pki) -> AsyncIterator[Backend]:
    async with running(Backend(pki, verify=JwtVerifier(SIGNER.jwks, issuer=ISSUER, audience=AUDIENCE))) as backend:
        yield backend


def credentials(ca: Path, pair: Pair | None) -> grpc.ChannelCredentials:
    key, certificate = (pair.private_key.read_bytes(), pair.certificate.read_bytes()) if pair else (None, None)
    return grpc.ssl_channel_credentials(ca.read_bytes(), key, certificate)


@asynccontextmanager
async def connect(backend: Backend, ca: Path, pair: Pair | None) -> AsyncIterator[grpc.aio.Channel]:
    """A channel as `pair`, or without a certificate. Closed before the backend stops, so that nothing is left open."""
    name = (("grpc.ssl_target_name_override", "backend.demo.internal"),)
    async with grpc.aio.secure_channel(f"127.0.0.1:{backend.port}", credentials(ca, pair), name) as channel:
        yield channel


@pytest.fixture
async def stub(backend: Backend, pki: Pki) -> AsyncIterator[Any]:
    async with connect(backend, pki.ca, pki.gateway) as channel:
        yield demo_pb2_grpc.DemoStub(channel)


def texts(*values: str) -> Iterator[pb.EchoRequest]:
    return (pb.EchoRequest(text=value) for value in values)


async def read(call: AsyncIterator[object]) -> list[Any]:
    return [reply async for reply in call]


# Of methods that take a stream nothing is written: grpc.aio forgets the status of a call that ends while a message is
# being written (grpc/grpc#36066), and who refuses does not wait for one.
CALLS: dict[str, Call] = {
    "Echo": lambda stub, sent: stub.Echo(pb.EchoRequest(), metadata=sent, timeout=TIMEOUT),
    "Shout": lambda stub, sent: stub.Shout(pb.EchoRequest(), metadata=sent, timeout=TIMEOUT),
    "WhoAmI": lambda stub, sent: stub.WhoAmI(pb.WhoAmIRequest(), metadata=sent, timeout=TIMEOUT),
    "Fail": lambda stub, sent: stub.Fail(pb.FailRequest(), metadata=sent, timeout=TIMEOUT),
    "Count": lambda stub, sent: read(stub.Count(pb.CountRequest(), metadata=sent, timeout=TIMEOUT)),
    "Collect": lambda stub, sent: stub.Collect(metadata=sent, timeout=TIMEOUT),
    "Chat": lambda stub, sent: read(stub.Chat(metadata=sent, timeout=TIMEOUT)),
}


async def refusal(call: Awaitable[object]) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


# --- the methods


async def test_echo_and_shout(stub: Any) -> None:
    sent = pb.EchoRequest(text="grüß dich", payload=b"\x00\xff")
    assert await stub.Echo(sent, metadata=authorization(token())) == pb.EchoReply(text="grüß dich", payload=b"\x00\xff")
    assert (await stub.Shout(sent, metadata=authorization(token()))).text == "GRÜSS DICH"


async def test_whoami_tells_what_arrived_and_keeps_the_token_to_itself(stub: Any) -> None:
    sent = (("x-list", "a"), ("x-list", "b"), ("x-raw-bin", b"\x00\xff"), *authorization(token(sub="someone")))
    reply = await stub.WhoAmI(pb.WhoAmIRequest(), metadata=sent, timeout=TIMEOUT)
    assert (reply.gateway, reply.subject, list(reply.roles)) == ("DNS:gateway.demo.internal", "someone", ["reader"])
    assert (reply.metadata["x-list"], reply.metadata["x-raw-bin"]) == ("a, b", "AP8=")
    assert "authorization" not in reply.metadata
    assert TIMEOUT - 1 < float(reply.deadline) <= TIMEOUT
    assert reply.peer.startswith("ipv4:127.0.0.1:")


async def test_whoami_without_a_deadline(stub: Any) -> None:
    assert (await stub.WhoAmI(pb.WhoAmIRequest(), metadata=authorization(token()))).deadline == ""


async def test_callers_at_the_same_time_are_not_mixed_up(stub: Any) -> None:
    names = [f"user-{number}" for number in range(20)]
    calls = [stub.WhoAmI(pb.WhoAmIRequest(), metadata=authorization(token(sub=name))) for name in names]
    assert [reply.subject for reply in await asyncio.gather(*calls)] == names


async def test_count_sends_as_many_as_asked(stub: Any) -> None:
    request = pb.CountRequest(count=3, interval_ms=1, payload_bytes=10)
    replies = await read(stub.Count(request, metadata=authorization(token())))
    assert [(reply.number, reply.payload) for reply in replies] == [(n, bytes(10)) for n in (1, 2, 3)]


@pytest.mark.parametrize("interval", [0, 60_000], ids=["busy", "idle"])
async def test_an_endless_count_stops_when_it_is_cancelled(stub: Any, backend: Backend, interval: int) -> None:
    call = stub.Count(pb.CountRequest(interval_ms=interval), metadata=authorization(token()))
    assert (await call.read()).number == 1
    assert backend.open_streams == 1
    call.cancel()
    await asyncio.wait_for(backend.wait_open(0), 1.0)


async def test_an_endless_count_stops_at_its_deadline(stub: Any, backend: Backend) -> None:
    call = read(stub.Count(pb.CountRequest(interval_ms=60_000), metadata=authorization(token()), timeout=0.3))
    assert (await refusal(call)).code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await asyncio.wait_for(backend.wait_open(0), 1.0)


async def test_count_refuses_payloads_that_would_fill_the_memory(stub: Any) -> None:
    call = read(stub.Count(pb.CountRequest(payload_bytes=2**32 - 1), metadata=authorization(token())))
    assert (await refusal(call)).code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
async def test_fail_ends_as_it_is_told(stub: Any, code: grpc.StatusCode) -> None:
    number = code.value[0]
    request = pb.FailRequest(code=number, message="weil ü\n%", detail="REASON")
    error = await refusal(stub.Fail(request, metadata=authorization(token())))
    assert (error.code(), error.details()) == (code, "weil ü\n%")
    status = status_pb2.RichStatus.FromString(dict(error.trailing_metadata())["grpc-status-details-bin"])
    assert (status.code, status.message) == (number, "weil ü\n%")
    (detail,) = status.details
    assert detail.type_url == "type.googleapis.com/google.rpc.ErrorInfo"
    assert status_pb2.ErrorInfo.FromString(detail.value).reason == "REASON"


async def test_fail_without_a_detail_has_no_details(stub: Any) -> None:
    error = await refusal(stub.Fail(pb.FailRequest(code=5), metadata=authorization(token())))
    assert "grpc-status-details-bin" not in dict(error.trailing_metadata() or ())


@pytest.mark.parametrize("code", [0, 17, -1])
async def test_fail_fails_even_when_it_is_told_not_to(stub: Any, code: int) -> None:
    error = await refusal(stub.Fail(pb.FailRequest(code=code), metadata=authorization(token())))
    assert (error.code(), error.details()) == (grpc.StatusCode.INVALID_ARGUMENT, "code must be 1 to 16")


async def test_collect_adds_up(stub: Any) -> None:
    reply = await stub.Collect(texts("a", "b", "c"), metadata=authorization(token()))
    assert reply == pb.CollectReply(count=3, text="a b c")


async def test_chat_answers_each_message_before_the_next(stub: Any, backend: Backend) -> None:
    call = stub.Chat(metadata=authorization(token()))
    for text in ("one", "two"):
        await call.write(pb.EchoRequest(text=text))
        assert (await call.read()).text == text
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF
    assert await call.code() is grpc.StatusCode.OK
    assert backend.calls == {"/demo.v1.Demo/Chat": 1}


# --- whom it lets in


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


# --- starting and stopping


async def test_a_graceful_stop_says_so_and_lets_calls_end(pki: Pki, backend: Backend) -> None:
    async with connect(backend, pki.ca, pki.gateway) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        chat = demo_pb2_grpc.DemoStub(channel).Chat(metadata=authorization(token()))
        await chat.write(pb.EchoRequest(text="before"))
        assert (await chat.read()).text == "before"
        stopping = asyncio.create_task(backend.stop(10.0))
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        watch.cancel()
        await chat.write(pb.EchoRequest(text="after"))
        assert (await chat.read()).text == "after"
        await chat.done_writing()
        await asyncio.wait_for(stopping, 5.0)
        assert await chat.code() is grpc.StatusCode.OK


async def test_it_serves_whoever_has_not_yet_heard_that_it_stops(
    pki: Pki, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.demo.backend.NOTICE", 0.5)
    async with connect(backend, pki.ca, pki.gateway) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        told = time.monotonic()
        stopping = asyncio.create_task(backend.stop())
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        async with connect(backend, pki.ca, pki.gateway) as late:  # a connection of its own
            await demo_pb2_grpc.DemoStub(late).Echo(pb.EchoRequest(), metadata=authorization(token()))
            assert not stopping.done()
            await stopping
        assert time.monotonic() - told >= 0.5
        assert await watch.code() is not grpc.StatusCode.OK  # the one who watches does not keep it


@pytest.mark.parametrize("watched", [False, True], ids=["never watched", "not any more"])
async def test_with_nobody_who_watches_it_stops_at_once(
    watched: bool, pki: Pki, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.demo.backend.NOTICE", 60.0)
    async with connect(backend, pki.ca, pki.gateway) as channel:
        await demo_pb2_grpc.DemoStub(channel).Echo(pb.EchoRequest(), metadata=authorization(token()))
        if watched:
            watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
            await watch.read()
        stopping = asyncio.create_task(backend.stop())
        if watched:
            await watch.read()
            watch.cancel()
        await asyncio.wait_for(stopping, 5.0)


async def test_it_may_be_started_again_on_the_port_it_had(pki: Pki, backend: Backend) -> None:
    await backend.stop()
    backend.bind = f"127.0.0.1:{backend.port}"
    assert await backend.start() == backend.port
    async with connect(backend, pki.ca, pki.gateway) as channel:
        await demo_pb2_grpc.DemoStub(channel).Echo(pb.EchoRequest(), metadata=authorization(token()))


async def test_a_port_that_is_taken_is_named(pki: Pki, backend: Backend) -> None:
    with pytest.raises(OSError, match=f"127.0.0.1:{backend.port}"):
        await Backend(pki, require_token=False, bind=f"127.0.0.1:{backend.port}").start()
