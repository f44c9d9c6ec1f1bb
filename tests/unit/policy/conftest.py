"""What most of these tests stand on: a clock that stands still, an authorization server, issuers with keys."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.policy.fetch import Fetcher
from gateway.policy.keys import KeySet, Refresh
from tests.support.clock import Clock
from tests.support.key_server import KeyServer, key_server
from tests.support.tokens import KeyWorld
from tests.unit.policy.key_pages import KEYS, OLD, MakeKeys, open_key_sets


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def server() -> AsyncIterator[KeyServer]:
    async with key_server() as server:
        yield server


@pytest.fixture
def world(clock: Clock) -> KeyWorld:
    return KeyWorld(now=clock)


@pytest.fixture
async def make_keys(server: KeyServer, clock: Clock) -> AsyncIterator[MakeKeys]:
    """Key sets in use, of the server's page or another source, with a clock that stands still; closed at the end."""
    server.pages[KEYS] = OLD
    fetcher = Fetcher()
    made: list[KeySet] = []

    def make(source: str | Path | None = None, *, issuer: str = "https://login.test/", **options: Refresh) -> KeySet:
        made.append(KeySet(issuer, source or server.url + KEYS, fetcher, clock=clock, **options))
        made[-1].use()
        return made[-1]

    yield make
    for key_set in made:
        await key_set.close()
    await fetcher.close()
    assert not open_key_sets()
