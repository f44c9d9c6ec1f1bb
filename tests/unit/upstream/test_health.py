"""Whether a backend gets calls that says of itself, by grpc.health.v1, how it is."""

import asyncio
import itertools

import pytest
from structlog.testing import capture_logs

from gateway.protocol.status import Status
from gateway.upstream import health
from gateway.upstream.backoff import JITTER
from gateway.upstream.pool import NOT_SERVING as NOBODY_SERVES
from tests.support.backend_http2 import NOT_SERVING, SERVING, WATCH, Answer, ErrorCodes, Health, Request, backend, ok
from tests.support.frames import message
from tests.support.gateway import eventually
from tests.unit.upstream.caller import Held, call, ready, upstream_to

OK = Status(0)
UNIMPLEMENTED = (b"grpc-status", b"12")


def but(watch: Answer) -> Answer:
    """A backend that answers calls, and a Watch in its own way."""

    async def answer(request: Request) -> None:
        await (watch if request.fields[b":path"] == WATCH else ok)(request)

    return answer


async def test_a_backend_gets_calls_while_it_says_that_it_is_serving() -> None:
    one, two = Health(status=NOT_SERVING), Health()
    async with backend(one) as first, backend(two) as second:
        with capture_logs() as events:
            async with upstream_to(first, second, health_check=True) as upstream:
                await ready(upstream, 1)
                await first.until(lambda: bool(one.watches))
                for caller in [call(upstream) for _ in range(10)]:
                    assert await caller.end() == OK
                assert (len(first.requests), len(second.requests)) == (1, 11)
                await one.say(SERVING)
                await ready(upstream, 2)
                await two.say(NOT_SERVING)
                await ready(upstream, 1)
                for caller in [call(upstream) for _ in range(10)]:
                    assert await caller.end() == OK
                assert (len(first.requests), len(second.requests)) == (11, 11)
                assert sorted(upstream.addresses) == sorted(
                    [(first.target, True, False), (second.target, False, False)]
                )
                assert upstream.connections == 2
        told = [(each["event"], each["address"]) for each in events if "health" in each["event"]]
        assert sorted(told) == sorted(
            [
                ("backend_healthy", first.target),
                ("backend_healthy", second.target),
                ("backend_unhealthy", first.target),
                ("backend_unhealthy", second.target),
            ]
        )


async def test_when_nobody_is_serving_calls_fail_at_once_and_go_on_at_once() -> None:
    how = Health(status=NOT_SERVING)
    async with backend(how) as there, upstream_to(there, health_check=True) as upstream:
        waits = call(upstream)  # the first word is not known yet
        assert await waits.end() == NOBODY_SERVES.status
        assert call(upstream).status == NOBODY_SERVES.status  # without a turn of the loop
        assert not await upstream.pool.reachable(0.01)
        await how.say(SERVING)
        assert await upstream.reachable()
        assert await call(upstream).end() == OK


async def test_calls_go_on_that_began_before() -> None:
    held = Held()
    how = Health(held)
    async with backend(how) as there, upstream_to(there, health_check=True) as upstream:
        caller = call(upstream)
        await there.arrivals(2)
        await how.say(NOT_SERVING)
        await ready(upstream, 0)
        held.step.release()
        assert await caller.end() == OK


@pytest.mark.parametrize("head", [True, False])
async def test_a_backend_without_the_service_is_healthy_and_that_is_told_once(head: bool) -> None:
    async def unimplemented(request: Request) -> None:
        if head:
            request.head()
            request.trailers(UNIMPLEMENTED)
        else:
            request.alone(UNIMPLEMENTED)

    async with backend(but(unimplemented)) as there:
        with capture_logs() as events:
            async with upstream_to(there, health_check=True, connections=3) as upstream:
                await ready(upstream, 3)
                assert await call(upstream).end() == OK
        assert [each["event"] for each in events] == ["backend_unchecked"]
        assert len([each for each in there.requests if each.fields[b":path"] == WATCH]) == 3


async def reset(request: Request) -> None:
    request.rst(ErrorCodes.INTERNAL_ERROR)


async def refused(request: Request) -> None:
    request.alone((b"grpc-status", b"16"))


async def not_grpc(request: Request) -> None:
    request.head(status=404, kind=b"text/html")
    await request.send(b"<html>", end=True)


async def nonsense(request: Request) -> None:
    request.head()
    await request.send(b"\x07nonsense that is no frame")


async def unknown(request: Request) -> None:
    request.head()
    await request.send(message(b""))  # UNKNOWN


async def nothing(request: Request) -> None:
    request.head()


@pytest.mark.parametrize("how", [reset, refused, nonsense, unknown, nothing])
async def test_any_other_answer_is_not_serving(how: Answer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "ANSWER_TIMEOUT", 0.2)
    async with backend(but(how)) as there, upstream_to(there, health_check=True) as upstream:
        assert await call(upstream).end(seconds=1) == NOBODY_SERVES.status


async def test_http_that_says_no_such_page_is_a_backend_without_the_service() -> None:
    """As http-grpc-status-mapping.md has it: 404 is UNIMPLEMENTED."""
    async with backend(but(not_grpc)) as there, upstream_to(there, health_check=True) as upstream:
        assert await call(upstream).end() == OK


async def test_who_fails_to_answer_is_asked_again_later_and_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "AGAIN", 0.2)
    how = Health()
    times: list[float] = []
    loop = asyncio.get_running_loop()

    async def fail_thrice(request: Request) -> None:
        times.append(loop.time())
        await (reset if len(times) <= 3 else how)(request)

    async with backend(but(fail_thrice)) as there, upstream_to(there, health_check=True) as upstream:
        await ready(upstream, 1)
        pauses = [after - before for before, after in itertools.pairwise(times)]
        assert len(pauses) == 3
        assert pauses[2] > pauses[0] > 0.15


async def test_streams_of_a_limited_age_make_nobody_unhealthy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "AGAIN", 0.1)
    how = Health()
    async with backend(how) as there, upstream_to(there, health_check=True) as upstream:
        await ready(upstream, 1)
        for number in (1, 2, 3):
            (watch,) = how.watching
            await asyncio.sleep(0.12)
            watch.trailers((b"grpc-status", b"0"))
            await there.until(lambda number=number: len(how.watches) == number + 1)  # type: ignore[misc]
            assert len(upstream.pool.ready) == 1
            assert await call(upstream).end() == OK


async def test_a_watch_that_ends_each_time_it_has_answered_is_no_busy_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "AGAIN", 0.1)

    async def once(request: Request) -> None:
        request.head()
        await request.send(message(b"\x08\x01"))
        request.trailers((b"grpc-status", b"0"))

    loop = asyncio.get_running_loop()
    started = loop.time()
    async with backend(but(once)) as there, upstream_to(there, health_check=True) as upstream:
        await ready(upstream, 1)
        await there.arrivals(4)
        assert loop.time() - started > 3 * health.AGAIN * (1 - JITTER) - 0.01
        assert len(upstream.pool.ready) == 1


async def test_a_backend_that_leaves_does_not_wait_for_its_watch() -> None:
    how = Health()
    async with backend(how) as there, upstream_to(there, health_check=True) as upstream:
        await ready(upstream, 1)
        (connection,) = there.connections
        connection.say_goaway()
        await there.until(lambda: connection.closed)
        await there.until(lambda: len(how.watching) == 1)
        assert how.watches[0].reset == ErrorCodes.CANCEL
        assert await call(upstream).end() == OK


async def test_a_connection_that_is_lost_before_the_first_answer_is_dialled_again() -> None:
    how = Health()

    async def hang_up_first(request: Request) -> None:
        if request is there.requests[0]:
            request.connection.abort()
        else:
            await how(request)

    async with backend(hang_up_first) as there, upstream_to(there, health_check=True) as upstream:
        await ready(upstream, 1)
        assert len(there.connections) == 2


async def test_closing_while_the_first_answer_is_awaited() -> None:
    async with backend(but(nothing)) as there:
        async with upstream_to(there, health_check=True):
            await there.arrivals(1)
        await there.until(lambda: not there.standing)


async def test_nothing_is_asked_where_health_is_not_checked() -> None:
    async with backend(Health(status=NOT_SERVING)) as there, upstream_to(there) as upstream:
        assert await call(upstream).end() == OK
        assert len(there.requests) == 1


async def test_what_is_reported_as_lost_are_calls() -> None:
    how = Health()
    async with backend(how) as there:
        with capture_logs() as events:
            async with upstream_to(there, health_check=True) as upstream:
                await ready(upstream, 1)
                there.connections[0].abort()
                await eventually(lambda: len(how.watches) == 2)
        assert "backend_lost" not in {each["event"] for each in events}
