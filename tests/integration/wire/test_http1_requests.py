"""Over HTTP/1.1: which requests are calls, and what the others are told."""

import gzip

import pytest

from tests.integration.wire.ways import ECHO, assert_cors
from tests.support.backends import ScriptedBackend
from tests.support.gateway import BINARY, DEMO, ORIGIN, RunningGateway, untouched
from tests.support.wire import request

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"])
async def test_a_call_is_a_post(gateway: RunningGateway, backend: ScriptedBackend, method: str) -> None:
    async with untouched(gateway, backend):
        answer = await gateway.ask(request(DEMO + "Echo", gateway.fields(), ECHO, method))
    assert (answer.status, answer.value("allow")) == (405, "POST, OPTIONS")
    assert_cors(answer)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/demo.v1.Demo",
        "/demo.v1.Demo/",
        "/demo.v1.Demo/Echo/",
        "/demo.v1.Demo/Echo/x",
        "//demo.v1.Demo/Echo",
        "/demo.v1.Demo//Echo",
        "/./demo.v1.Demo/Echo",
        "/demo.v1.Demo/.",
        "/demo.v1.Demo/..",
        "/../Echo",
        "/./Echo",
        "/demo.v1.Demo/Ech%6F",
        "/demo.v1.Demo%2FEcho",
        "/demo.v1.De%4Do/Echo",
        "/demo.v1.Demo/Echo;x=1",
        "/demo.v1.Demo;x=1/Echo",
        "/demo.v1.Demo\\Echo",
        "/demo.v1.Demo/Echo%00",
        "/demo.v1.Demo/Ec:ho",
        "/demo.v1.Demo/Ec+ho",
    ],
)
async def test_there_is_one_spelling_of_a_path(gateway: RunningGateway, backend: ScriptedBackend, path: str) -> None:
    async with untouched(gateway, backend):
        answer = await gateway.ask(request(path, gateway.fields(), ECHO))
    assert answer.status == 404
    assert_cors(answer)


@pytest.mark.parametrize("tail", ["?", "?x=1", "#x", "?$httpHeaders=authorization:Bearer%20x", "#?x"])
async def test_a_path_takes_no_query(gateway: RunningGateway, backend: ScriptedBackend, tail: str) -> None:
    async with untouched(gateway, backend):
        answer = await gateway.ask(request(DEMO + "Echo" + tail, gateway.fields(), ECHO))
    assert answer.status == 400
    assert_cors(answer)


async def test_a_method_that_nobody_knows_is_a_grpc_answer(gateway: RunningGateway, backend: ScriptedBackend) -> None:
    async with untouched(gateway, backend):
        unrouted = await gateway.ask(request("/no.such.Service/Do", gateway.fields(), ECHO))
    assert unrouted.code == 12
    assert_cors(unrouted)
    unknown_there = await gateway.ask(request(DEMO + "Nope", gateway.fields(), ECHO))
    assert unknown_there.code == 12
    case_matters = await gateway.ask(request("/demo.v1.demo/Echo", gateway.fields(), ECHO))
    assert case_matters.code == 12


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "text/plain;application/grpc-web",
        "application/json",
        "application/grpc",
        "application/grpc+proto",
        "application/grpc-webx",
        "application/grpc-web-texts",
        "application/grpc-web-json",
        "application/grpc-web+",
        "application/grpc-web proto",
        "application/grpc-web, application/grpc-web",
        "application/grpc-web,text/plain",
        "",
    ],
)
async def test_other_content_types(gateway: RunningGateway, backend: ScriptedBackend, kind: str) -> None:
    async with untouched(gateway, backend):
        answer = await gateway.ask(request(DEMO + "Echo", gateway.fields(content_type=kind), ECHO))
    assert answer.status == 415
    assert (b"needs HTTP/2" in answer.body) == (kind in ("application/grpc", "application/grpc+proto"))
    assert_cors(answer)


async def test_no_content_type(gateway: RunningGateway, backend: ScriptedBackend) -> None:
    without = [pair for pair in gateway.fields() if pair[0] != "content-type"]
    async with untouched(gateway, backend):
        assert (await gateway.ask(request(DEMO + "Echo", without, ECHO))).status == 415


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "identity, gzip", "x"])
async def test_a_request_takes_no_content_encoding(
    gateway: RunningGateway, backend: ScriptedBackend, coding: str
) -> None:
    packed = gateway.fields(("content-encoding", coding))
    async with untouched(gateway, backend):
        answer = await gateway.ask(request(DEMO + "Echo", packed, gzip.compress(ECHO)))
    assert answer.status == 415
    assert_cors(answer)


async def test_content_encoding_identity_is_none(gateway: RunningGateway) -> None:
    plain = gateway.fields(("content-encoding", "Identity"))
    assert (await gateway.ask(request(DEMO + "Echo", plain, ECHO))).code == 0


@pytest.mark.parametrize(
    "repeated",
    [("origin", ORIGIN), ("origin", "http://evil.test"), ("content-type", BINARY), ("host", "gateway.test")],
)
async def test_headers_that_may_stand_once(
    gateway: RunningGateway, backend: ScriptedBackend, repeated: tuple[str, str]
) -> None:
    headers = gateway.fields(("host", "gateway.test"), repeated)
    async with untouched(gateway, backend):
        answer = await gateway.ask(request(DEMO + "Echo", headers, ECHO))
    assert answer.status == 400
    assert answer.value("access-control-allow-origin") is None
    if repeated[0] == "origin":
        assert answer.values("vary") == ["Origin"]


async def test_a_repeated_content_encoding_is_told_to_the_page(gateway: RunningGateway) -> None:
    twice = [("content-encoding", "identity")] * 2
    answer = await gateway.ask(request(DEMO + "Echo", gateway.fields(*twice), ECHO))
    assert answer.status == 400
    assert_cors(answer)
    foreign = await gateway.ask(request(DEMO + "Echo", gateway.fields(*twice, origin="http://evil.test"), ECHO))
    assert foreign.status == 403
