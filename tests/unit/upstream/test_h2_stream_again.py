"""Which calls are sent again, and which never: only what the backend has surely not processed."""

import asyncio
from collections import Counter
from collections.abc import Callable

import pytest

from gateway.protocol.status import Status
from gateway.upstream.h2_stream import KEPT, LOST, REFUSED_ATTEMPTS
from tests.support.backend_http2 import ErrorCodes, Request, SettingCodes, backend, ok, silent
from tests.support.frames import message
from tests.unit.upstream.caller import call, nothing_open, upstream_to

MIB = 1024 * 1024
BROKEN_OFF = "the backend broke off the call"


class Refusing:
    """Refuses the first attempts of every call, told apart by `x-call`, and processes the next."""

    def __init__(self, attempts: int, how: Callable[[Request], None]) -> None:
        self.attempts = attempts
        self.how = how
        self.seen: Counter[bytes] = Counter()
        self.processed: Counter[bytes] = Counter()

    async def __call__(self, request: Request) -> None:
        name = request.fields[b"x-call"]
        self.seen[name] += 1
        if self.seen[name] <= self.attempts:
            self.how(request)
            return
        self.processed[name] += 1
        await ok(request)


def refuse(request: Request) -> None:
    request.rst(ErrorCodes.REFUSED_STREAM)


def name(number: int) -> tuple[bytes, bytes]:
    return b"x-call", b"%d" % number


async def test_refused_calls_are_sent_again_and_processed_once() -> None:
    answer = Refusing(1, refuse)
    async with backend(answer) as there, upstream_to(there) as upstream:
        callers = [call(upstream, message(b"%d" % each), name(each)) for each in range(50)]
        for each, caller in enumerate(callers):
            assert await caller.end() == Status(0)
            assert caller.data == message(b"%d" % each)
        assert set(answer.seen.values()) == {2}
        assert set(answer.processed.values()) == {1}
        assert len(answer.processed) == 50


async def test_attempts_are_counted() -> None:
    answer = Refusing(1000, refuse)
    async with backend(answer) as there, upstream_to(there) as upstream:
        callers = [call(upstream, None, name(each)) for each in range(10)]
        for caller in callers:
            status = await caller.end()
            assert status.code == 14
            assert "127" not in status.message
        assert set(answer.seen.values()) == {REFUSED_ATTEMPTS}
        assert not answer.processed
        await nothing_open(upstream)


async def test_a_request_that_is_still_coming_is_sent_again_whole() -> None:
    async def refuse_first(request: Request) -> None:
        if request is there.requests[0]:
            await there.until(lambda: request.size == 10)
            refuse(request)
        else:
            await ok(request)

    async with backend(refuse_first) as there, upstream_to(there) as upstream:
        caller = call(upstream, message(b"first"), end=False)
        assert caller.stream is not None
        await there.arrivals(2)
        caller.stream.send(message(b"later"))
        caller.stream.end()
        assert await caller.end() == Status(0)
        assert caller.data == message(b"first") + message(b"later")
        assert there.requests[1].data == caller.data


@pytest.mark.parametrize(("size", "again"), [(KEPT - 5, True), (KEPT - 4, False)])
async def test_what_is_no_longer_kept_is_not_sent_again(size: int, again: bool) -> None:
    async def refuse_first(request: Request) -> None:
        if request is there.requests[0]:
            await there.until(lambda: request.size >= KEPT - 5)
            refuse(request)
        else:
            await ok(request)

    async with backend(refuse_first) as there, upstream_to(there) as upstream:
        assert await upstream.reachable()
        body = message(b"x" * size)
        caller = call(upstream, body[:5], end=False)
        assert caller.stream is not None
        caller.stream.send(body[5:])
        if again:
            await there.arrivals(2)
            caller.stream.end()
        assert await caller.end() == (Status(0) if again else Status(14, BROKEN_OFF))
        assert (caller.data == body) == again
        assert len(there.requests) == 1 + again


@pytest.mark.parametrize("code", [code for code in range(14) if code != ErrorCodes.REFUSED_STREAM])
async def test_no_other_reset_is_sent_again(code: int) -> None:
    answer = Refusing(1, lambda request: request.rst(code))
    async with backend(answer) as there, upstream_to(there) as upstream:
        assert (await call(upstream, None, name(1)).end()).code != 0
        assert await call(upstream, None, name(2)).end() != Status(0)
        assert set(answer.seen.values()) == {1}


async def test_calls_beyond_a_goaway_are_sent_again_and_the_others_finish() -> None:
    go_on = asyncio.Event()
    processed: Counter[bytes] = Counter()

    async def answer(request: Request) -> None:
        if request.connection is there.connections[0] and request.id > 9:
            return  # not processed, as the GOAWAY will say
        processed[request.fields[b"x-call"]] += 1
        if request.connection is there.connections[0]:
            await go_on.wait()
        await ok(request)

    async with backend(answer) as there, upstream_to(there) as upstream:
        callers = [call(upstream, message(b"%d" % each), name(each)) for each in range(20)]
        await there.arrivals(20)
        (first,) = there.connections
        first.say_goaway(9)
        for caller in callers[5:]:
            assert await caller.end() == Status(0)
        assert [caller.status for caller in callers[:5]] == [None] * 5
        assert not first.closed
        assert len(there.connections) == 2
        assert await call(upstream, None, name(99)).end() == Status(0)  # new ones go to the new connection
        assert first.requests.keys() == set(range(1, 41, 2))
        go_on.set()
        for caller in callers[:5]:
            assert await caller.end() == Status(0)
        assert set(processed.values()) == {1}
        assert len(processed) == 21
        await there.until(lambda: first.closed)


async def test_a_graceful_goaway_in_two_steps_loses_nothing() -> None:
    """First the notice, with the last of all numbers; then the last stream that is really taken (RFC 9113, 6.8)."""
    answer = Refusing(0, refuse)
    async with backend(answer) as there, upstream_to(there) as upstream:
        assert await upstream.reachable()
        for step in range(4):
            callers = [call(upstream, None, name(100 * step + each)) for each in range(20)]
            connection = there.standing[-1]
            await there.until(lambda connection=connection: bool(connection.open) or connection.requests)  # type: ignore[misc]
            connection.say_goaway()
            connection.say_goaway(max(connection.requests, default=0))
            for caller in callers:
                assert await caller.end() == Status(0)
        assert set(answer.processed.values()) == {1}
        assert len(answer.processed) == 80


async def test_a_goaway_on_every_connection_is_not_followed_for_ever() -> None:
    async def leave(request: Request) -> None:
        request.connection.say_goaway(0)

    async with backend(leave) as there, upstream_to(there) as upstream:
        assert (await call(upstream).end()).code == 14
        assert len(there.requests) == REFUSED_ATTEMPTS


@pytest.mark.parametrize("begun", [False, True])
async def test_a_lost_connection_is_unavailable_once(begun: bool) -> None:
    async def answer(request: Request) -> None:
        if begun:
            request.head((b"x-a", b"1"))
            await request.send(message(b"m"))

    async with backend(answer) as there, upstream_to(there) as upstream:
        callers = [call(upstream) for _ in range(20)]
        await there.arrivals(20)
        if begun:
            for caller in callers:
                await caller.until(lambda caller=caller: caller.data == message(b"m"))  # type: ignore[misc]
        there.connections[0].abort()
        for caller in callers:
            assert await caller.end() == LOST
            assert caller.data == (message(b"m") if begun else b"")
        there.answer = ok
        assert await call(upstream).end() == Status(0)
        assert len(there.requests) == 21


async def test_what_has_never_left_is_sent_on_another_connection() -> None:
    """A connection may be so full that a request does not even begin to leave."""
    async with backend(silent, settings={SettingCodes.INITIAL_WINDOW_SIZE: 64 * MIB}) as there:
        async with upstream_to(there) as upstream:
            assert await upstream.reachable()
            (connection,) = there.connections
            connection.widen(256 * MIB)
            upload = call(upstream, b"", (b"x-call", b"upload"), end=False)
            await there.arrivals(1)
            connection.stop_reading()
            assert upload.stream is not None
            sent = 0
            while not upload.paused:
                assert sent < 64 * MIB
                upload.stream.send(bytes(MIB))
                sent += MIB
                await asyncio.sleep(0)
            small = call(upstream, message(b"small"))
            await asyncio.sleep(0.05)
            there.answer = ok
            connection.abort()
            assert await upload.end() == LOST
            assert await small.end() == Status(0)
            assert small.data == message(b"small")
        assert [len(each.requests) for each in there.connections] == [1, 1]


async def test_a_caller_that_leaves_is_not_sent_again() -> None:
    async with backend(silent) as there, upstream_to(there) as upstream:
        caller = call(upstream)
        (request,) = await there.arrivals(1)
        caller.cancel()
        request.rst(ErrorCodes.REFUSED_STREAM)
        await nothing_open(upstream)
        assert len(there.requests) == 1
        assert caller.status is None


async def test_calls_that_wait_go_on_another_target_when_theirs_is_lost() -> None:
    async def leave(request: Request) -> None:
        request.connection.say_goaway(0)
        there.stop()

    async with backend(leave) as there, backend() as other, upstream_to(there, other) as upstream:
        await there.until(lambda: len(upstream.pool.ready) == 2)
        callers = [call(upstream, message(b"%d" % each)) for each in range(10)]
        for caller in callers:
            assert await caller.end() == Status(0)
        assert len(other.requests) == 10
