"""One place: when its connection is replaced, and when it is not."""

import asyncio
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway.protocol.status import Status
from gateway.upstream import pool
from gateway.upstream.pool import BACKOFF, UNREACHABLE
from tests.support.backend_http2 import Backend, backend, papers, silent
from tests.support.wire import PATIENCE
from tests.unit.upstream.caller import call, ready, upstream_to

OK = Status(0)


async def connected(there: Backend, number: int) -> None:
    await there.until(lambda: len(there.connections) == number and there.connections[-1].heard)


async def test_a_connection_that_is_lost_while_the_next_one_is_made_is_replaced_once(tmp_path: Path) -> None:
    files = papers(tmp_path)
    async with (
        backend(silent, context=files.context()) as there,
        upstream_to(there, tls=files.tls()) as upstream,
    ):
        await ready(upstream, 1)
        there.greets = False
        files.issue("renewed.test", "gateway")
        assert upstream.renew()
        await connected(there, 2)
        there.connections[0].abort()
        await ready(upstream, 0)
        there.connections[1].greet()
        await ready(upstream, 1)
        await asyncio.sleep(2 * BACKOFF)
        assert len(there.connections) == 2


async def test_a_connection_that_was_made_with_certificates_of_yesterday_is_replaced(tmp_path: Path) -> None:
    """They were renewed while it was on its way."""
    files = papers(tmp_path)
    async with backend(context=files.context()) as there:
        there.greets = False
        async with upstream_to(there, tls=files.tls()) as upstream:
            await connected(there, 1)
            files.issue("renewed.test", "gateway")
            assert upstream.renew()
            there.greets = True
            there.connections[0].greet()
            await connected(there, 2)
            await there.until(lambda: not there.connections[0].open and len(there.standing) == 1)
            assert there.standing[0].identities == ("renewed.test",)
            assert await call(upstream).end() == OK


async def test_a_connection_that_fails_when_its_first_call_begins_is_replaced() -> None:
    async with backend() as there:
        there.greets = False
        async with upstream_to(there) as upstream:
            first = call(upstream)
            await connected(there, 1)
            there.greets = True
            there.connections[0].greet_and_err()
            assert await first.end() == UNREACHABLE.status  # nobody else could be hoped for
            async with asyncio.timeout(PATIENCE):
                while await call(upstream).end() != OK:
                    await asyncio.sleep(0.02)
            assert len(there.connections) == 2


async def test_calls_do_not_wait_for_a_backend_whose_every_connection_fails_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pool, "BACKOFF", 0.01)
    monkeypatch.setattr(pool, "BACKOFF_MOST", 0.01)
    async with backend() as there:
        there.greets = False
        with capture_logs() as events:
            async with upstream_to(there) as upstream:
                for number in range(1, 4):
                    caller = call(upstream)
                    await connected(there, number)
                    there.connections[-1].greet_and_err()
                    assert await caller.end() == UNREACHABLE.status
        reports = [event["problem"] for event in events if event["event"] == "backend_unreachable"]
        assert reports == ["the backend took its leave at once"]
