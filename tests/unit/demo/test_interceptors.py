"""The wrapper and the verifier without a server; tests/integration/demo_backend/ has both at work."""

import json
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.demo.interceptors import HEALTH, REFLECTION, JwtVerifier, TokenError, bearer, guarded
from gateway.demo.signer import Signer

ISSUER = "https://issuer.example"
AUDIENCE = "demo-api"
KINDS = ["unary_unary", "unary_stream", "stream_unary", "stream_stream"]


class RefusedError(Exception):
    pass


class Recorder:
    """Handlers in every shape that grpc.aio takes, which note that they ran."""

    def __init__(self) -> None:
        self.events: list[str] = []

    async def returning(self, request: object, context: object) -> object:
        self.events.append("called")
        return request

    async def yielding(self, request: object, context: object) -> AsyncIterator[object]:
        self.events.append("called")
        try:
            yield request
            yield request
        finally:
            self.events.append("closed")

    async def writing(self, request: object, context: object) -> None:
        self.events.append("written")


async def admit(context: object) -> None:
    assert context == "context"


async def refuse(context: object) -> None:
    raise RefusedError


def handler(kind: str, behaviour: Callable[..., Any]) -> Any:
    return getattr(grpc, f"{kind}_rpc_method_handler")(behaviour, bytes.upper, bytes.lower)


async def replies(kind: str, wrapped: Any) -> list[object]:
    answer = getattr(wrapped, kind)("request", "context")
    return [reply async for reply in answer] if kind.endswith("stream") else [await answer]


@pytest.mark.parametrize("kind", KINDS)
async def test_every_kind_stays_the_kind_it_was(kind: str) -> None:
    recorder = Recorder()
    behaviour = recorder.yielding if kind.endswith("stream") else recorder.returning
    wrapped = guarded(handler(kind, behaviour), admit)
    assert (wrapped.request_streaming, wrapped.response_streaming) == tuple(
        half == "stream" for half in kind.split("_")
    )
    assert (wrapped.request_deserializer, wrapped.response_serializer) == (bytes.upper, bytes.lower)
    assert set(await replies(kind, wrapped)) == {"request"}


@pytest.mark.parametrize("kind", KINDS)
async def test_a_refused_call_never_reaches_the_handler(kind: str) -> None:
    recorder = Recorder()
    behaviour = recorder.yielding if kind.endswith("stream") else recorder.returning
    with pytest.raises(RefusedError):
        await replies(kind, guarded(handler(kind, behaviour), refuse))
    assert recorder.events == []


@pytest.mark.parametrize("check", [admit, refuse])
async def test_handlers_that_write_to_the_context_are_judged_too(check: Any) -> None:
    recorder = Recorder()
    wrapped = guarded(guarded(handler("unary_stream", recorder.writing), admit), check)
    if check is refuse:
        with pytest.raises(RefusedError):
            await replies("unary_stream", wrapped)
        assert recorder.events == []
    else:
        assert await replies("unary_stream", wrapped) == []
        assert recorder.events == ["written"]


async def test_leaving_a_stream_closes_the_handler_at_once() -> None:
    recorder = Recorder()
    stream: Any = guarded(guarded(handler("unary_stream", recorder.yielding), admit), admit).unary_stream
    answer = stream("request", "context")
    await anext(answer)
    await answer.aclose()
    assert recorder.events == ["called", "closed"]


def test_exemptions_are_these_paths() -> None:
    assert {"/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"} == HEALTH
    assert {
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    } == REFLECTION


@pytest.mark.parametrize("header", ["Bearer abc", "bearer abc", "BEARER abc"])
def test_bearer_is_one_header(header: str) -> None:
    assert bearer([header]) == "abc"


@pytest.mark.parametrize(
    "headers", [[], [""], ["Bearer"], ["Bearer "], ["Basic abc"], ["abc"], ["Bearer a", "Bearer a"]], ids=str
)
def test_anything_else_is_no_token(headers: list[str]) -> None:
    with pytest.raises(TokenError):
        bearer(headers)


class Keys:
    """A key set that counts how often it is asked for."""

    def __init__(self, *signers: Signer) -> None:
        self.signers = signers
        self.reads = 0

    def __call__(self) -> dict[str, object]:
        self.reads += 1
        return {"keys": [key for signer in self.signers for key in signer.jwks()["keys"]]}


def claims(**changes: object) -> dict[str, object]:
    now = int(time.time())
    good = {"iss": ISSUER, "aud": AUDIENCE, "sub": "reader@demo", "iat": now, "exp": now + 60}
    return {name: value for name, value in {**good, **changes}.items() if value is not None}


def verifier(keys: Callable[[], dict[str, object]] | Path) -> JwtVerifier:
    return JwtVerifier(keys, issuer=ISSUER, audience=AUDIENCE)


def test_a_good_token_gives_its_claims_and_the_keys_are_read_once() -> None:
    signer = Signer()
    keys = Keys(signer)
    verify = verifier(keys)
    for _ in range(3):
        assert verify(signer.sign(claims(roles=["reader"])))["roles"] == ["reader"]
    assert keys.reads == 1


def test_keys_may_come_from_a_file(tmp_path: Path) -> None:
    signer = Signer()
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps(signer.jwks()))
    assert verifier(path)(signer.sign(claims()))["sub"] == "reader@demo"
    path.unlink()
    with pytest.raises(TokenError):
        verifier(path)(signer.sign(claims()))


@pytest.mark.parametrize(
    "change",
    [
        {"exp": 1},
        {"exp": None},
        {"iss": "https://other.example"},
        {"iss": None},
        {"aud": "other-api"},
        {"aud": None},
        {"aud": []},
        {"sub": None},
        {"nbf": 4102444800},
    ],
    ids=str,
)
def test_claims_that_do_not_fit_are_refused(change: dict[str, object]) -> None:
    signer = Signer()
    verify = verifier(Keys(signer))
    with pytest.raises(TokenError):
        verify(signer.sign(claims(**change)))


def signed(headers: dict[str, object], algorithm: str = "ES256", key: Any = None) -> str:
    return jwt.encode(claims(), key, algorithm=algorithm, headers=headers)


def test_tokens_that_prove_nothing_are_refused() -> None:
    signer = Signer()
    verify = verifier(Keys(signer))
    head: dict[str, object] = {"typ": "at+jwt", "kid": signer.kid}
    good = signer.sign(claims())
    stranger = ec.generate_private_key(ec.SECP256R1())
    for token in (
        "",
        "a.b.c",
        good[:-4],
        good.replace(".", ".e", 1),
        "\ud800",
        signed(head, key=stranger),
        signed(head, "none"),
        signed(head, "HS256", "a secret of thirty-two characters"),
        signed({"typ": "at+jwt"}, key=stranger),
        signed({"typ": "at+jwt", "kid": "unknown"}, key=stranger),
        jwt.encode(claims(), signer._key, algorithm="ES256", headers={"typ": "JWT", "kid": signer.kid}),
    ):
        with pytest.raises(TokenError):
            verify(token)


def test_a_new_key_is_found_and_a_withdrawn_one_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = Signer(), Signer()
    keys = Keys(old)
    verify = verifier(keys)
    verify(old.sign(claims()))
    keys.signers = (new,)
    verify(old.sign(claims()))  # still known
    verify(new.sign(claims()))  # unknown until now: the key set is read again
    with pytest.raises(TokenError):
        verify(old.sign(claims()))
    keys.signers = ()
    monkeypatch.setattr(JwtVerifier, "MAX_AGE", -1.0)
    with pytest.raises(TokenError):
        verify(new.sign(claims()))
