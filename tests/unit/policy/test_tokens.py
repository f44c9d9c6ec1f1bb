"""Which tokens are believed, what is read from them, and how long a verdict holds."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.permit import Refusal, Subject
from gateway.policy.keys import Refresh
from gateway.policy.tokens import TokenVerifier, bearer
from gateway.protocol.metadata import Header
from gateway.protocol.status import Code
from gateway.settings import Auth, Issuer
from tests.support.clock import Clock
from tests.support.key_server import until
from tests.support.token_table import CASES, Case
from tests.support.tokens import KeyWorld, jwk, jwks, rsa_key


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
