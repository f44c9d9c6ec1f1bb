"""A call that did not end as it should is never a figure, whoever sent it."""

import asyncio
from pathlib import Path

import pytest

from bench.load import paced, wrk
from bench.load.http1 import Http1
from bench.load.traffic import Traffic
from bench.process import BenchError
from tests.unit.bench.answers import REPLY, REQUEST, answering, chunked, plain, trailer

CALL = Traffic("/a.B/C", REQUEST, {"x-grpc-web": "1"}, reply=REPLY)
REFUSED = Traffic("/a.B/C", REQUEST, {}, status=16)
CLOSED_AFTER = b"connection: close"

RIGHT = [
    pytest.param(CALL, plain(REPLY + trailer(0)), id="whole"),
    pytest.param(CALL, chunked(REPLY, trailer(0)), id="in chunks"),
    pytest.param(CALL, plain(REPLY + trailer(0, b"x:1\r\n")), id="with another trailer"),
    pytest.param(CALL, plain(REPLY + trailer(0), CLOSED_AFTER), id="last on its connection"),
    pytest.param(REFUSED, plain(trailer(16)), id="refused in the trailer frame"),
    pytest.param(REFUSED, plain(b"", b"grpc-status: 16"), id="refused in a header"),
    pytest.param(REFUSED, plain(b"", b"grpc-status: 16", CLOSED_AFTER), id="refused and closed"),
    pytest.param(
        REFUSED, b"HTTP/1.1 401 No\r\ngrpc-status: 16\r\ncontent-length: 0\r\n\r\n", id="refused with an HTTP status"
    ),
]
WRONG = [
    pytest.param(CALL, plain(REPLY + trailer(14)), "grpc-status:14", id="failed"),
    pytest.param(CALL, plain(trailer(0)), "HTTP 200", id="no message"),
    pytest.param(CALL, plain(b"\0\0\0\0\1z" + trailer(0)), "HTTP 200", id="another message"),
    pytest.param(CALL, plain(REPLY), "HTTP 200", id="no trailer frame"),
    pytest.param(CALL, plain(REPLY * 2 + trailer(0)), "HTTP 200", id="a message too many"),
    pytest.param(CALL, plain(b"", b"grpc-status: 0"), "HTTP 200", id="only a status"),
    pytest.param(CALL, plain(REPLY + trailer(14, b"x-grpc-status:0\r\n")), "HTTP 200", id="another's status"),
    pytest.param(CALL, b"HTTP/1.1 403 No\r\ncontent-length: 0\r\n\r\n", "HTTP 403", id="HTTP status"),
    pytest.param(CALL, plain(REPLY + trailer(0)).replace(b"200 OK", b"503 No"), "HTTP 503", id="HTTP status and all"),
    pytest.param(CALL, plain(REPLY + b"\0" + trailer(0)[1:]), "HTTP 200", id="a message like a trailer frame"),
    pytest.param(REFUSED, plain(REPLY + trailer(0)), "HTTP 200", id="let in"),
    pytest.param(REFUSED, plain(trailer(7)), "grpc-status:7", id="refused otherwise"),
    pytest.param(REFUSED, plain(b"", b"grpc-status: 1"), "HTTP 200", id="refused otherwise in a header"),
]


def test_a_status_in_a_header_is_enough_for_a_refusal_only() -> None:
    assert CALL.mistake(200, "0", b"") == "HTTP 200, "
    assert REFUSED.mistake(200, "16", b"") == ""
    assert REFUSED.mistake(200, "16", REPLY) != ""


def send_paced(url: str, traffic: Traffic, calls: int = 8) -> paced.Times:
    clients = [Http1(url, traffic, Path("no-tls")) for _ in range(2)]
    try:
        return paced.send(clients, traffic.authorizations(), 1000, calls)
    finally:
        for client in clients:
            client.link.close()


@pytest.mark.parametrize(("traffic", "answer"), RIGHT)
async def test_right_answers_to_paced_calls(traffic: Traffic, answer: bytes) -> None:
    async with answering(answer) as url:
        times = await asyncio.to_thread(send_paced, url, traffic)
    assert len(times.taken) == 8


@pytest.mark.parametrize(("traffic", "answer", "said"), WRONG)
async def test_wrong_answers_to_paced_calls(traffic: Traffic, answer: bytes, said: str) -> None:
    async with answering(answer) as url:
        with pytest.raises(BenchError, match=f"a call failed with .*{said}"):
            await asyncio.to_thread(send_paced, url, traffic)


async def test_a_connection_that_is_lost_is_no_figure() -> None:
    async with answering(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 9\r\n\r\n") as url:
        with pytest.raises(BenchError, match="closed under a call"):
            await asyncio.to_thread(send_paced, url, CALL)


async def test_tokens_of_paced_calls_run_out() -> None:
    traffic = Traffic("/a.B/C", REQUEST, {}, reply=REPLY, tokens=["one"] * 7)
    async with answering(plain(REPLY + trailer(0))) as url:
        with pytest.raises(BenchError, match="tokens ran out"):
            await asyncio.to_thread(send_paced, url, traffic)


@pytest.mark.skipif(wrk.find() is None, reason="needs wrk")
class TestWrk:
    """It runs for a second at least, so that all answers of a kind are tried at once."""

    async def outcomes(self, tmp_path: Path, tries: list[tuple[Traffic, bytes]]) -> list[object]:
        async def one(number: int, traffic: Traffic, answer: bytes) -> object:
            async with answering(answer) as url:
                folder = tmp_path / str(number)
                return await asyncio.to_thread(wrk.send, url, traffic, connections=2, seconds=1, folder=folder)

        runs = (one(number, *each) for number, each in enumerate(tries))
        return await asyncio.gather(*runs, return_exceptions=True)

    async def test_right_answers(self, tmp_path: Path) -> None:
        tries = [each.values[:2] for each in RIGHT]
        for (_, answer), outcome in zip(tries, await self.outcomes(tmp_path, tries), strict=True):  # type: ignore[arg-type]
            assert getattr(outcome, "calls", 0) > 0, (answer, outcome)

    async def test_wrong_answers(self, tmp_path: Path) -> None:
        tries = [each.values[:2] for each in WRONG]
        said = [each.values[2] for each in WRONG]
        for words, outcome in zip(said, await self.outcomes(tmp_path, tries), strict=True):  # type: ignore[arg-type]
            assert isinstance(outcome, BenchError), (words, outcome)
            assert "calls failed, the first with" in str(outcome)
            assert str(words) in str(outcome)

    async def test_tokens_that_run_out_are_told(self, tmp_path: Path) -> None:
        traffic = Traffic("/a.B/C", REQUEST, {}, tokens=["one", "two"])
        async with answering(plain(trailer(0))) as url:
            outcome = await asyncio.to_thread(wrk.send, url, traffic, connections=2, seconds=1, folder=tmp_path)
        assert outcome.overdrawn >= outcome.calls - 2
