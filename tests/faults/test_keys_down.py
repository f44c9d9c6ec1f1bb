"""An issuer's key set that cannot be fetched, and keys that come and go: who has a good token notices nothing."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import astuple
from typing import Any

import pytest

from gateway.demo.signer import Signer
from gateway.policy import keys
from gateway.policy.keys import KeySet, Refresh
from gateway.protocol.status import Code
from tests.faults.conftest import Figures
from tests.support.gateway import RunningGateway, eventually, running, untouched
from tests.support.key_server import KeyServer, key_server

KEYS = "/keys"
SCALE = 3600.0  # an hour passes in a second
HOUR = 3600.0 / SCALE
SCALED = Refresh(*(seconds / SCALE for seconds in astuple(Refresh())))
DAY = 0.5  # seconds, in place of 24 h, where keys are to grow too old
AGEING = Refresh(every=0.05, retry_first=0.05, retry_last=0.05, stale_after=DAY)


class Issuing:
    """What an issuer does to its keys. It signs with `signing`, whatever is published."""

    def __init__(self, gateway: RunningGateway, server: KeyServer) -> None:
        self.gateway = gateway
        self.server = server
        self.signing: Signer = gateway.world.issuer._signer
        gateway.world.issuer._signer = self  # type: ignore[assignment]
        self._known = [self.signing]  # of all times: the backend believes them, so that a refusal is the gateway's

    def sign(self, claims: Mapping[str, object]) -> str:
        return self.signing.sign(claims)

    def jwks(self) -> dict[str, object]:
        return _together(*self._known)

    def rotate(self) -> None:
        self.signing = Signer()
        self._known.append(self.signing)

    def publish(self, *signers: Signer) -> None:
        self.server.pages[KEYS] = json.dumps(_together(*signers)).encode()

    def headers(self, signer: Signer | None = None) -> dict[str, str]:
        """Of a call with a token that nobody has seen yet, signed by `signer`."""
        now, self.signing = self.signing, signer or self.signing
        try:
            return self.gateway.headers()
        finally:
            self.signing = now

    @property
    def fetched(self) -> int:
        """Requests for the key set so far."""
        return self.server.requests[KEYS]

    @property
    def key_set(self) -> KeySet:
        (found,) = self.gateway.gateway.succession.current.tokens.key_sets.values()
        return found

    async def code(self, headers: Mapping[str, str]) -> int:
        return (await self.gateway.echo(headers=headers)).code

    async def next_fetch(self) -> None:
        """Return when one has succeeded that begins after this moment."""
        before, asked = asyncio.get_running_loop().time(), self.fetched
        clock = self.key_set._clock
        started = clock()
        await eventually(lambda: self.fetched > asked and clock() - (self.key_set.age() or 0) > started, 10)
        assert asyncio.get_running_loop().time() >= before


def _together(*signers: Signer) -> dict[str, object]:
    return {"keys": [key for signer in signers for key in signer.jwks()["keys"]]}  # type: ignore[attr-defined]


@asynccontextmanager
async def issuing() -> AsyncIterator[Issuing]:
    async with key_server() as server:

        def elsewhere(configuration: dict[str, Any]) -> None:
            configuration["auth"]["issuers"][0]["jwks"] = server.url + KEYS

        server.pages[KEYS] = b'{"keys": []}'
        async with running(elsewhere) as gateway:
            issuing = Issuing(gateway, server)
            issuing.publish(issuing.signing)
            await eventually(lambda: issuing.key_set.ready, 10)
            yield issuing
