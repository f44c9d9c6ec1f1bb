"""Over HTTP/2: calls that share a connection, and flow control that holds each back on its own."""

import asyncio
import gc

import pytest

from gateway.demo.pb import demo_pb2
from gateway.http2 import STREAM_WINDOW
from tests.integration.wire.ways import ECHO, ENDLESS, NATIVE, OK_FRAME, PAGE, Http2Way, echoed
from tests.support import wire
from tests.support.backends import SCRIPT, ScriptedBackend
from tests.support.behaviours import PIECE, Steps
from tests.support.frames import message
from tests.support.gateway import BINARY, DEMO, ORIGIN, RunningGateway, at_rest, eventually, untouched
from tests.support.http2 import ErrorCodes, SettingCodes, Stream, head

pytestmark = pytest.mark.asyncio(loop_scope="module")


# --- no calls


async def test_a_host_that_is_not_the_authority(way: Http2Way, backend: ScriptedBackend) -> None:
    async with untouched(way.gateway, backend):
        answer = (await way.stream(DEMO + "Echo", ECHO, host="evil.test")).answer
    assert (answer.status, answer.value("content-type")) == (400, "text/plain; charset=utf-8")


async def test_headers_that_may_stand_once(way: Http2Way, backend: ScriptedBackend) -> None:
    async with untouched(way.gateway, backend):
        for repeated in (("origin", ORIGIN), ("content-type", BINARY)):
            answer = (await way.stream(DEMO + "Echo", ECHO, repeated)).answer
            told = None if repeated[0] == "origin" else ORIGIN
            assert (answer.status, answer.value("access-control-allow-origin")) == (400, told)


async def test_a_refusal_does_not_wait_for_the_body(gateway: RunningGateway) -> None:
    way = Http2Way(gateway, True)
    async with way.connect() as client:
        stream = await client.request(way.head(DEMO + "Echo", content_type="text/plain"), b"x", end=False)
        await stream.response()
        assert (stream.status, stream.ended) == (415, True)
        await client.until(lambda: stream.reset is not None)  # RFC 9113, section 8.1
        assert stream.reset == ErrorCodes.NO_ERROR
        await echoed(way, client)


async def test_pages(way: Http2Way) -> None:
    async with way.connect() as client:

        async def get(path: str, *fields: tuple[str, str], method: str = "GET") -> Stream:
            return await (await client.request(head(path, *fields, method=method))).response()

        page = await get("/?x=1")
        assert (page.status, page.data.decode()) == (200, PAGE)
        assert page.answer.value("content-type") == "text/html; charset=utf-8"
        assert page.answer.value("content-length") == str(len(PAGE))
        assert "script-src 'self'" in (page.answer.value("content-security-policy") or "")
        only_head = await get("/", method="HEAD")
        assert (only_head.status, only_head.chunks, only_head.ended) == (200, [], True)
        assert sorted(only_head.headers) == sorted([*page.headers[:-1], only_head.headers[-1]])
        again = await get("/", ("if-none-match", page.answer.value("etag") or ""))
        assert (again.status, again.chunks, again.answer.value("content-length")) == (304, [], None)
        assert again.answer.value("etag") == page.answer.value("etag")
        assert (await get("/nothing")).status == 404
        assert (await get("/", method="POST")).status == 404


# --- calls


async def test_the_status_of_http_stands_first(way: Http2Way) -> None:
    assert (await way.stream(DEMO + "Echo")).headers[0] == (b":status", b"200")


async def test_headers_come_before_the_first_message_and_each_message_as_it_is_sent(
    way: Http2Way, steps: Steps
) -> None:
    async with way.connect() as client:
        stream = await client.request(way.head(SCRIPT + "Steps"), b"")
        await stream.head()
        assert stream.answer.value("x-early") == "yes"
        assert not stream.chunks
        size = 0
        for reply in (b"1", b"", b"3" * 100_000):
            steps.replies.put_nowait(reply)
            size += 5 + len(reply)
            assert len(await stream.received(size)) == size
        steps.replies.put_nowait(None)
        await stream.response()
        assert [len(each) for each in stream.answer.grpc()[0]] == [1, 0, 100_000]


async def test_a_stream_both_ways_message_by_message(way: Http2Way) -> None:
    async with way.connect() as client:
        stream = await client.request(way.head(DEMO + "Chat"), end=False)
        expected = b""
        for number in range(3):
            sent = message(demo_pb2.EchoRequest(text=str(number)))
            await stream.send(sent[:3])
            await stream.send(sent[3:])
            expected += sent
            assert await stream.received(len(expected)) == expected
        await stream.end()
        await stream.response()
        assert stream.data == expected + OK_FRAME


async def test_many_calls_on_one_connection_are_not_mixed_up(way: Http2Way) -> None:
    async with way.connect() as client:
        bodies = [message(demo_pb2.EchoRequest(text=f"call {number}")) for number in range(100)]
        streams = [await client.request(way.head(DEMO + "Echo"), body) for body in bodies]
        for stream in reversed(streams):
            await stream.response()
        assert [stream.data for stream in streams] == [body + OK_FRAME for body in bodies]
        assert way.gateway.gateway._census.connections >= 1
    await eventually(lambda: way.gateway.open_calls == 0)


async def test_a_browser_that_cancels_ends_the_call_at_the_backend(way: Http2Way) -> None:
    backend = way.gateway.world.backend
    async with way.connect() as client:
        streams = [await client.request(way.head(DEMO + "Count"), ENDLESS) for _ in range(3)]
        for stream in streams:
            await stream.received(5)
        await streams[0].cancel()
        await asyncio.wait_for(backend.wait_open(2), wire.PATIENCE)
        assert streams[1].reset is streams[2].reset is None
        await echoed(way, client)
        client.wire.reset()
        await asyncio.wait_for(backend.wait_open(0), wire.PATIENCE)
    await eventually(lambda: way.gateway.open_calls == 0)


async def test_calls_leave_no_cycles_behind(way: Http2Way) -> None:
    """The collector is set to run rarely. What it finds here is grpc's, of the backend."""
    async with way.connect() as client:
        await way.stream(DEMO + "Echo")
        gc.collect()
        gc.disable()
        try:
            gc.set_debug(gc.DEBUG_SAVEALL)
            for path, body, changes in (
                ("Echo", ECHO, {}),
                ("Echo", ECHO, {"content_type": NATIVE}),
                ("Echo", ECHO, {"authorization": "Bearer x"}),
                ("Echo", ECHO[:-1], {}),
                ("Count", ENDLESS, {"grpc_timeout": "50m"}),
                ("Fail", message(demo_pb2.FailRequest(code=5)), {}),
            ):
                await (await client.request(way.head(DEMO + path, **changes), body)).response()
            cancelled = await client.request(way.head(DEMO + "Count"), ENDLESS)
            await cancelled.received(5)
            await cancelled.cancel()
            await eventually(lambda: way.gateway.open_calls == 0)
            gc.collect()
            found = {f"{type(each).__module__}.{type(each).__qualname__}" for each in gc.garbage}
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()
    assert not [name for name in found if name.startswith("gateway.") and not name.startswith("gateway.demo.")]


# --- flow control


async def test_a_reader_that_takes_nothing_holds_the_backend_back(way: Http2Way, backend: ScriptedBackend) -> None:
    backend.sent = 0
    window = {SettingCodes.INITIAL_WINDOW_SIZE: 60_000}  # the connection's is 65,535
    async with way.connect(update_windows=False, settings=window) as client:
        stream = await client.request(way.head(SCRIPT + "Flood"), b"")
        await echoed(way, client)  # the other stream moves
        await stream.received(60_000)
        sent = await at_rest(lambda: backend.sent)
        assert sent * PIECE < 4 * 1024 * 1024  # what windows, buffers and grpc-core hold, and no more
        for _ in range(40):
            await client.open_window(200_000)
            await stream.open_window(200_000)
        await stream.received(8_000_000)
        assert backend.sent > sent + 100
    await eventually(lambda: backend.open == 0)


async def test_a_backend_that_takes_nothing_holds_the_browser_back(way: Http2Way, backend: ScriptedBackend) -> None:
    async with way.connect() as client:
        stream = await client.request(way.head(SCRIPT + "Deaf"), end=False)
        part, taken = message(bytes(16_000)), 0

        async def upload() -> None:
            nonlocal taken
            while taken < 64 * 1024 * 1024:
                await stream.send(part)
                taken += len(part)

        uploading = asyncio.create_task(upload())
        await eventually(lambda: taken + len(part) >= STREAM_WINDOW)
        assert await at_rest(lambda: taken) < 32 * 1024 * 1024  # grpc-core's windows grow, on a slow machine most
        assert stream.room == 0
        await echoed(way, client)
        uploading.cancel()
        await asyncio.gather(uploading, return_exceptions=True)
        await stream.cancel()
    await eventually(lambda: backend.open == 0)
