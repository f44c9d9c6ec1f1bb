"""What a supervisor and its workers tell each other, and what it says of all of them."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway.control import SilenceError, SupervisorEnd, WorkerEnd
from gateway.errors import StartError
from gateway.exposition import together
from gateway.settings import parse
from gateway.supervised import Worker
from gateway.supervisor import Supervisor
from tests.support.gateway import eventually

CONFIGURATION = """
listeners: [{{bind: "127.0.0.1:0"}}]
admin: {{bind: "{admin}"}}
upstreams:
  backend: {{services: [demo.v1.Demo], targets: ["127.0.0.1:1"], plaintext: true, allow_insecure_tokens: true}}
"""

Line = tuple[SupervisorEnd, WorkerEnd]


@pytest.fixture
def news() -> list[str]:
    """What the worker has told unasked."""
    return []


@pytest.fixture
async def line(news: list[str]) -> AsyncIterator[Line]:
    ours, its = socket.socketpair()
    supervisor, worker = await SupervisorEnd.over(ours, {"configuration": news.append}), await WorkerEnd.over(its)
    yield supervisor, worker
    for end in (supervisor, worker):
        end.close()
        with contextlib.suppress(ConnectionError):
            await end._writer.wait_closed()


async def test_questions_are_answered_in_turn_and_late_answers_are_for_nobody(line: Line) -> None:
    ours, its = line
    asked: list[str] = []

    async def slow() -> str:
        asked.append("slow")
        await asyncio.sleep(0.1)
        return "late"

    async def quick() -> list[int]:
        asked.append("quick")
        return [1, 2]

    answering = asyncio.create_task(its.answer({"slow": slow, "quick": quick}))
    with pytest.raises(SilenceError) as silence:
        await ours.ask("slow", within=0.01)
    assert not silence.value.gone
    assert await ours.ask("quick", within=5) == [1, 2]
    assert asked == ["slow", "quick"]
    ours.close()
    await asyncio.wait_for(answering, 5)  # who is asked no more ends


async def test_a_question_that_fails_is_no_sign_that_the_supervisor_is_gone(line: Line) -> None:
    ours, its = line

    async def broken() -> None:
        raise OSError(9, "Bad file descriptor")

    async def whole() -> int:
        return 1

    answering = asyncio.create_task(its.answer({"broken": broken, "whole": whole}))
    with capture_logs() as events:
        assert await ours.ask("broken", within=5) is None
    assert [event["event"] for event in events] == ["unexpected_error"]
    assert await ours.ask("whole", within=5) == 1
    ours.close()
    await asyncio.wait_for(answering, 5)


async def test_who_has_an_answer_for_a_supervisor_that_is_gone_ends(line: Line) -> None:
    ours, its = line
    asked, known = asyncio.Event(), asyncio.Event()

    async def slow() -> int:
        asked.set()
        await known.wait()
        return 1

    answering = asyncio.create_task(its.answer({"slow": slow}))
    question = asyncio.create_task(ours.ask("slow", within=5))
    await asked.wait()
    ours.close()
    with pytest.raises(SilenceError):
        await question
    its.tell("configuration", "nobody hears this")
    await eventually(its._writer.is_closing)
    known.set()
    await asyncio.wait_for(answering, 5)


async def test_a_worker_that_is_gone_is_no_silent_one(line: Line) -> None:
    ours, its = line
    question = asyncio.create_task(ours.ask("ready", within=5))
    await asyncio.sleep(0)
    its.close()
    with pytest.raises(SilenceError) as silence:
        await question
    assert silence.value.gone


async def test_a_first_word_comes_before_questions_and_news_between_answers(line: Line, news: list[str]) -> None:
    ours, its = line

    async def answer() -> int:
        its.tell("configuration", "b: 2")
        return 7

    ours.say_first(["a: 1", True])
    question = asyncio.create_task(ours.ask("number", within=5))
    assert await its.first_word() == ["a: 1", True]
    answering = asyncio.create_task(its.answer({"number": answer}))
    assert await question == 7
    assert news == ["b: 2"]
    its.tell("configuration", "the last")
    its.close()
    await asyncio.wait_for(ours.heard_all(), 5)
    assert news == ["b: 2", "the last"]
    await asyncio.wait_for(answering, 5)


async def test_who_starts_when_the_supervisor_is_gone_hears_of_it(line: Line) -> None:
    ours, its = line
    ours.close()
    with pytest.raises(EOFError):
        await asyncio.wait_for(its.first_word(), 5)


def test_metrics_of_workers_keep_apart() -> None:
    text = (
        "# HELP gateway_calls_total Calls\n# TYPE gateway_calls_total counter\n"
        'gateway_calls_total{method="/a.B/C",code="OK"} 3.0\n'
        "# HELP gateway_call_seconds Seconds\n# TYPE gateway_call_seconds histogram\n"
        'gateway_call_seconds_bucket{le="+Inf",method="/a.B/C"} 3.0\n'
        'gateway_call_seconds_count{method="/a.B/C"} 3.0\ngateway_call_seconds_sum{method="/a.B/C"} 0.5\n'
        "# HELP gateway_open_calls Open\n# TYPE gateway_open_calls gauge\ngateway_open_calls 1.0\n"
        "# HELP process_cpu_seconds_total CPU\n# TYPE process_cpu_seconds_total counter\n"
        "process_cpu_seconds_total 2.5\n"
    )
    page = together({0: text, 1: text}, ()).decode()
    for worker in (0, 1):
        assert f'gateway_calls_total{{code="OK",method="/a.B/C",worker="{worker}"}} 3.0' in page
        assert f'gateway_call_seconds_bucket{{le="+Inf",method="/a.B/C",worker="{worker}"}} 3.0' in page
        assert f'gateway_open_calls{{worker="{worker}"}} 1.0' in page
        assert f'process_cpu_seconds_total{{worker="{worker}"}} 2.5' in page
    assert page.count("# TYPE gateway_calls_total counter") == 1


@pytest.mark.parametrize(
    ("lacking", "late"),
    [
        ([], None),
        ([None], None),
        ([[]], []),
        ([["a", "b"]], ["a", "b"]),
        ([["a", "b"], ["b", "c"]], ["b"]),
        ([["a"], []], []),
        ([["a"], None], ["a"]),
    ],
)
async def test_late_is_an_issuer_whose_keys_none_of_those_that_serve_has(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, lacking: list[list[str] | None], late: list[str] | None
) -> None:
    """One more worker starts, which is not asked. None: it does not answer."""

    async def ask(worker: Worker, question: str) -> list[str] | None:
        assert question == "lacking"
        return lacking[worker.index]

    monkeypatch.setattr(Worker, "ask", ask)
    settings = parse(CONFIGURATION.format(admin="127.0.0.1:0"), tmp_path)
    supervisor = Supervisor(tmp_path / "gateway.yaml", settings, len(lacking) + 1, debug=False)
    for worker in supervisor._workers:
        monkeypatch.setattr(worker, "line", object())
        if worker.index < len(lacking):
            worker.ready.set()
    assert await supervisor.late() == late


async def test_an_address_of_the_operator_in_use_is_told_before_any_worker_starts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    started: list[Worker] = []

    async def keep(worker: Worker) -> None:
        started.append(worker)
        worker.ready.set()

    monkeypatch.setattr(Worker, "keep", keep)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        settings = parse(CONFIGURATION.format(admin=address), tmp_path)
        with pytest.raises(StartError, match=f"admin.bind: cannot listen on {address}: it is in use"):
            async with asyncio.timeout(20):
                await Supervisor(tmp_path / "gateway.yaml", settings, 2, debug=False).run()
    assert started == []
