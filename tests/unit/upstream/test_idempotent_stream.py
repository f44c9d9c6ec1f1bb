"""Calls of idempotent methods are sent again when they have failed; those of other methods never."""

import asyncio
import random
from collections import Counter
from typing import Any

import pytest

from gateway.protocol import timeout
from gateway.protocol.status import Status
from gateway.upstream import retries
from gateway.upstream.h2_stream import KEPT, LOST
from gateway.upstream.retries import ATTEMPTS, RETRYABLE
from tests.support.backend_http2 import Answer, ErrorCodes, Request, backend, ok, silent
from tests.support.frames import message
from tests.unit.upstream.caller import PATH, call, nothing_open, ready, upstream_to

OK = Status(0)
UNAVAILABLE = (b"grpc-status", b"14")
IDEMPOTENT: dict[str, Any] = {"idempotent_methods": (PATH.decode(),)}


async def unavailable(request: Request) -> None:
    await request.whole()
    request.alone(UNAVAILABLE, (b"grpc-message", b"not now"))


async def unavailable_by_a_proxy(request: Request) -> None:
    request.head(status=503, kind=b"text/plain")
    await request.send(b"no backend", end=True)


async def cancelled(request: Request) -> None:
    """As a server on grpc-core that is stopped."""
    request.alone((b"grpc-status", b"1"), (b"grpc-message", b"CANCELLED"))


async def hang_up(request: Request) -> None:
    await request.whole()
    request.connection.abort()


async def refuse(request: Request) -> None:
    request.rst(ErrorCodes.REFUSED_STREAM)


def first(count: int, how: Answer, then: Answer = ok) -> Answer:
    """So many calls fail."""
    seen = 0

    async def answer(request: Request) -> None:
        nonlocal seen
        seen += 1
        await (how if seen <= count else then)(request)

    return answer


@pytest.mark.parametrize("idempotent", [True, False])
@pytest.mark.parametrize("how", [unavailable, unavailable_by_a_proxy, cancelled, hang_up])
@pytest.mark.parametrize("failures", [1, 2])
async def test_what_has_failed_is_sent_again_if_its_method_is_idempotent(
    idempotent: bool, how: Answer, failures: int
) -> None:
    section: dict[str, Any] = IDEMPOTENT if idempotent else {"idempotent_methods": ("/test.v1.Test/Other",)}
    async with backend(first(failures, how)) as there, upstream_to(there, **section) as upstream:
        caller = call(upstream, message(b"hello"))
        status = await caller.end()
        if idempotent:
            assert (status, caller.data) == (OK, message(b"hello"))
            assert [each.fields.get(b"grpc-previous-rpc-attempts") for each in there.requests] == [
                *(None, b"1", b"2")[: failures + 1]
            ]
            assert upstream.retries == {"sent": failures, "recovered": 1}
        else:
            assert status.code == (1 if how is cancelled else 14)
            assert (caller.data, len(there.requests)) == (b"", 1)
            assert upstream.retries == {}


async def test_a_whole_service() -> None:
    section: dict[str, Any] = {"idempotent_methods": ("/test.v1.Test/*",)}
    async with backend(first(1, unavailable)) as there, upstream_to(there, **section) as upstream:
        assert await call(upstream).end() == OK


async def test_attempts_are_counted_and_the_last_word_is_the_callers() -> None:
    async with backend(unavailable) as there, upstream_to(there, **IDEMPOTENT) as upstream:
        assert await call(upstream).end() == Status(14, "not now")
        assert len(there.requests) == ATTEMPTS
        assert upstream.retries == {"sent": ATTEMPTS - 1, "attempts": 1, "failed": 1}
        await nothing_open(upstream)


async def test_what_is_refused_again_and_again_is_sent_as_often() -> None:
    async with backend(refuse) as there, upstream_to(there, **IDEMPOTENT) as upstream:
        assert (await call(upstream).end()).code == 14
        assert len(there.requests) == ATTEMPTS + 1  # once because it was surely not processed


@pytest.mark.parametrize("code", [code for code in range(1, 17) if code not in RETRYABLE])
async def test_any_other_status_is_an_answer(code: int) -> None:
    async def answer(request: Request) -> None:
        request.alone((b"grpc-status", b"%d" % code))

    async with backend(answer) as there, upstream_to(there, **IDEMPOTENT) as upstream:
        assert (await call(upstream).end()).code == code
        assert len(there.requests) == 1


@pytest.mark.parametrize("lost", [True, False])
@pytest.mark.parametrize("begun", [b"", message(b"m")])
async def test_what_has_begun_to_be_answered_is_not_sent_again(lost: bool, begun: bytes) -> None:
    async def answer(request: Request) -> None:
        request.head()
        if begun:
            await request.send(begun)
        await go_on.wait()
        if lost:
            request.connection.abort()
        else:
            request.trailers(UNAVAILABLE)

    go_on = asyncio.Event()
    async with backend(answer) as there, upstream_to(there, **IDEMPOTENT) as upstream:
        caller = call(upstream)
        await caller.until(lambda: caller.head is not None and caller.data == begun)
        go_on.set()
        assert (await caller.end()).code == 14
        assert caller.data == begun
        assert len(there.requests) == 1


@pytest.mark.parametrize(("size", "again"), [(KEPT - 5, True), (KEPT - 4, False)])
async def test_what_is_too_long_to_keep_is_not_sent_again(size: int, again: bool) -> None:
    async with backend(first(1, unavailable)) as there, upstream_to(there, **IDEMPOTENT) as upstream:
        await ready(upstream, 1)
        body = message(b"x" * size)
        caller = call(upstream, body)
        assert (await caller.end()).code == (0 if again else 14)
        assert caller.data == (body if again else b"")


async def test_a_request_that_goes_on_while_it_waits_is_sent_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random, "uniform", lambda _least, _most: 0.1)

    async def unavailable_at_once(request: Request) -> None:
        request.alone(UNAVAILABLE)

    async with backend(first(1, unavailable_at_once)) as there, upstream_to(there, **IDEMPOTENT) as upstream:
        caller = call(upstream, message(b"one"), end=False)
        await there.until(lambda: bool(there.requests) and there.requests[0].reset is not None)
        assert caller.stream is not None
        caller.stream.send(message(b"two"))
        caller.stream.end()
        assert await caller.end() == OK
        assert caller.data == message(b"one") + message(b"two")


async def test_it_goes_elsewhere() -> None:
    """Where it has failed it is only sent if there is nobody else."""
    async with backend(unavailable) as one, backend(unavailable) as two, backend() as three:
        targets = (one, two, three)
        async with upstream_to(*targets, **IDEMPOTENT) as upstream:
            await ready(upstream, 3)
            for caller in [call(upstream) for _ in range(30)]:
                assert await caller.end() == OK
            assert len(three.requests) == 30
            assert len(one.requests) < 30
            assert len(two.requests) < 30


async def test_everything_on_a_connection_that_is_lost_goes_elsewhere() -> None:
    async with backend(silent) as one, backend() as two, upstream_to(one, two, **IDEMPOTENT) as upstream:
        await ready(upstream, 2)
        callers = [call(upstream, message(b"%d" % each)) for each in range(100)]
        await one.arrivals(50)
        one.die()
        for each, caller in enumerate(callers):
            assert (await caller.end(), caller.data) == (OK, message(b"%d" % each))


async def test_a_storm_is_bounded() -> None:
    async with backend(unavailable) as there, upstream_to(there, budget=20, **IDEMPOTENT) as upstream:
        await ready(upstream, 1)
        for _ in range(10):
            for caller in [call(upstream) for _ in range(50)]:
                assert await caller.end() == Status(14, "not now")
        extra = len(there.requests) - 500
        assert 100 <= extra <= 20 + 500 * 0.2 + 10 * retries.RATE
        assert upstream.retries["budget"] > 300


async def test_not_beyond_the_deadline() -> None:
    async def later(request: Request) -> None:
        request.alone(UNAVAILABLE, (b"grpc-retry-pushback-ms", b"300"))

    async with backend(later) as there, upstream_to(there, **IDEMPOTENT) as upstream:
        await ready(upstream, 1)
        loop = asyncio.get_running_loop()
        assert (await call(upstream, deadline=loop.time() + 0.2).end(seconds=0.1)).code == 14
        assert len(there.requests) == 1


async def test_the_backend_says_when_and_hears_what_is_left_of_the_deadline() -> None:
    async def later(request: Request) -> None:
        request.alone(UNAVAILABLE, (b"grpc-retry-pushback-ms", b"300"))

    async with backend(first(1, later)) as there, upstream_to(there, **IDEMPOTENT) as upstream:
        loop = asyncio.get_running_loop()
        started = loop.time()
        assert await call(upstream, deadline=started + 10).end() == OK
        assert loop.time() - started > 0.29
        first_time, again = [timeout.parse(each.fields[b"grpc-timeout"]) for each in there.requests]
        assert again <= first_time - 0.29


async def test_who_leaves_while_it_waits_is_not_sent_again() -> None:
    async def later(request: Request) -> None:
        request.alone(UNAVAILABLE, (b"grpc-retry-pushback-ms", b"500"))

    async with backend(later) as there, upstream_to(there, **IDEMPOTENT) as upstream:
        caller = call(upstream)
        await there.until(lambda: bool(there.requests) and there.requests[0].replied)
        await asyncio.sleep(0.05)
        caller.cancel()
        await asyncio.sleep(0.55)
        assert (len(there.requests), caller.status) == (1, None)


async def test_an_application_that_does_not_stand_an_idempotent_method_is_hit_once_for_others() -> None:
    """The calls of other methods on the same lost connection fail once, and are seen once."""
    seen: Counter[bytes] = Counter()

    async def count(request: Request) -> None:
        seen[request.fields[b"x-call"]] += 1
        await silent(request)

    async with backend(count) as one, upstream_to(one, idempotent_methods=("/test.v1.Test/Other",)) as upstream:
        callers = [call(upstream, None, (b"x-call", b"%d" % each)) for each in range(20)]
        await one.arrivals(20)
        one.connections[0].abort()
        for caller in callers:
            assert await caller.end() == LOST
        assert set(seen.values()) == {1}
