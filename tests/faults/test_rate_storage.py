"""Counts in a real Redis: shared, quick to give up, and back by themselves."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway.permit import Refusal
from gateway.policy import rate_redis
from gateway.policy.rate_limit import RateLimit
from gateway.policy.rate_redis import ASK_AGAIN, MOST_REFUSED, TIMEOUT, RedisCounts, redis_problem
from gateway.protocol.status import Code
from gateway.settings.limits import Rate
from tests.support.certificates import authority, leaf, write_pair
from tests.support.gateway import eventually
from tests.support.ports import free_port
from tests.support.redis_server import PASSWORD, RedisServer, redis_server

SLOW = 1.25  # seconds that a busy machine may add
SHARED = RateLimit.of(Rate(key="peer", limit="20/minute"))


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[RedisServer]:
    async with redis_server(tmp_path) as server:
        yield server


@contextlib.asynccontextmanager
async def counting(url: str, *, allow: bool = False) -> AsyncIterator[RedisCounts]:
    counts = RedisCounts(url, allow_uncounted=allow)
    try:
        yield counts
    finally:
        await counts.close()


async def take(counts: RedisCounts, key: str = "x", limit: RateLimit = SHARED) -> Refusal | None:
    told: asyncio.Future[Refusal | None] = asyncio.get_running_loop().create_future()
    counts.take([(limit, key)], told.set_result)
    return await asyncio.wait_for(told, 5)


def at_once(counts: RedisCounts, key: str = "x", limit: RateLimit = SHARED) -> Refusal | None:
    """The answer that is there before the question returns."""
    told: list[Refusal | None] = []
    counts.take([(limit, key)], told.append)
    (refusal,) = told
    return refusal


def reason(refusal: Refusal | None) -> str:
    return "passes" if refusal is None else refusal.reason


def hint(refusal: Refusal | None) -> float:
    """Seconds."""
    assert refusal is not None
    ((name, milliseconds),) = refusal.metadata
    assert name == b"grpc-retry-pushback-ms"
    return int(milliseconds) / 1000


async def test_replicas_share_what_they_count(redis: RedisServer) -> None:
    async with counting(redis.url) as one, counting(redis.url) as other:
        asked = [take(counts, key) for _ in range(20) for counts in (one, other) for key in ("a", "b")]
        reasons = [reason(refusal) for refusal in await asyncio.gather(*asked)]
    assert reasons.count("passes") == 40  # 20 of each key, however many ask at once
    assert reasons.count("rate_peer") == 40


async def test_a_refusal_names_a_time_after_which_a_call_passes(redis: RedisServer) -> None:
    limit = RateLimit.of(Rate(key="subject", limit="7/second", burst=3))  # 429 ms: whole for no decimal
    async with counting(redis.url) as counts:
        for _ in range(5):
            while (refusal := await take(counts, limit=limit)) is None:
                pass
            wait = hint(refusal)
            assert 0 < wait <= 2 * limit.seconds + 0.002
            await asyncio.sleep(wait)  # what a client does with it
            assert await take(counts, limit=limit) is None


async def test_keys_end_with_their_window(redis: RedisServer) -> None:
    limit = RateLimit.of(Rate(key="subject", limit="10/second", burst=1))
    async with counting(redis.url) as counts:
        assert await take(counts, "someone", limit) is None
        assert await redis.keys() == ["grpcweb-gateway:{someone}"]
        async with asyncio.timeout(2):
            while await redis.keys():
                await asyncio.sleep(0.02)


async def test_who_was_refused_is_refused_here(redis: RedisServer) -> None:
    limit = RateLimit.of(Rate(key="peer", limit="1/minute"))
    async with counting(redis.url) as counts:
        await take(counts, limit=limit)
        refusal = await take(counts, limit=limit)
        questions = await redis.questions()
        again = [at_once(counts, limit=limit) for _ in range(100)]
        assert {reason(each) for each in again} == {"rate_peer"}
        assert all(hint(each) <= hint(refusal) for each in again)
        assert await redis.questions() == questions


async def test_only_so_many_refusals_are_remembered(redis: RedisServer) -> None:
    async with counting(redis.url) as counts:
        for number in range(MOST_REFUSED + 10):
            counts._remember(str(number), time.monotonic() + 100)
        assert len(counts._refused) == MOST_REFUSED
        assert reason(at_once(counts, str(MOST_REFUSED + 9))) == "rate_peer"
        assert await take(counts, "0") is None


@pytest.mark.parametrize(("allow", "expected"), [(False, "rate_storage"), (True, "passes")])
@pytest.mark.parametrize("fault", ["killed", "frozen"])
async def test_redis_fails_in_the_middle_and_comes_back(
    redis: RedisServer, fault: str, allow: bool, expected: str
) -> None:
    with capture_logs() as logs:
        async with counting(redis.url, allow=allow) as counts:
            assert await take(counts) is None
            await redis.kill() if fault == "killed" else redis.freeze()
            started = time.monotonic()
            failed = await asyncio.gather(*(take(counts) for _ in range(100)))
            assert time.monotonic() - started < TIMEOUT + SLOW
            assert {reason(refusal) for refusal in failed} == {expected}
            assert {reason(at_once(counts)) for _ in range(100)} == {expected}  # nobody waits any more
            assert not counts.up
            await redis.start() if fault == "killed" else redis.thaw()
            async with asyncio.timeout(ASK_AGAIN + 2):
                while not counts.up:
                    await take(counts)
                    await asyncio.sleep(0.05)
            assert await take(counts) is None
    calls = "allowed" if allow else "refused"
    assert [(entry["event"], entry.get("calls")) for entry in logs] == [
        ("rate_storage_down", calls),
        ("rate_storage_up", None),
    ]
    assert logs[0]["storage"] == f"127.0.0.1:{redis.port}/0"
    assert PASSWORD not in repr(logs)


async def test_while_it_is_down_one_call_asks_and_nobody_else_waits(redis: RedisServer) -> None:
    async with counting(redis.url, allow=True) as counts:
        redis.freeze()
        await take(counts)
        counts._ask_again_at = 0.0
        asked = asyncio.create_task(take(counts))
        await asyncio.sleep(0)
        assert {reason(at_once(counts)) for _ in range(10)} == {"passes"}
        assert not asked.done()
        assert reason(await asked) == "passes"


async def test_a_refusal_for_want_of_counts_says_when_to_come_again(redis: RedisServer) -> None:
    async with counting(redis.url) as counts:
        await redis.kill()
        refusal = await take(counts)
        assert refusal is not None
        assert (refusal.status.code, hint(refusal)) == (Code.UNAVAILABLE, ASK_AGAIN)
        assert b"google.rpc.RetryInfo" in (refusal.status.details or b"")


async def test_it_is_logged_at_the_start(redis: RedisServer) -> None:
    await redis.kill()
    with capture_logs() as logs:
        async with counting(redis.url) as counts:
            await counts.start()
    assert [(entry["event"], entry["reason"]) for entry in logs] == [("rate_storage_down", "ConnectionError")]


async def test_what_is_asked_at_the_end_hangs_nowhere(redis: RedisServer) -> None:
    redis.freeze()
    counts = RedisCounts(redis.url, allow_uncounted=False)
    asked = [asyncio.create_task(take(counts)) for _ in range(3)]
    await asyncio.sleep(0)
    await asyncio.wait_for(counts.close(), 1)
    for task in asked:
        task.cancel()
    await asyncio.gather(*asked, return_exceptions=True)
    assert counts._asking == set()


async def test_check_says_what_is_wrong(redis: RedisServer) -> None:
    address = f"127.0.0.1:{redis.port}/0"
    assert await redis_problem(redis.url) is None
    assert await redis_problem(redis.url.replace(PASSWORD, "wrong")) == f"{address}: AuthenticationError"
    await redis.kill()
    assert await redis_problem(redis.url) == f"{address}: ConnectionError"


async def test_check_does_not_wait_for_ever(redis: RedisServer) -> None:
    redis.freeze()
    started = time.monotonic()
    assert "no answer in time" in (await redis_problem(redis.url) or "")
    assert time.monotonic() - started < 8 * TIMEOUT + SLOW


async def test_over_tls_only_a_certificate_that_the_system_trusts_is_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = authority()
    certificate, key = write_pair(tmp_path, *leaf(root, "localhost"))
    trusted = tmp_path / "ca.pem"
    trusted.write_bytes(root.pem)
    files = ["--tls-cert-file", str(certificate), "--tls-key-file", str(key), "--tls-auth-clients", "no"]
    async with redis_server(tmp_path, ["--tls-port", str(port := free_port()), *files]):
        url = f"rediss://:{PASSWORD}@localhost:{port}"
        problem = await redis_problem(url)
        assert problem == f"localhost:{port}/0: ConnectionError: unable to get local issuer certificate"
        monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
        assert await redis_problem(url) is None
        problem = await redis_problem(url.replace("localhost", "127.0.0.1"))
        assert problem is not None
        assert problem.startswith(f"127.0.0.1:{port}/0: ConnectionError: IP address mismatch")


async def test_the_client_is_one_for_all(redis: RedisServer) -> None:
    async with counting(redis.url) as counts:
        await asyncio.gather(*(take(counts, str(number)) for number in range(300)))
        assert len(counts._pool._available_connections) <= rate_redis.CONNECTIONS
        await eventually(lambda: not counts._asking)
