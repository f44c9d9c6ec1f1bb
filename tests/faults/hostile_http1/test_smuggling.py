"""A hostile peer over HTTP/1.1: requests hidden in requests. Nobody takes them for any."""

import pytest

from gateway.demo.pb import demo_pb2
from tests.faults.hostile_http1.attack import BYE, CANARY, ECHO, assert_gives_nothing_away
from tests.support.frames import message
from tests.support.gateway import DEMO, RunningGateway
from tests.support.wire import chunked, connect, request

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize("protocol", ["websocket", "h2c", "zqxjk", "websocket, h2c", "TLS/1.0, HTTP/1.1"])
@pytest.mark.parametrize("in_chunks", [False, True])
async def test_an_upgrade_hides_no_request(gateway: RunningGateway, protocol: str, in_chunks: bool) -> None:
    hidden = request(DEMO + "Shout", gateway.fields(role="admin"), ECHO)
    upgrade = [("connection", "upgrade, http2-settings"), ("upgrade", protocol), ("http2-settings", "AAMAAABkAAQA")]
    before = gateway.backend_calls

    # In the body: it is the body, and a bad one.
    length = ("transfer-encoding", "chunked") if in_chunks else ("content-length", str(len(hidden)))
    body = chunked(hidden) + BYE if in_chunks else hidden
    async with connect(gateway.port) as wire:
        answer = await wire.ask(request(DEMO + "Collect", gateway.fields(*upgrade, length), None) + body)
        assert answer.code == 3
        assert await wire.rest() == b""
    assert gateway.backend_calls - before <= 1
    assert gateway.world.backend.calls[DEMO + "Shout"] == 0

    # Behind the body: the connection is over before it is read.
    length = ("transfer-encoding", "chunked") if in_chunks else ("content-length", str(len(ECHO)))
    body = chunked(ECHO) + BYE if in_chunks else ECHO
    async with connect(gateway.port) as wire:
        answer = await wire.ask(request(DEMO + "Echo", gateway.fields(*upgrade, length), None) + body + hidden)
        assert (answer.code, answer.value("connection"), answer.value("upgrade")) == (0, "close", None)
        assert await wire.rest() == b""
    assert gateway.world.backend.calls[DEMO + "Shout"] == 0


async def test_trailers_of_the_body_are_no_headers(gateway: RunningGateway) -> None:
    late = b"0\r\nx-late: 1\r\nauthorization: Bearer zqxjk\r\ncontent-type: text/html\r\n\r\n"
    call = request(DEMO + "WhoAmI", gateway.fields(("transfer-encoding", "chunked")), None)
    answer = await gateway.ask(call + chunked(message(b"")) + late)
    messages, status, _ = answer.grpc()
    assert status.code == 0
    assert "x-late" not in demo_pb2.WhoAmIReply.FromString(messages[0]).metadata


async def test_a_body_that_was_refused_is_not_taken_for_a_request(gateway: RunningGateway) -> None:
    hidden = request(DEMO + "Shout", gateway.fields(role="admin"), ECHO)
    before = gateway.backend_calls
    for changes in ({"content_type": "text/plain"}, {"origin": "http://evil.test"}, {"authorization": "Bearer x"}):
        headers = gateway.fields(("content-length", str(len(hidden))), **changes)
        async with connect(gateway.port) as wire:
            head = request(DEMO + "Echo", headers, None)
            first = await wire.ask(head)  # refused before a byte of the body
            assert first.status in (415, 403, 200)
            await wire.send(hidden)
            await wire.ask(request("/nothing", gateway.fields(), b""))
    assert gateway.backend_calls == before


async def test_pipelined_requests_are_answered_in_order(gateway: RunningGateway) -> None:
    texts = [f"message {number}" for number in range(100)]
    calls = [request(DEMO + "Echo", gateway.fields(), message(demo_pb2.EchoRequest(text=text))) for text in texts]
    async with connect(gateway.port) as wire:
        wire.writer.write(b"".join(calls))
        for text in texts:
            messages = (await wire.answer()).grpc()[0]
            assert demo_pb2.EchoReply.FromString(messages[0]).text == text


async def test_a_bad_request_behind_a_good_one(gateway: RunningGateway) -> None:
    async with connect(gateway.port) as wire:
        good = request(DEMO + "Count", gateway.fields(), message(demo_pb2.CountRequest(count=2, interval_ms=100)))
        await wire.send(good)
        await wire.head()
        await wire.send(f"{CANARY}\r\n\r\n".encode())
        rest = await wire.rest()
    assert b"grpc-status:0\r\n\r\n0\r\n\r\nHTTP/1.1 400 " in rest
    assert_gives_nothing_away(rest)
