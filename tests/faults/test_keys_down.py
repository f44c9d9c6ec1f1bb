"""An issuer's key set that cannot be fetched, and keys that come and go: who has a good token notices nothing."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import astuple
from typing import Any

import pytest

from gateway.demo.signer import Signer
from gateway.policy import fetch, keys
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

    async def refreshed(self) -> None:
        """Return when a fetch that began after this moment is over: the next but one has begun."""
        asked = self.fetched
        await eventually(lambda: self.fetched >= asked + 2, 10)


def _together(*signers: Signer) -> dict[str, object]:
    return {"keys": [key for signer in signers for key in signer.jwks()["keys"]]}  # type: ignore[attr-defined]


@asynccontextmanager
async def issuing() -> AsyncIterator[Issuing]:
    async with key_server() as server:

        def elsewhere(configuration: dict[str, Any]) -> None:
            configuration["auth"]["issuers"][0]["jwks"] = server.url + KEYS

        server.pages[KEYS] = 503  # until the keys are known
        async with running(elsewhere) as gateway:
            issuing = Issuing(gateway, server)
            issuing.publish(issuing.signing)
            await eventually(lambda: issuing.key_set.ready, 10)
            yield issuing


async def hang(server: KeyServer) -> None:
    server.held[KEYS] = asyncio.Event()


async def break_down(server: KeyServer) -> None:
    server.pages[KEYS] = 503


async def talk_nonsense(server: KeyServer) -> None:
    server.pages[KEYS] = b"<html>we are down for maintenance</html>"


@pytest.mark.parametrize("go_down", [KeyServer.stop, break_down, talk_nonsense, hang], ids=lambda each: each.__name__)
async def test_an_outage_of_an_hour_fails_no_call_with_a_known_key(
    go_down: Callable[[KeyServer], Any], monkeypatch: pytest.MonkeyPatch, figures: Figures
) -> None:
    monkeypatch.setattr(keys, "Refresh", lambda: SCALED)
    monkeypatch.setattr(fetch, "TIMEOUT", 0.1)
    async with issuing() as issuer:
        server, old = issuer.server, issuer.signing
        codes: list[int] = []
        strangers: list[int] = []
        back = asyncio.Event()

        async def known() -> None:
            while not back.is_set():
                codes.append(await issuer.code(issuer.headers(old)))

        async def unknown() -> None:
            """Each asks for a fetch; those that wait for it keep nobody else."""
            while not back.is_set():
                strangers.append(await issuer.code(issuer.headers(Signer())))

        callers = [asyncio.create_task(each()) for each in (known, known, known, unknown)]
        await eventually(lambda: len(codes) > 20, 10)
        await go_down(server)
        down = time.monotonic()
        await eventually(lambda: time.monotonic() - down > HOUR and len(codes) > 100, 10)
        assert issuer.key_set.problem

        issuer.rotate()
        issuer.publish(old, issuer.signing)
        for event in server.held.values():
            event.set()
        server.held.clear()
        if go_down is KeyServer.stop:
            await server.start()
        await issuer.refreshed()
        assert await issuer.code(issuer.headers()) == Code.OK
        before = len(codes)
        await eventually(lambda: len(codes) > before + 20, 10)
        back.set()
        await asyncio.gather(*callers)
        assert set(codes) == {Code.OK}
        assert set(strangers) == {Code.UNAUTHENTICATED}
        figures(
            calls=len(codes),
            failed=sum(code != Code.OK for code in codes),
            strangers=len(strangers),
            hours=1,
        )


async def test_the_first_calls_with_a_new_key_bring_it_by_one_fetch(figures: Figures) -> None:
    async with issuing() as issuer:
        old = issuer.signing
        issuer.rotate()
        issuer.publish(old, issuer.signing)
        asked = issuer.fetched
        codes = await asyncio.gather(*(issuer.code(issuer.headers()) for _ in range(20)))
        assert codes == [Code.OK] * 20
        assert issuer.fetched == asked + 1
        figures(calls=len(codes), failed=0, fetches=issuer.fetched - asked)


async def test_a_key_that_is_taken_away_is_refused_after_one_refresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "Refresh", lambda: SCALED)
    async with issuing() as issuer:
        old, remembered = issuer.signing, issuer.headers()
        assert await issuer.code(remembered) == Code.OK
        issuer.rotate()
        issuer.publish(issuer.signing)
        await issuer.refreshed()
        async with untouched(issuer.gateway):
            assert await issuer.code(remembered) == Code.UNAUTHENTICATED
            assert await issuer.code(issuer.headers(old)) == Code.UNAUTHENTICATED
        assert await issuer.code(issuer.headers()) == Code.OK


async def test_keys_that_grow_too_old_are_not_believed_and_come_back_by_themselves(
    monkeypatch: pytest.MonkeyPatch, figures: Figures
) -> None:
    monkeypatch.setattr(keys, "Refresh", lambda: AGEING)
    async with issuing() as issuer:
        remembered = issuer.headers()
        await issuer.server.stop()
        down = time.monotonic()
        codes: list[int] = []
        async with asyncio.timeout(20 * DAY):
            while (code := await issuer.code(remembered)) == Code.OK:
                codes.append(code)
        took = time.monotonic() - down
        assert took > DAY - AGEING.every * 1.1
        async with untouched(issuer.gateway):
            assert await issuer.code(remembered) == Code.UNAUTHENTICATED
            assert await issuer.code(issuer.headers()) == Code.UNAUTHENTICATED
        assert not (await issuer.gateway.gateway.readiness()).ready
        await issuer.server.start()
        await eventually(lambda: issuer.key_set.ready, 10)  # no call has asked for it
        assert await issuer.code(remembered) == Code.OK
        assert (await issuer.gateway.gateway.readiness()).ready
        figures(calls_before=len(codes), hours_until_refused=round(took / DAY * 24, 1))
