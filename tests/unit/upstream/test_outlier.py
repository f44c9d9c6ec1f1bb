"""Addresses that fail again and again get no calls for a while."""

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.protocol.status import Status
from gateway.settings import OutlierDetection
from gateway.upstream.outlier import MOST, Outliers
from gateway.upstream.resolver import Address
from tests.support.backend_http2 import Answer, ErrorCodes, Request, backend, ok, silent
from tests.support.frames import message
from tests.unit.upstream.caller import call, nothing_open, ready, upstream_to

OK = Status(0)
ADDRESSES = [Address("127.0.0.1", port) for port in range(1, 8)]


def detection(failures: int = 3, seconds: float = 0.3) -> dict[str, Any]:
    return {"outlier_detection": OutlierDetection(consecutive_failures=failures, eject_for=seconds)}


async def unavailable(request: Request) -> None:
    request.alone((b"grpc-status", b"14"))


async def reset(request: Request) -> None:
    request.rst(ErrorCodes.INTERNAL_ERROR)


async def bad_gateway(request: Request) -> None:
    request.alone(status=502, kind=b"text/html")


@pytest.mark.parametrize("how", [unavailable, reset, bad_gateway])
async def test_an_address_that_fails_is_left_alone_and_comes_back(how: Answer) -> None:
    async with backend(how) as one, backend() as two:
        with capture_logs() as events:
            async with upstream_to(one, two, **detection()) as upstream:
                await ready(upstream, 2)
                codes = [(await call(upstream).end()).code for _ in range(40)]
                assert len([code for code in codes if code]) == 3
                assert len(one.requests) == 3
                assert sorted(upstream.addresses) == sorted([(one.target, True, True), (two.target, True, False)])
                one.answer = ok
                await ready(upstream, 2)
                for _ in range(10):
                    assert await call(upstream).end() == OK
                assert len(one.requests) > 3
        told = [each for each in events if each["event"] in ("backend_ejected", "backend_returned")]
        assert [each["event"] for each in told] == ["backend_ejected", "backend_returned"]
        assert {each["address"] for each in told} == {one.target}


async def refuse(request: Request) -> None:
    request.rst(ErrorCodes.REFUSED_STREAM)


async def test_an_address_that_refuses_every_stream_is_left_alone() -> None:
    async with backend(refuse) as one, backend() as two, upstream_to(one, two, **detection(3, 60.0)) as upstream:
        await ready(upstream, 2)
        for _ in range(20):
            await call(upstream).end()
        assert len(one.requests) == 3
        assert {state.address for state in upstream.addresses if state.ejected} == {one.target}


@pytest.mark.parametrize("code", [1, 2, 3, 4, 5, 7, 8, 9, 12, 13, 16])
async def test_a_status_of_the_application_is_no_failure(code: int) -> None:
    async def answer(request: Request) -> None:
        request.alone((b"grpc-status", b"%d" % code))

    async with backend(answer) as one, backend() as two, upstream_to(one, two, **detection()) as upstream:
        await ready(upstream, 2)
        for _ in range(20):
            await call(upstream).end()
        assert len(upstream.pool.ready) == 2


async def test_failures_count_in_a_row() -> None:
    async def answer(request: Request) -> None:
        await (ok if len(one.requests) % 3 == 0 else unavailable)(request)

    async with backend(answer) as one, backend() as two, upstream_to(one, two, **detection()) as upstream:
        await ready(upstream, 2)
        for _ in range(30):
            await call(upstream).end()
        assert len(upstream.pool.ready) == 2
        assert len(one.requests) == 15


async def test_a_lost_connection_is_one_failure_however_many_calls_it_has() -> None:
    async with backend(silent) as one, backend() as two, upstream_to(one, two, **detection(3, 60.0)) as upstream:
        await ready(upstream, 2)
        for number in (1, 2, 3):
            callers = [call(upstream) for _ in range(20)]
            await one.arrivals(10 * number)
            assert not any(state.ejected for state in upstream.addresses)
            one.standing[-1].abort()
            for caller in callers:
                await caller.end()
            if number < 3:
                await ready(upstream, 2)
        assert {state.address for state in upstream.addresses if state.ejected} == {one.target}


async def test_deadlines_shut_nobody_out() -> None:
    """A caller can choose one that no backend keeps."""
    async with backend(silent) as one, backend() as two, upstream_to(one, two, **detection()) as upstream:
        await ready(upstream, 2)
        for _ in range(10):
            callers = [call(upstream, deadline=asyncio.get_running_loop().time() + 0.001) for _ in range(2)]
            await asyncio.sleep(0.005)
            for caller in callers:
                if caller.status is None:
                    caller.cancel()
        await nothing_open(upstream)
        assert len(upstream.pool.ready) == 2


async def test_one_address_alone_is_never_left_alone() -> None:
    async with backend(unavailable) as there, upstream_to(there, **detection()) as upstream:
        for _ in range(10):
            assert (await call(upstream).end()).code == 14
        assert len(there.requests) == 10


async def test_when_only_ejected_ones_are_left_they_are_taken() -> None:
    async with backend(unavailable) as one, backend() as two:
        long = detection(seconds=60.0)
        async with upstream_to(one, two, **long) as upstream:
            await ready(upstream, 2)
            for _ in range(10):
                await call(upstream).end()
            assert len(upstream.pool.ready) == 1
            one.answer = ok
            two.die()
            await two.until(lambda: not two.standing)
            caller = call(upstream, message(b"x"))
            assert (await caller.end(), caller.data) == (OK, message(b"x"))
            await two.start()
            await ready(upstream, 1)


async def test_calls_go_on_that_an_ejected_address_has() -> None:
    go_on = asyncio.Event()

    async def answer(request: Request) -> None:
        if request is one.requests[0]:
            await go_on.wait()
            await ok(request)
        else:
            await unavailable(request)

    async with backend(answer) as one, backend() as two, upstream_to(one, two, **detection(seconds=60.0)) as upstream:
        await ready(upstream, 2)
        callers = [call(upstream) for _ in range(2)]
        await one.arrivals(1)
        for _ in range(10):
            await call(upstream).end()
        assert len(upstream.pool.ready) == 1
        go_on.set()
        for caller in callers:
            assert await caller.end() == OK


# --- the rules without a wire


@pytest.mark.parametrize(("addresses", "most"), [(1, 0), (2, 1), (3, 1), (4, 2), (7, 3)])
async def test_at_most_half_are_away(addresses: int, most: int) -> None:
    outliers = Outliers("test", OutlierDetection(consecutive_failures=1, eject_for=60.0), lambda: None)
    outliers.keep(set(ADDRESSES[:addresses]))
    for address in ADDRESSES[:addresses]:
        outlier = outliers.of(address)
        assert outlier is not None
        outlier.note(failed=True)
    assert sum(map(outliers.ejected, ADDRESSES)) == most
    outliers.close()


async def test_ejections_become_longer_and_who_stands_begins_anew() -> None:
    lengths: list[float] = []
    enough = asyncio.Event()

    def changed() -> None:
        """It fails again in the moment in which it is back, until it has been ejected often enough."""
        if outlier.ejected:
            lengths.append(outlier.away)
        elif len(lengths) < MOST + 2:
            outlier.note(failed=True)
        else:
            enough.set()

    outliers = Outliers("test", OutlierDetection(consecutive_failures=1, eject_for=0.01), changed)
    outliers.keep(set(ADDRESSES))
    found = outliers.of(ADDRESSES[0])
    assert found is not None
    outlier = found
    outlier.note(failed=True)
    await asyncio.wait_for(enough.wait(), 10)
    assert lengths[:3] == pytest.approx([0.01, 0.02, 0.03])
    assert lengths[-1] == pytest.approx(MOST * 0.01)
    await asyncio.sleep(2 * MOST * 0.01)
    outlier.note(failed=True)
    assert lengths[-1] == pytest.approx(0.01)
    outliers.close()


async def test_an_address_that_is_gone_is_forgotten() -> None:
    changes: list[None] = []
    outliers = Outliers("test", OutlierDetection(consecutive_failures=1, eject_for=0.02), lambda: changes.append(None))
    outliers.keep(set(ADDRESSES))
    outlier = outliers.of(ADDRESSES[0])
    assert outlier is not None
    outlier.note(failed=True)
    outliers.keep(set(ADDRESSES[1:]))
    assert not outliers.ejected(ADDRESSES[0])
    outlier.note(failed=True)
    await asyncio.sleep(0.05)
    assert len(changes) == 1
