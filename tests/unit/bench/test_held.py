"""Streams that are held open: none that never began, ended, or went on."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from pathlib import Path

import pytest

from bench.load import held
from bench.load.http1 import Http1
from bench.load.traffic import Traffic
from bench.process import BenchError
from tests.unit.bench.answers import REPLY, REQUEST, answering, chunked, plain, trailer

CALL = Traffic("/a.B/C", REQUEST, {}, reply=REPLY)
OPEN = chunked(REPLY)[: -len(b"0\r\n\r\n")]


def hold(
    url: str,
    meanwhile: Callable[[], Coroutine[None, None, None]] | None = None,
    loop: asyncio.AbstractEventLoop | None = None,
) -> None:
    """Three streams on as many connections; while they are held, `meanwhile` runs in the loop."""
    with ExitStack() as stack:
        clients = [Http1(url, CALL, Path("no-tls")) for _ in range(3)]
        for client in clients:
            stack.callback(client.link.close)
        with held.held_open(clients, REPLY):
            if meanwhile is not None and loop is not None:
                asyncio.run_coroutine_threadsafe(meanwhile(), loop).result(5)


async def test_an_idle_stream_is_open_and_silent() -> None:
    async with answering(OPEN) as url:
        await asyncio.to_thread(hold, url)


@pytest.mark.parametrize("at_once", [1, 2, 100])
async def test_streams_are_begun_in_turns(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(held, "AT_ONCE", at_once)
    async with answering(OPEN) as url:
        await asyncio.to_thread(hold, url)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (plain(b""), "a call failed"),
        (plain(trailer(16)), "a call failed with .*grpc-status:16"),
        (chunked(trailer(16))[:-5], "a stream began with .*grpc-status:16"),
        (chunked(REPLY, trailer(0)), "a stream ended that should be idle"),
        (chunked(REPLY * 2)[:-5], "a stream began with"),
    ],
    ids=["empty", "refused", "refused in chunks", "over", "a message too many"],
)
async def test_a_stream_that_never_began_is_not_idle(answer: bytes, said: str) -> None:
    async with answering(answer) as url:
        with pytest.raises(BenchError, match=said):
            await asyncio.to_thread(hold, url)


async def test_a_stream_without_a_message_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held, "PATIENCE", 0.05)
    async with answering(chunked()[:-5]) as url:
        with pytest.raises(BenchError, match=r"no message after 0\.05 s"):
            await asyncio.to_thread(hold, url)


@pytest.mark.parametrize(
    ("more", "said"),
    [(b"1\r\nx\r\n", "an idle stream went on"), (b"", "closed under a call")],
    ids=["went on", "cut off"],
)
async def test_a_stream_that_did_not_stay_idle(more: bytes, said: str) -> None:
    """All answer; then one of them says more, or its connection is closed."""
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(len(REQUEST))
        writers.append(writer)
        writer.write(OPEN)

    async def go_on() -> None:
        writers[0].write(more)
        if not more:
            writers[0].close()
        await asyncio.sleep(0.05)  # the bytes have to cross the loopback interface

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            with pytest.raises(BenchError, match=said):
                await asyncio.to_thread(hold, url, go_on, asyncio.get_running_loop())
        finally:
            for writer in writers:
                writer.close()
