"""When calls are due, and from when their time counts."""

import asyncio
import itertools
from pathlib import Path

import pytest

from bench.load import paced
from bench.load.http1 import Http1
from bench.load.traffic import Traffic
from bench.process import BenchError
from tests.unit.bench.answers import REPLY, REQUEST, answering, plain, trailer


def test_moments_are_the_same_for_every_subject_but_for_the_rate() -> None:
    slow, fast = paced.moments(100, 1000), paced.moments(200, 1000)
    assert slow == paced.moments(100, 1000)
    assert [moment / 2 for moment in slow] == pytest.approx(fast)
    assert slow[-1] == pytest.approx(10, rel=0.1)
    gaps = [later - earlier for earlier, later in itertools.pairwise(slow)]
    assert min(gaps) >= 0
    assert max(gaps) > 3 / 100  # at random, not in step


async def test_time_counts_from_the_moment_a_call_was_due() -> None:
    """One connection, and a server that holds the first answer until all calls are due: each has waited for it."""
    answer = plain(REPLY + trailer(0))
    calls, rate, hold = 5, 1000.0, 0.2

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for number in range(calls):
            await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(len(REQUEST))
            await asyncio.sleep(0 if number else hold)
            writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        client = Http1(url, Traffic("/a.B/C", REQUEST, {}, reply=REPLY), Path("no-tls"))
        times = await asyncio.to_thread(paced.send, [client], itertools.repeat(None), rate, calls)
        client.link.close()
    span = paced.moments(rate, calls)[-1]
    assert min(times.taken) >= hold - span
    assert len(times.taken) == len(times.lags) == calls


async def test_a_subject_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paced, "PATIENCE", 0.05)
    async with answering(b"") as url:
        client = await asyncio.to_thread(Http1, url, Traffic("/a.B/C", REQUEST, {}), Path("no-tls"))
        with pytest.raises(BenchError, match="3 of 3 calls had no answer"):
            await asyncio.to_thread(paced.send, [client], itertools.repeat(None), 1000, 3)
        client.link.close()


def test_times_of_a_sender_that_is_late_are_not_the_subjects() -> None:
    taken = [0.002] * 100
    assert paced.Times(taken, [0.0004] * 100).in_time
    assert not paced.Times(taken, [0.0006] * 100).in_time


def test_percentiles() -> None:
    times = paced.Times([number / 1000 for number in range(1, 1000)], [0.0])
    assert times.p50 == pytest.approx(0.5)
    assert times.p99 == pytest.approx(0.99)
