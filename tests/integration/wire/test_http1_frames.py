"""Over HTTP/1.1: messages in frames and text, compressed or not, and the types that say so."""

import base64
import gzip
import json
import struct
import zlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from gateway.demo.pb import demo_pb2
from tests.integration.wire.ways import ECHO, OK_FRAME, assert_cors
from tests.support.backends import SCRIPT, ScriptedBackend
from tests.support.behaviours import Steps
from tests.support.frames import message, no_base64
from tests.support.gateway import BINARY, DEMO, TEXT, RunningGateway, running, untouched
from tests.support.wire import chunked, connect, request, untext

pytestmark = pytest.mark.asyncio(loop_scope="module")


MAX_MESSAGE = 64 * 1024


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(backend: ScriptedBackend) -> AsyncIterator[RunningGateway]:
    async with running(backend.behind(max_request_message="64KiB", max_response_message="1MiB")) as gateway:
        yield gateway


# --- the answer's type


@pytest.mark.parametrize(
    ("kind", "accept", "reply"),
    [
        ("application/grpc-web", None, "application/grpc-web"),
        ("application/grpc-web+proto", None, "application/grpc-web+proto"),
        ("application/grpc-web-text", None, "application/grpc-web-text"),
        ("application/grpc-web-text+proto", None, "application/grpc-web-text+proto"),
        ("Application/GRPC-Web+Proto ; charset=utf-8", None, "application/grpc-web+proto"),
        ("application/grpc-web+thrift", None, "application/grpc-web+thrift"),
        ("application/grpc-web+proto", "application/grpc-web-text", "application/grpc-web-text+proto"),
        ("application/grpc-web-text+proto", "application/grpc-web+proto", "application/grpc-web+proto"),
        ("application/grpc-web-text", "*/*", "application/grpc-web-text"),
        ("application/grpc-web", "text/html, application/grpc-web-text;q=0.5", "application/grpc-web-text"),
        ("application/grpc-web", "application/grpc-web-text;q=0", "application/grpc-web"),
    ],
)
async def test_content_type_and_accept(
    gateway: RunningGateway, backend: ScriptedBackend, kind: str, accept: str | None, reply: str
) -> None:
    headers = gateway.fields(content_type=kind, **({"accept": accept} if accept else {}))
    body = message(b"m")
    answer = await gateway.ask(
        request(SCRIPT + "Tell", headers, base64.b64encode(body) if "-text" in kind.lower() else body)
    )
    assert answer.value("content-type") == reply
    messages, status, _ = answer.grpc()
    assert status.code == 0
    assert json.loads(messages[0])["messages"] == [base64.b64encode(b"m").decode()]


async def test_accept_may_be_repeated(gateway: RunningGateway) -> None:
    headers = gateway.fields(("accept", "*/*"), ("accept", "application/grpc-web-text"))
    answer = await gateway.ask(request(DEMO + "Echo", headers, ECHO))
    assert answer.value("content-type") == "application/grpc-web-text+proto"


# --- frames


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"\x80\x00\x00\x00\x00", 3),
        (b"\x02\x00\x00\x00\x00", 3),
        (b"\xff\x00\x00\x00\x00", 3),
        (ECHO + b"\x80\x00\x00\x00\x00", 3),
        (b"\x00", 3),
        (b"\x00\x00\x00\x00", 3),
        (b"\x00\x00\x00\x00\x01", 3),
        (ECHO[:-1], 3),
        (message(bytes(MAX_MESSAGE + 1)), 8),
        (b"\x00\xff\xff\xff\xff", 8),
        (message(b"\x0a\x01x", flags=1), 13),
        (b"garbage", 3),
    ],
)
async def test_broken_frames(gateway: RunningGateway, body: bytes, code: int) -> None:
    for kind, sent in ((BINARY, body), (TEXT, base64.b64encode(body))):
        answer = await gateway.ask(request(DEMO + "Collect", gateway.fields(content_type=kind), sent))
        messages, status, _ = answer.grpc()
        assert (messages, status.code) == ([], code), kind
        assert_cors(answer)


async def test_a_limit_is_decided_on_the_prefix(gateway: RunningGateway, backend: ScriptedBackend) -> None:
    size = MAX_MESSAGE + 1
    head = request(DEMO + "Echo", gateway.fields(("content-length", str(size + 5))), None)
    async with untouched(gateway, backend), connect(gateway.port) as wire:
        answer = await wire.ask(head + struct.pack(">BI", 0, size))
        assert answer.code == 8


async def test_the_largest_message(gateway: RunningGateway) -> None:
    largest = message(demo_pb2.EchoRequest(payload=bytes(MAX_MESSAGE - 4)))
    assert len(largest) == MAX_MESSAGE + 5
    answer = await gateway.ask(request(DEMO + "Echo", gateway.fields(), largest))
    assert answer.grpc()[0] == [largest[5:]]


async def test_a_reply_over_the_limit(gateway: RunningGateway) -> None:
    ask = message(demo_pb2.CountRequest(count=1, payload_bytes=2 * 1024 * 1024))
    answer = await gateway.ask(request(DEMO + "Count", gateway.fields(), ask))
    assert (answer.grpc()[0], answer.code) == ([], 8)


async def test_an_empty_message_is_a_message(gateway: RunningGateway) -> None:
    answer = await gateway.ask(request(DEMO + "Echo", gateway.fields(), message(b"")))
    assert answer.grpc()[0] == [b""]
    answer = await gateway.ask(request(DEMO + "Collect", gateway.fields(), message(b"") * 3))
    assert demo_pb2.CollectReply.FromString(answer.grpc()[0][0]).count == 3


@pytest.mark.parametrize("count", [0, 1, 3])
async def test_the_backend_judges_how_many_messages_there_are(gateway: RunningGateway, count: int) -> None:
    answer = await gateway.ask(request(SCRIPT + "Tell", gateway.fields(), message(b"m") * count))
    assert json.loads(answer.grpc()[0][0])["messages"] == ["bQ=="] * count
    before = gateway.backend_calls
    # A unary method of grpc's Python server takes the first of several, and waits for ever for the first of none.
    await gateway.ask(request(DEMO + "Echo", gateway.fields(("grpc-timeout", "200m")), ECHO * count))
    assert gateway.backend_calls == before + 1


async def test_replies_that_the_backend_compressed_cross_as_they_are_for_who_can_open_them(
    gateway: RunningGateway, backend: ScriptedBackend
) -> None:
    headers = gateway.fields(("grpc-accept-encoding", "gzip"))
    answer = await gateway.ask(request(SCRIPT + "Packed", headers, message(b"")))
    messages, status, _ = answer.grpc()
    assert ([gzip.decompress(each) for each in messages], status.code) == ([b"m" * 10_000], 0)
    assert answer.body[0] == 1
    assert answer.value("grpc-encoding") == "gzip"
    assert "grpc-encoding" in (answer.value("access-control-expose-headers") or "").split(", ")


@pytest.mark.parametrize("transport", ["h2", "grpcio"])
async def test_replies_that_the_backend_compressed_arrive_plain(backend: ScriptedBackend, transport: str) -> None:
    def change(configuration: dict[str, Any]) -> None:
        configuration["upstreams"]["script"] = backend.section() | {"transport": transport}
        configuration["authorization"]["default"] = "authenticated"

    async with running(change) as gateway:
        answer = await gateway.ask(request(SCRIPT + "Packed", gateway.fields(), message(b"")))
    assert (answer.grpc()[0], answer.code) == ([b"m" * 10_000], 0)
    assert answer.value("grpc-encoding") is None


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [("gzip", gzip.compress(b"m" * 1000)), ("deflate", zlib.compress(b"m" * 1000))],
    ids=["gzip", "deflate"],
)
async def test_compressed_messages(gateway: RunningGateway, encoding: str, packed: bytes) -> None:
    sent = message(packed, flags=1) + message(b"plain")
    headers = gateway.fields(("grpc-encoding", encoding), ("grpc-accept-encoding", "gzip"))
    messages, status, _ = (await gateway.ask(request(SCRIPT + "Tell", headers, sent))).grpc()
    assert status.code == 0
    assert json.loads(messages[0])["messages"] == [base64.b64encode(each).decode() for each in (b"m" * 1000, b"plain")]


@pytest.mark.parametrize(
    ("encoding", "packed", "code"),
    [
        ("snappy", b"x", 13),  # left to the backend, whose C core takes the name for a malformed one
        ("gzip", b"not gzip", 13),
        ("gzip", gzip.compress(b"x" * 100)[:-5], 13),
        ("gzip", gzip.compress(bytes(MAX_MESSAGE + 1)), 8),
        ("identity", b"x", 13),
    ],
    ids=["unknown", "not what it says", "cut off", "too large", "identity"],
)
async def test_compressed_messages_that_cannot_be_opened(
    gateway: RunningGateway, encoding: str, packed: bytes, code: int
) -> None:
    headers = gateway.fields(("grpc-encoding", encoding))
    assert (await gateway.ask(request(SCRIPT + "Tell", headers, message(packed, flags=1)))).code == code


# --- text mode


async def test_text_in_segments_that_are_cut_anywhere(gateway: RunningGateway) -> None:
    body = message(b"one") + message(b"") + message(b"three")
    segments = b"".join(base64.b64encode(body[start : start + 2]) for start in range(0, len(body), 2))
    headers = gateway.fields(("transfer-encoding", "chunked"), content_type=TEXT)
    crumbs = chunked(*(segments[start : start + 3] for start in range(0, len(segments), 3))) + b"0\r\n\r\n"
    messages, status, _ = (await gateway.ask(request(SCRIPT + "Tell", headers, None) + crumbs)).grpc()
    assert status.code == 0
    assert json.loads(messages[0])["messages"] == [base64.b64encode(each).decode() for each in (b"one", b"", b"three")]


@pytest.mark.parametrize("body", no_base64(base64.b64encode(message(b"\xff\xfe\xfd"))))
async def test_text_that_is_not_base64(gateway: RunningGateway, body: bytes) -> None:
    answer = await gateway.ask(request(SCRIPT + "Tell", gateway.fields(content_type=TEXT), body))
    assert answer.code == 3


async def test_every_chunk_of_text_can_be_decoded_on_its_own(gateway: RunningGateway, steps: Steps) -> None:
    async with connect(gateway.port) as wire:
        await wire.send(request(SCRIPT + "Steps", gateway.fields(content_type=TEXT), b""))
        assert (await wire.head()).value("content-type") == TEXT
        for reply in (b"a", b"bc", b"", b"defg"):
            steps.replies.put_nowait(reply)
            assert untext(await wire.chunk()) == message(reply)
        steps.replies.put_nowait(None)
        assert untext(await wire.chunk()) == OK_FRAME
        assert await wire.chunk() == b""
