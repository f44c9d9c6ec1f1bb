"""Over HTTP/1.1: requests and replies as they come, piece by piece, for old clients too."""

import asyncio
import base64

import pytest

from gateway.demo.pb import demo_pb2
from tests.integration.wire.ways import ECHO, PREFLIGHT
from tests.support.backends import SCRIPT, ScriptedBackend
from tests.support.behaviours import Steps
from tests.support.frames import message, take_apart
from tests.support.gateway import BINARY, DEMO, ORIGIN, TEXT, RunningGateway, untouched
from tests.support.wire import PATIENCE, Answer, Pairs, Wire, chunked, connect, request, untext

pytestmark = pytest.mark.asyncio(loop_scope="module")


# --- the course of a reply


async def test_headers_come_before_the_first_message_and_each_message_as_it_is_sent(
    gateway: RunningGateway, steps: Steps
) -> None:
    async with connect(gateway.port) as wire:
        await wire.send(request(SCRIPT + "Steps", gateway.fields(), b""))
        head = await wire.head()
        assert (head.status, head.value("x-early")) == (200, "yes")
        assert head.value("transfer-encoding") == "chunked"
        for reply in (b"1", b"", b"3" * 100_000):
            steps.replies.put_nowait(reply)
            received = b""
            while len(received) < len(reply) + 5:
                received += await wire.chunk()
            assert received == message(reply)
        steps.replies.put_nowait(None)
        assert take_apart(await wire.chunk())[1].code == 0
        assert await wire.chunk() == b""


async def test_calls_follow_one_another_on_a_connection(gateway: RunningGateway) -> None:
    async with connect(gateway.port) as wire:
        for number in range(3):
            body = message(demo_pb2.EchoRequest(text=str(number)))
            assert (await wire.ask(request(DEMO + "Echo", gateway.fields(), body))).grpc()[0] == [body[5:]]
            refused = await wire.ask(request(DEMO + "Echo", gateway.fields(role=None), body))
            assert refused.code == 16
            assert (await wire.ask(request("/nothing", gateway.fields(), body))).status == 404


def old(call: bytes) -> bytes:
    """The same request from a client of HTTP/1.0."""
    return call.replace(b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", 1)


def assert_the_end_is_the_close(answer: Answer) -> None:
    assert answer.raw.startswith(b"HTTP/1.1 ")
    assert answer.value("connection") == "close"
    assert answer.value("transfer-encoding") is None


@pytest.mark.parametrize("kept", [[], [("connection", "keep-alive")], [("connection", "close")]])
@pytest.mark.parametrize("kind", [BINARY, TEXT])
async def test_an_old_client_gets_an_answer_without_chunks(gateway: RunningGateway, kept: Pairs, kind: str) -> None:
    headers = gateway.fields(*kept, content_type=kind)
    count = message(demo_pb2.CountRequest(count=3, interval_ms=20))
    for method, body, replies in (("Echo", ECHO, 1), ("Count", count, 3)):
        sent = base64.b64encode(body) if kind == TEXT else body
        async with connect(gateway.port) as wire:
            head = await ask_head(wire, old(request(DEMO + method, headers, sent)))
            assert_the_end_is_the_close(head)
            head.chunks = [await wire.rest()]
        messages, status, _ = head.grpc()
        assert (len(messages), status.code) == (replies, 0)


async def ask_head(wire: Wire, call: bytes) -> Answer:
    await wire.send(call)
    return await wire.head()


async def test_an_old_client_gets_each_message_as_it_is_sent(gateway: RunningGateway, steps: Steps) -> None:
    headers = gateway.fields(("connection", "keep-alive"))
    async with connect(gateway.port) as wire:
        head = await ask_head(wire, old(request(SCRIPT + "Steps", headers, b"")))
        assert_the_end_is_the_close(head)
        assert (head.value("x-early"), head.value("content-length")) == ("yes", None)
        for reply in (b"1", b"", b"3" * 300_000):
            steps.replies.put_nowait(reply)
            async with asyncio.timeout(PATIENCE):
                assert await wire.reader.readexactly(len(reply) + 5) == message(reply)
        steps.replies.put_nowait(None)
        assert take_apart(await wire.rest())[1].code == 0


async def test_an_old_client_gets_one_answer_only(gateway: RunningGateway, backend: ScriptedBackend) -> None:
    kept = ("connection", "keep-alive")
    shout = request(DEMO + "Shout", gateway.fields(kept, role="admin"), ECHO)
    for call, status in (
        (request(DEMO + "Echo", gateway.fields(kept), ECHO), 200),
        (request(DEMO + "Echo", gateway.fields(kept, role=None), ECHO), 200),
        (request("/nothing", gateway.fields(kept), ECHO), 404),
        (request(DEMO + "Echo", gateway.fields(kept, origin="http://evil.test"), ECHO), 403),
        (request(DEMO + "Echo", [("origin", ORIGIN), kept, *PREFLIGHT], None, "OPTIONS"), 204),
    ):
        async with connect(gateway.port) as wire:
            answer = await wire.ask(old(call) + shout)
            assert answer.status == status
            assert_the_end_is_the_close(answer)
            assert await wire.rest() == b""
    assert gateway.world.backend.calls[DEMO + "Shout"] == 0


# --- bodies in pieces


async def test_a_body_in_chunks_is_handed_on_as_it_comes(gateway: RunningGateway) -> None:
    async with connect(gateway.port) as wire:
        await wire.send(request(DEMO + "Chat", gateway.fields(("transfer-encoding", "chunked")), None))
        received: list[bytes] = []
        for number in range(3):
            sent = message(demo_pb2.EchoRequest(text=str(number)))
            await wire.send(chunked(sent[:3], sent[3:]))
            if not number:
                assert (await wire.head()).status == 200
            received.append(await wire.chunk())
            assert received[-1] == sent
        await wire.send(b"0\r\n\r\n")
        assert take_apart(await wire.chunk())[1].code == 0


async def test_a_body_one_byte_at_a_time(gateway: RunningGateway) -> None:
    async with connect(gateway.port) as wire:
        for byte in request(DEMO + "Echo", gateway.fields(), ECHO):
            await wire.send(bytes((byte,)))
        assert (await wire.answer()).grpc()[0] == [ECHO[5:]]


async def test_continue_is_said_when_it_is_waited_for(gateway: RunningGateway) -> None:
    headers = gateway.fields(("expect", "100-continue"), ("content-length", str(len(ECHO))))
    async with connect(gateway.port) as wire:
        await wire.send(request(DEMO + "Echo", headers, None))
        assert (await wire.head()).status == 100
        assert (await wire.ask(ECHO)).grpc()[0] == [ECHO[5:]]


async def test_a_refusal_does_not_wait_for_the_body(gateway: RunningGateway, backend: ScriptedBackend) -> None:
    async with untouched(gateway, backend):
        for changes, expected in (({"origin": "http://evil.test"}, 403), ({"content_type": "text/plain"}, 415)):
            headers = gateway.fields(("expect", "100-continue"), ("content-length", "5"), **changes)
            async with connect(gateway.port) as wire:
                await wire.send(request(DEMO + "Echo", headers, None))
                assert (await wire.head()).status == expected


async def test_the_wire_client_tells_a_broken_answer_from_a_good_one() -> None:
    for chunk in (b"QUI", b"QQ==QUI", b"A"):
        with pytest.raises(Exception, match="base64"):
            untext(chunk)
    with pytest.raises(AssertionError):
        take_apart(message(b"grpc-status:0\r\n", flags=0x80) + b"x")
