import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from gateway.permit import Refusal, Subject
from gateway.policy.fetch import Fetcher
from gateway.policy.keys import KeySet, Refresh
from gateway.policy.tokens import TokenVerifier, bearer
from gateway.protocol.metadata import Header
from gateway.protocol.status import Code
from gateway.settings import Auth, Issuer
from tests.support.clock import Clock
from tests.support.key_server import KeyServer, key_server, until
from tests.support.token_table import CASES, Case
from tests.support.tokens import KeyWorld, ec_key, ed_key, jwk, jwks, rsa_key

KEYS = "/keys"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def world(clock: Clock) -> KeyWorld:
    return KeyWorld(now=clock)


@pytest.fixture
async def verifier(world: KeyWorld, clock: Clock, tmp_path: Path) -> AsyncIterator[TokenVerifier]:
    """Trusts both issuers of the world, by files."""
    (tmp_path / "a.json").write_bytes(world.jwks())
    (tmp_path / "b.json").write_bytes(world.other_jwks())
    issuers = (
        Issuer(issuer=world.issuer, audiences=(world.audience,), jwks=tmp_path / "a.json"),
        Issuer(issuer=world.other_issuer, audiences=(world.audience,), jwks=tmp_path / "b.json"),
    )
    verifier = TokenVerifier(Auth(issuers=issuers), now=clock, refresh=Refresh(file_every=0.01))
    await verifier.start()
    yield verifier
    await verifier.close()


@pytest.fixture
async def server() -> AsyncIterator[KeyServer]:
    async with key_server() as server:
        yield server


async def outcome_of(verifier: TokenVerifier, headers: list[Header]) -> Subject | Refusal | None:
    token = bearer(headers)
    return await verifier.verify(token) if isinstance(token, bytes) else token


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
async def test_every_kind_of_token(case: Case, world: KeyWorld, verifier: TokenVerifier) -> None:
    outcome = await outcome_of(verifier, case.headers(world))
    if case.code is Code.OK:
        assert isinstance(outcome, Subject)
        assert outcome.id
        return
    if case.reason == "token_missing":
        assert outcome is None
        return
    assert isinstance(outcome, Refusal)
    assert (outcome.reason, outcome.status.code) == (case.reason, case.code)
    assert outcome.status.message == "the access token was refused"
    assert outcome.status.details is None
    assert outcome.metadata == ((b"www-authenticate", b'Bearer error="invalid_token"'),)


async def test_what_can_be_said_at_once_is_what_is_said_later(world: KeyWorld, verifier: TokenVerifier) -> None:
    for case in CASES:
        token = bearer(case.headers(world))
        if not isinstance(token, bytes):
            continue
        at_once = verifier.cached(token)
        assert at_once == await verifier.verify(token) or at_once is None, case.name
        # Only an unknown kid is worth waiting for, and only until the one fetch in thirty seconds has been.
        assert at_once is not None or case.reason == "token_key_unknown", case.name


async def test_a_subject_says_what_the_token_says(world: KeyWorld, clock: Clock, verifier: TokenVerifier) -> None:
    claims = world.claims(
        sub="alice", scope="a admin.readonly", roles=["b", 7], realm_access={"roles": ["c"]}, groups=["x"]
    )
    subject = verifier.cached(world.token(claims))
    assert isinstance(subject, Subject)
    assert (subject.id, subject.issuer, subject.expires_at) == ("alice", world.issuer, clock.now + 300)
    assert subject.roles == {"a", "admin.readonly", "b", "c"}
    assert subject.claims == claims
    with pytest.raises(TypeError):
        subject.claims["sub"] = "root"  # type: ignore[index]


async def test_a_token_is_verified_once(
    world: KeyWorld, verifier: TokenVerifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = world.token()
    subject = verifier.cached(token)
    monkeypatch.setattr("jwt.get_algorithm_by_name", None)
    assert verifier.cached(bytes(bytearray(token))) is subject
    assert await verifier.verify(token) is subject


async def test_a_verified_token_ends_at_exp(world: KeyWorld, clock: Clock, verifier: TokenVerifier) -> None:
    token = world.token()
    assert isinstance(verifier.cached(token), Subject)
    clock.now += 299.9
    assert isinstance(verifier.cached(token), Subject)
    clock.now += 0.1
    outcome = verifier.cached(token)
    assert isinstance(outcome, Refusal)
    assert outcome.reason == "token_expired"


async def test_a_verified_token_falls_with_its_key(world: KeyWorld, verifier: TokenVerifier, tmp_path: Path) -> None:
    token, other = world.token(), world.token(world.claims(iss=world.other_issuer), key=rsa_key("b"))
    subjects = verifier.cached(token), verifier.cached(other)
    (tmp_path / "a.json").write_bytes(jwks(jwk(rsa_key("new"), "new")))
    keys = verifier.key_sets[world.issuer]
    await until(lambda: keys.find("new", "RS256") is not None)
    outcome = await verifier.verify(token)
    assert isinstance(outcome, Refusal)
    assert outcome.reason == "token_key_unknown"
    assert verifier.cached(other) is subjects[1]


@pytest.mark.parametrize("error", [TypeError, ValueError, KeyError, RecursionError, AttributeError])
async def test_an_error_of_the_library_is_a_refusal(
    world: KeyWorld, verifier: TokenVerifier, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def broken(name: str) -> object:
        raise error("as PyJWT has done for odd keys")

    monkeypatch.setattr("jwt.get_algorithm_by_name", broken)
    outcome = await verifier.verify(world.token())
    assert isinstance(outcome, Refusal)
    assert outcome.reason == "token_signature"


def issuer_at(server: KeyServer, world: KeyWorld, **changes: object) -> Issuer:
    values = {"issuer": world.issuer, "audiences": (world.audience,), "jwks": server.url + KEYS} | changes
    return Issuer.model_validate(values)


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
    import aiohttp

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


@pytest.mark.parametrize(
    ("headers", "token"),
    [
        ([(b"authorization", b"Bearer abc")], b"abc"),
        ([(b"authorization", b"bEaReR abc")], b"abc"),
        ([(b"authorization", b"Bearer   abc")], b"abc"),
        ([(b"authorization", b"Bearer a-._~+/b==")], b"a-._~+/b=="),
        ([(b"x", b"y"), (b"authorization", b"Bearer abc"), (b"x-authorization", b"Bearer def")], b"abc"),
        ([], None),
        ([(b"x-authorization", b"Bearer def")], None),
    ],
)
def test_bearer(headers: list[Header], token: bytes | None) -> None:
    assert bearer(headers) == token


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", "token_malformed"),
        (b"Bearer", "token_malformed"),
        (b"Bearer ", "token_malformed"),
        (b"Bearer =", "token_malformed"),
        (b"Bearer a=b", "token_malformed"),
        (b"Bearer a b", "token_malformed"),
        (b"Bearer a,b", "token_malformed"),
        (b"Bearer a, Bearer b", "token_malformed"),
        (b"Bearer a\n", "token_malformed"),
        (b"Bearer \xe9", "token_malformed"),
        (b'Bearer "a"', "token_malformed"),
        (b"Basic YTpi", "token_scheme"),
        (b"a.b.c", "token_scheme"),
    ],
)
def test_what_is_not_one_bearer_token(value: bytes, reason: str) -> None:
    outcome = bearer([(b"authorization", value)])
    assert isinstance(outcome, Refusal)
    assert outcome.reason == reason
