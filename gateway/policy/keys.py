"""One issuer's public keys, fetched ahead of need (RFC 7517, OpenID Connect Discovery 1.0).

Rule: a call only looks keys up; fetching goes on beside it. A fetch that fails changes nothing: good keys stay until
they are `stale_after` old. An unknown `kid`, which any stranger can write into a token, causes one fetch, and all of
them together at most one per `unknown_kid_every`, whether it succeeds or not. Without keys the set is not ready. A set
on trial, which no call looks into yet, logs nothing.
"""

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import structlog

from gateway.policy.fetch import MAX_BODY, FailureLog, Fetcher, FetchError
from gateway.policy.jwks import Keys, PublicKey, parse_keys
from gateway.policy.strict_json import parse_object

MAX_NAME = 200  # characters of an issuer's own that are shown
MAX_UNKNOWN_KIDS = 1000  # a security limit: they come from strangers

log = structlog.get_logger("gateway.policy")


@dataclass(frozen=True, slots=True)
class Refresh:
    """When keys are fetched, in seconds."""

    every: float = 300.0
    file_every: float = 2.0  # a file is read in full each time: cheap, and free of the granularity of mtime
    retry_first: float = 0.5  # doubled with each failure
    retry_last: float = 30.0
    unknown_kid_every: float = 30.0
    stale_after: float = 24 * 3600.0

    def pause(self, failures: int, *, is_file: bool = False) -> float:
        """How long to wait for the next fetch after so many failures in a row; 0: the last one was good."""
        seconds = self.file_every if is_file else self.every
        if failures and not is_file:
            seconds = min(self.retry_first * 2.0 ** min(failures - 1, 30), self.retry_last)
        return seconds * random.uniform(0.9, 1.1)  # noqa: S311 - spreads workers and replicas, guards nothing


class KeySet:
    """The keys of `issuer`, from `source`: "discover", a URL or a file. `clock` counts seconds from anywhere; `fetcher`
    is closed with it.
    """

    def __init__(
        self,
        issuer: str,
        source: str | Path,
        fetcher: Fetcher,
        *,
        refresh: Refresh | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.source = source
        self._issuer = issuer
        self._file = Path(source) if source != "discover" and "://" not in str(source) else None
        self._fetcher = fetcher
        self._refresh = refresh or Refresh()
        self._clock = clock
        self._in_use = False
        self._failures = FailureLog("jwks_refresh_failed", clock, issuer=issuer)
        self._keys: Keys = {}
        self._kids: frozenset[str | None] = frozenset()
        self._unknown: dict[str, None] = {}  # kids that a fetch has not found, the oldest first
        self._document: bytes | None = None
        self._fetched_at: float | None = None
        self._next_for_kid = float("-inf")
        self._fetching: asyncio.Task[bool] | None = None
        self._refreshing: asyncio.Task[None] | None = None
        self.problem = ""  # why the last fetch failed, if it did
        self.hint = ""  # what to do about that, where it is known
        self.generation = 0  # grows whenever keys come or go; what was checked with older keys must be checked again

    @property
    def ready(self) -> bool:
        return bool(self._keys)

    def age(self) -> float | None:
        """Seconds since the last good fetch; None before the first."""
        return None if self._fetched_at is None else self._clock() - self._fetched_at

    def find(self, kid: str | None, algorithm: str) -> PublicKey | None:
        """The key to check a signature with. Without `kid` it is the only one for `algorithm`, if there is just one."""
        return self._keys.get((kid, algorithm))

    def is_worth_waiting(self, kid: str | None) -> bool:
        """Whether `wait_for` may bring a key with this `kid`. A set without keys recovers by itself, not by calls."""
        if not self._keys or kid is None or kid in self._kids or kid in self._unknown:
            return False
        return self._fetching is not None or self._clock() >= self._next_for_kid

    async def wait_for(self, kid: str | None) -> None:
        """Fetch for an unknown `kid`, or join the fetch under way, if that is worth while. Then ask `find`."""
        if kid is None or not self.is_worth_waiting(kid):
            return
        # A fetch that began earlier may have missed a new key, a failed one says nothing: neither makes a kid unknown.
        if self._fetching is not None:
            await self._fetch()
            return
        self._next_for_kid = self._clock() + self._refresh.unknown_kid_every
        if await self._fetch() and kid not in self._kids:
            if len(self._unknown) >= MAX_UNKNOWN_KIDS:
                del self._unknown[next(iter(self._unknown))]
            self._unknown[kid] = None

    def use(self, before: "KeySet | None" = None) -> None:
        """Calls look keys up here from now on, in place of `before`; what has changed by that is told, too."""
        if self._in_use:
            return
        self._in_use = True
        if self.problem:
            self._failures.add(self.problem)
        if self._keys != ({} if before is None else before._keys):
            self._tell()

    async def start(self) -> None:
        """Fetch once, whatever comes of it, and go on in the background."""
        fetched = await self._fetch()
        self._refreshing = asyncio.create_task(self._keep_fresh(fetched))

    async def close(self) -> None:
        tasks = [task for task in (self._refreshing, self._fetching) if task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await self._fetcher.close()

    async def _keep_fresh(self, fetched: bool) -> None:
        failures = 0
        while True:
            failures = 0 if fetched else failures + 1
            await asyncio.sleep(self._refresh.pause(failures, is_file=self._file is not None))
            fetched = await self._fetch()
            if fetched:
                self._unknown.clear()

    async def _fetch(self) -> bool:
        """Whether the keys are fresh now. All who ask during one fetch share it, and none who leaves can cancel it."""
        if self._fetching is None:
            self._fetching = asyncio.create_task(self._fetch_alone())
        task = self._fetching
        await asyncio.wait({task})
        return not task.cancelled() and task.result()

    async def _fetch_alone(self) -> bool:
        try:
            document = await self._read()
            if document != self._document:
                self._replace(parse_keys(document), document)
        except Exception as error:  # the background task must outlive whatever an endpoint can cause
            own = isinstance(error, FetchError | ValueError)
            self.problem = str(error) if own else type(error).__name__
            self.hint = error.hint if isinstance(error, FetchError) else ""
            if self._in_use:
                self._failures.add(self.problem)
            self._drop_stale()
            return False
        finally:
            self._fetching = None
        self.problem = self.hint = ""
        self._fetched_at = self._clock()
        return True

    def _replace(self, keys: Keys, document: bytes | None) -> None:
        self._document = document
        if keys == self._keys:
            return
        self._keys = keys
        self._kids = frozenset(kid for kid, _ in keys)
        self.generation += 1
        if self._in_use:
            self._tell()

    def _tell(self) -> None:
        log.info("jwks_changed", issuer=self._issuer, kids=sorted(kid for kid in self._kids if kid is not None))

    def _drop_stale(self) -> None:
        age = self.age()
        if self._keys and age is not None and age > self._refresh.stale_after:
            log.error("jwks_stale", issuer=self._issuer, age=round(age))
            self._replace({}, None)

    async def _read(self) -> bytes:
        if self._file is not None:
            return await asyncio.to_thread(_read_file, self._file)
        if self.source == "discover":
            return await self._fetcher.get(await discover(self._issuer, self._fetcher))
        return await self._fetcher.get(str(self.source))


async def discover(issuer: str, fetcher: Fetcher) -> str:
    """`jwks_uri` of the issuer's metadata (OpenID Connect Discovery 1.0, section 4). Raises FetchError, ValueError."""
    raw = await fetcher.get(issuer.removesuffix("/") + "/.well-known/openid-configuration")
    metadata = parse_object(raw)
    named = metadata.get("issuer")
    if not isinstance(named, str):
        raise FetchError("the metadata names no issuer")
    if named != issuer:
        raise FetchError(
            f"the issuer calls itself {named[:MAX_NAME]!r}", "write that as issuer, if it is the one you mean"
        )
    uri = metadata.get("jwks_uri")
    if not isinstance(uri, str):
        raise FetchError("the metadata has no jwks_uri")
    # Only an issuer on this machine may point to this machine.
    if urlsplit(issuer).scheme == "https" and urlsplit(uri).scheme != "https":
        raise FetchError("jwks_uri is not https")
    return uri


def _read_file(path: Path) -> bytes:
    # Nothing but a file ends: a pipe would hold the thread for ever.
    if not path.is_file():
        raise FetchError("no such file")
    with path.open("rb") as file:
        document = file.read(MAX_BODY + 1)
    if len(document) > MAX_BODY:
        raise FetchError(f"more than {MAX_BODY // 1024} KiB")
    return document
