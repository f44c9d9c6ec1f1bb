"""Rates counted in a Redis that replicas share, by the scripts of the library `limits`: one step there for each call.

Rules
- A call waits at most `TIMEOUT` for all its counts. When Redis does not answer, `rate_storage_failure` decides, and for
  `ASK_AGAIN` seconds it decides at once; then one call asks again.
- Windows are measured by the clock of Redis, so that replicas need not agree about the time.
- Who was refused is refused here, without another question, until the time that the refusal named: nothing can make
  room for a call before that, and a flood stays off Redis.
- The URL holds a password: logs name host, port and database only, and errors by their type.
"""

import asyncio
import ssl
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

import structlog
from limits.aio.storage import RedisStorage
from redis.asyncio import BlockingConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from gateway.permit import Refusal
from gateway.policy.rate_limit import Due, RateLimit
from gateway.protocol.retry_info import pushback, with_retry_info
from gateway.protocol.status import Code, Status

TIMEOUT = 0.25  # seconds
ASK_AGAIN = 1.0  # seconds
PORT = 6379  # of a URL that names none
CONNECTIONS = 16  # what one event loop can keep busy; calls queue for them
MOST_REFUSED = 10_000  # keys
PREFIX = "grpcweb-gateway"  # of every key
PROBE = RateLimit("method", 1000, 1.0, "check")

UNCOUNTED = Refusal(
    with_retry_info(Status(Code.UNAVAILABLE, "calls cannot be counted now, try again later"), ASK_AGAIN),
    "rate_storage",
    (pushback(ASK_AGAIN),),
)

log = structlog.get_logger("gateway.policy")


class RedisCounts:
    """One client for all limits."""

    def __init__(self, url: str, *, allow_uncounted: bool) -> None:
        self.up = True  # as far as the last answer, or its absence, tells
        self._address = address_of(url)
        self._uncounted = None if allow_uncounted else UNCOUNTED
        self._pool, self._storage = _connect(url)
        self._ask_again_at = 0.0
        self._refused: OrderedDict[str, float] = OrderedDict()  # until when
        self._asking: set[asyncio.Task[None]] = set()

    def take(self, due: Sequence[Due], then: Callable[[Refusal | None], None]) -> None:
        now = time.monotonic()
        for limit, key in due:
            if (until := self._refused.get(key, 0.0)) > now:
                then(limit.refusal(until - now))
                return
        if not self.up:
            if now < self._ask_again_at:
                then(self._uncounted)
                return
            self._ask_again_at = now + ASK_AGAIN
        task = asyncio.get_running_loop().create_task(self._ask(due, then))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def start(self) -> None:
        """Ask once, so that a Redis which does not answer is logged before the first call."""
        await self._ask([(PROBE, PROBE.name)], lambda _refusal: None)

    async def close(self) -> None:
        for task in self._asking:
            task.cancel()
        await asyncio.gather(*self._asking, return_exceptions=True)
        await self._pool.aclose()

    async def _ask(self, due: Sequence[Due], then: Callable[[Refusal | None], None]) -> None:
        asked_when_up = self.up
        try:
            async with asyncio.timeout(TIMEOUT):
                refusal = await self._count(due)
        except Exception as error:  # of the client, of the server, of the network
            self._failed(error)
            refusal = self._uncounted
        else:
            if not asked_when_up:  # of many questions that were under way when it failed, none says that it is back
                self._recovered()
        then(refusal)

    async def _count(self, due: Sequence[Due]) -> Refusal | None:
        for limit, key in due:
            if (wait := await _take(self._storage, limit, key)) is not None:
                self._remember(key, time.monotonic() + wait)
                return limit.refusal(wait)
        return None

    def _remember(self, key: str, until: float) -> None:
        self._refused[key] = until
        self._refused.move_to_end(key)
        if len(self._refused) > MOST_REFUSED:
            self._refused.popitem(last=False)

    def _failed(self, error: Exception) -> None:
        self._ask_again_at = time.monotonic() + ASK_AGAIN
        if self.up:
            self.up = False
            calls = "allowed" if self._uncounted is None else "refused"
            log.warning("rate_storage_down", storage=self._address, reason=_reason(error), calls=calls)

    def _recovered(self) -> None:
        if not self.up:
            self.up = True
            log.info("rate_storage_up", storage=self._address)


async def redis_problem(url: str) -> str | None:
    """Why calls cannot be counted there, or None. No secret is in it."""
    pool, storage = _connect(url)
    try:
        async with asyncio.timeout(8 * TIMEOUT):  # an operator can wait longer than a call
            await _take(storage, PROBE, PROBE.name)
    except Exception as error:  # as above
        return f"{address_of(url)}: {_reason(error)}"
    finally:
        await pool.aclose()
    return None


def address_of(url: str) -> str:
    """`host:port/database` of a URL, for logs."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{host}:{parts.port or PORT}/{parts.path.strip('/') or '0'}"


def _with_port(url: str) -> str:
    """`limits` demands one, though its client does not."""
    parts = urlsplit(url)
    return url if parts.port else parts._replace(netloc=f"{parts.netloc.removesuffix(':')}:{PORT}").geturl()


def _connect(url: str) -> tuple[BlockingConnectionPool, RedisStorage]:
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=CONNECTIONS,
        timeout=None,  # TIMEOUT is for all of it
        socket_timeout=None,
        socket_connect_timeout=None,
        retry=Retry(NoBackoff(), 0),  # a call does not wait for a second try
    )
    # Its options are typed as those of a URL; a pool is one, too, by its documentation.
    storage = RedisStorage(_with_port(url), implementation="redispy", key_prefix=PREFIX, connection_pool=pool)  # type: ignore[arg-type]
    return pool, storage


async def _take(storage: RedisStorage, limit: RateLimit, key: str) -> float | None:
    """Count a call, or tell after how many seconds there is room for one."""
    # Seconds are whole numbers to the library, but its scripts count in milliseconds: RateLimit keeps them exact.
    if await storage.acquire_sliding_window_entry(key, limit.calls, limit.seconds):  # type: ignore[arg-type]
        return None
    return limit.wait(await storage.get_sliding_window(key, limit.seconds))  # type: ignore[arg-type]


def _reason(error: Exception) -> str:
    """Its type; of a certificate what is wrong with it, too."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLCertVerificationError):
        cause = cause.__cause__ or cause.__context__
    return type(error).__name__ if cause is None else f"{type(error).__name__}: {cause.verify_message}"
