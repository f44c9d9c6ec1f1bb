"""Issuers that tokens are believed of: their keys, and what each of them asks of its own."""

import asyncio

import aiohttp
from aiohttp import web

from gateway.permit import Refusal, Subject
from gateway.policy.fetch import Fetcher
from gateway.policy.keys import KeySet, Refresh
from gateway.policy.tokens import TokenVerifier, bearer
from gateway.protocol.status import Code
from gateway.settings import Auth, Issuer
from tests.support.clock import Clock
from tests.support.key_server import KeyServer, until
from tests.support.token_table import CASES
from tests.support.tokens import KeyWorld, ec_key, ed_key, jwk, jwks, rsa_key
from tests.unit.policy.key_pages import KEYS


def issuer_at(server: KeyServer, world: KeyWorld, **changes: object) -> Issuer:
    values = {"issuer": world.issuer, "audiences": (world.audience,), "jwks": server.url + KEYS} | changes
    return Issuer.model_validate(values)


async def started(server: KeyServer, world: KeyWorld, clock: Clock, **changes: object) -> TokenVerifier:
    server.pages[KEYS] = jwks(
        jwk(world.rsa_private, "rsa"), jwk(world.ec_private, "ec"), jwk(ec_key("p384"), "p384"), jwk(ed_key("a"), "ed")
    )
    verifier = TokenVerifier(Auth(issuers=(issuer_at(server, world, **changes),)), now=clock)
    await verifier.start()
    return verifier


async def reason(verifier: TokenVerifier, token: bytes) -> str:
    outcome = await verifier.verify(token)
    return outcome.reason if isinstance(outcome, Refusal) else ""


async def test_keys_in_a_token_are_never_fetched(server: KeyServer, world: KeyWorld, clock: Clock) -> None:
    thief = rsa_key("thief")
    server.pages |= {KEYS: world.jwks(), "/thief": jwks(jwk(thief, "thief"))}
    verifier = TokenVerifier(Auth(issuers=(issuer_at(server, world),)), now=clock)
    await verifier.start()
    header = {"jku": server.url + "/thief", "x5u": server.url + "/thief", "kid": "thief"}
    outcome = await verifier.verify(world.token(header=header, key=thief))
    await verifier.close()
    assert isinstance(outcome, Refusal)
    assert server.requests == {KEYS: 2}


async def test_a_rotated_key_is_waited_for_once(server: KeyServer, world: KeyWorld, clock: Clock) -> None:
    server.pages[KEYS] = world.jwks()
    verifier = TokenVerifier(Auth(issuers=(issuer_at(server, world),)), now=clock)
    await verifier.start()
    server.pages[KEYS] = jwks(jwk(rsa_key("new"), "new"))
    token = world.token(header={"kid": "new"}, key=rsa_key("new"))
    assert verifier.cached(token) is None
    outcomes = await asyncio.gather(*(verifier.verify(token) for _ in range(50)))
    assert {outcome.id for outcome in outcomes if isinstance(outcome, Subject)} == {"alice"}
    assert len(outcomes) == 50
    assert verifier.cached(token) is not None
    assert server.requests == {KEYS: 2}
    await verifier.close()


async def test_without_keys_nobody_comes_in(server: KeyServer, world: KeyWorld, clock: Clock) -> None:
    server.pages[KEYS] = 503
    verifier = TokenVerifier(
        Auth(issuers=(issuer_at(server, world),)), now=clock, refresh=Refresh(retry_first=0.01, retry_last=0.01)
    )
    assert not verifier.ready
    await verifier.start()
    assert not verifier.ready
    # At once: calls do not queue up behind an issuer that is down.
    outcome = verifier.cached(world.token())
    assert isinstance(outcome, Refusal)
    assert (outcome.reason, outcome.status.code) == ("keys_unavailable", Code.UNAUTHENTICATED)
    server.pages[KEYS] = world.jwks()
    await until(lambda: verifier.ready)
    assert isinstance(verifier.cached(world.token()), Subject)
    await verifier.close()


async def test_ready_needs_the_keys_of_every_issuer(server: KeyServer, world: KeyWorld) -> None:
    server.pages[KEYS] = world.jwks()
    down = Issuer(issuer=world.other_issuer, audiences=("x",), jwks=server.url + "/down")
    verifier = TokenVerifier(Auth(issuers=(issuer_at(server, world), down)))
    await verifier.start()
    assert not verifier.ready
    await verifier.close()


async def test_an_issuers_own_algorithms(server: KeyServer, world: KeyWorld, clock: Clock) -> None:
    verifier = await started(server, world, clock, algorithms=("PS256", "RS512", "ES384", "EdDSA"))
    assert await reason(verifier, world.token(header={"alg": "PS256"})) == ""
    assert await reason(verifier, world.token(header={"alg": "RS512"})) == ""
    assert await reason(verifier, world.token(header={"alg": "ES384", "kid": "p384"}, key=ec_key("p384"))) == ""
    assert await reason(verifier, world.token(header={"alg": "EdDSA", "kid": "ed"}, key=ed_key("a"))) == ""
    assert await reason(verifier, world.token()) == "token_algorithm"
    assert await reason(verifier, world.es256()) == "token_algorithm"
    await verifier.close()


async def test_none_and_secrets_are_no_use_even_if_allowed(server: KeyServer, world: KeyWorld, clock: Clock) -> None:
    verifier = await started(server, world, clock, algorithms=("none", "HS256", "RS256"))
    bad = {case.name: case for case in CASES}
    for name in ("alg none", "alg none, signed", "HS256 with the public key"):
        token = bearer(bad[name].headers(world))
        assert isinstance(token, bytes)
        assert await reason(verifier, token) == "token_key_unknown"
    await verifier.close()


async def test_an_id_token_is_no_access_token(server: KeyServer, world: KeyWorld, clock: Clock) -> None:
    verifier = await started(server, world, clock, token_types=("at+jwt",))
    assert await reason(verifier, world.token()) == ""
    assert await reason(verifier, world.token(header={"typ": "JWT"})) == "token_type"
    await verifier.close()


async def test_a_single_key_needs_no_kid(server: KeyServer, world: KeyWorld, clock: Clock) -> None:
    verifier = await started(server, world, clock)
    assert await reason(verifier, world.token(header={"kid": ...})) == ""
    await verifier.close()


async def test_leeway_and_lifetime_are_the_issuers(server: KeyServer, world: KeyWorld, clock: Clock) -> None:
    verifier = await started(server, world, clock, leeway=0.0, max_lifetime=301.0)
    assert await reason(verifier, world.token()) == ""
    assert await reason(verifier, world.token(world.claims(nbf=world.at(1)))) == "token_not_yet_valid"
    assert await reason(verifier, world.token(world.claims(exp=world.at(301)))) == "token_lifetime"
    await verifier.close()


async def test_the_clock_is_the_given_one(server: KeyServer, world: KeyWorld, clock: Clock) -> None:
    clock.now = 1000.0
    verifier = await started(server, world, clock)
    assert await reason(verifier, world.token()) == ""
    await verifier.close()


async def test_a_given_session_is_used_and_left_open(server: KeyServer, world: KeyWorld) -> None:
    agents: list[str] = []

    async def page(request: web.Request) -> web.Response:
        agents.append(request.headers["user-agent"])
        return web.Response(body=world.jwks())

    server.pages[KEYS] = page
    async with aiohttp.ClientSession(headers={"user-agent": "shared"}) as session:
        verifier = TokenVerifier(Auth(issuers=(issuer_at(server, world),)), session=session)
        await verifier.start()
        assert verifier.ready
        await verifier.close()
        assert not session.closed
    assert agents == ["shared"]


async def test_key_sets_of_others_are_used_and_left_as_they_are(
    server: KeyServer, world: KeyWorld, clock: Clock
) -> None:
    server.pages[KEYS] = world.jwks()
    keys = KeySet(world.issuer, server.url + KEYS, Fetcher(), clock=clock)
    verifiers = [
        TokenVerifier(
            Auth(issuers=(issuer_at(server, world, leeway=leeway),)), key_sets={world.issuer: keys}, now=clock
        )
        for leeway in (0.0, 30.0)
    ]
    for verifier in verifiers:
        await verifier.start()
    assert not server.requests
    await keys.start()
    for number, verifier in enumerate(verifiers, 1):
        assert verifier.ready
        assert await reason(verifier, world.token()) == ""
        assert await reason(verifier, world.token(header={"kid": "stranger"})) == "token_key_unknown"
        await verifier.close()
        clock.now += 30
        await keys.wait_for(f"unknown {number}")
        assert keys.problem == ""  # it goes on
    await keys.close()


async def test_without_issuers_every_token_is_refused(world: KeyWorld) -> None:
    verifier = TokenVerifier(Auth())
    await verifier.start()
    assert verifier.ready
    assert await reason(verifier, world.token()) == "token_issuer"
    assert await reason(verifier, b"opaque") == "token_malformed"
    await verifier.close()
