"""A worker's place: who could not be started is started again, and says what it was."""

import asyncio
import errno
import signal
import time
from collections.abc import Coroutine
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway import supervised
from gateway.control import SilenceError
from gateway.errors import StartError
from gateway.supervised import Worker


def worker(**changes: Any) -> Worker:
    """Of a supervisor that has no sockets."""
    known = {
        "stopping": asyncio.Event(),
        "bind": list,
        "path": Path("gateway.yaml"),
        "wanted": None,
        "addresses": [],
        "debug": False,
        "in_use": None,
        "learn": print,
        "serves": False,
    }
    return Worker(0, SimpleNamespace(**known | changes))  # type: ignore[arg-type]


async def test_a_machine_without_room_for_a_process_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0

    async def refuse(*_arguments: object, **_options: object) -> None:
        nonlocal asked
        asked += 1
        if asked == 3:
            stopping.set()
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(asyncio, "create_subprocess_exec", refuse)
    monkeypatch.setattr(supervised, "FIRST_PAUSE", 0.001)
    stopping = asyncio.Event()
    one = worker(stopping=stopping)
    one.settled.set()
    with capture_logs() as events:
        await asyncio.wait_for(one.keep(), 5)
    assert asked == 3
    assert [event["event"] for event in events] == ["worker_ended"] * 2
    assert "Resource temporarily unavailable" in events[0]["cause"]


async def test_an_address_that_is_taken_meanwhile_is_tried_again() -> None:
    def taken() -> None:
        stopping.set()
        raise StartError("listeners[0].bind: it is in use by another process")

    stopping = asyncio.Event()
    one = worker(stopping=stopping, bind=taken)
    one.settled.set()
    await asyncio.wait_for(one.keep(), 5)
    assert "in use" in one.cause


@pytest.mark.parametrize(("others_serve", "starts"), [(True, 3), (False, 1)])
async def test_who_cannot_start_ends_for_good_unless_others_serve(
    monkeypatch: pytest.MonkeyPatch, others_serve: bool, starts: int
) -> None:
    started = 0
    stopping = asyncio.Event()
    one = worker(stopping=stopping, serves=others_serve)

    async def refuse() -> int:
        nonlocal started
        started += 1
        if started == 3:
            stopping.set()
        return 1

    monkeypatch.setattr(one, "_run", refuse)
    monkeypatch.setattr(supervised, "FIRST_PAUSE", 0.001)
    await asyncio.wait_for(one.keep(), 5)
    assert (started, one.exit_code) == (starts, 1)
    assert one.settled.is_set() == others_serve


async def test_a_stuck_worker_is_killed_before_the_log_is_told_in_which_it_may_be_stuck(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def silent(question: str, **_within: float) -> None:
        raise SilenceError(question, gone=False)

    told: list[str] = []
    one = worker()
    monkeypatch.setattr(one, "line", SimpleNamespace(ask=silent))
    monkeypatch.setattr(one, "send", lambda number: told.append(number.name))
    monkeypatch.setattr(supervised.log, "error", lambda event, **_fields: told.append(event))
    await one._look_after()
    assert told == ["SIGKILL", "worker_stuck"]


@pytest.mark.parametrize(
    ("code", "cause"), [(3, "exit code 3"), (-9, "signal SIGKILL"), (-signal.SIGRTMIN - 1, "signal 35")]
)
def test_causes_are_named(code: int, cause: str) -> None:
    assert supervised._cause(code) == cause


@pytest.mark.parametrize(("served", "pauses"), [(0.0, [0.2, 0.4, 0.8]), (supervised.STOOD, [0.1, 0.1, 0.1])])
async def test_who_has_served_for_a_while_does_not_wait_longer_each_time(
    monkeypatch: pytest.MonkeyPatch, served: float, pauses: list[float]
) -> None:
    """Or workers that run out of memory now and then would all be away at once."""
    stopping = asyncio.Event()
    one = worker(stopping=stopping)
    one.settled.set()

    async def serve() -> int:
        one._serves_since = time.monotonic() - served
        if one.restarts == 3:
            stopping.set()
        return 1

    async def no_pause(waiting: Coroutine[None, None, bool], _seconds: float) -> None:
        waiting.close()
        raise TimeoutError

    monkeypatch.setattr(one, "_run", serve)
    monkeypatch.setattr(asyncio, "wait_for", no_pause)
    with capture_logs() as events:
        await one.keep()
    assert [event["again_in"] for event in events] == pauses
