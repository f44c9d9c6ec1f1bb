import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web
from pydantic import SecretStr
from structlog.testing import capture_logs

from gateway.permit import Refusal, Subject
from gateway.policy import fetch, introspection, tokens
from gateway.policy.fetch import MAX_BODY
from gateway.policy.tokens import TokenVerifier
from gateway.protocol.status import Code
from gateway.settings import Auth, Introspection, Issuer
from tests.support.clock import Clock
from tests.support.key_server import KeyServer, Page
from tests.support.tokens import KeyWorld

ASK = "/introspect"
TOKEN = b"2YotnFZFEjr1zCsicMWpAA"
Make = Callable[..., Awaitable[TokenVerifier]]


@pytest.fixture
async def make(server: KeyServer, clock: Clock) -> AsyncIterator[Make]:
    """Verifiers that ask the server; closed at the end."""
    made: list[TokenVerifier] = []

    async def make(*issuers: Issuer, cache: float = 60.0, secret: str = "s3cret") -> TokenVerifier:
        settings = Introspection(
            url=server.url + ASK, client_id="gateway", client_secret=SecretStr(secret), cache=cache
        )
        made.append(TokenVerifier(Auth(issuers=issuers, introspection=settings), now=clock))
        await made[-1].start()
        return made[-1]

    yield make
    for verifier in made:
        await verifier.close()


def answer(**members: object) -> bytes:
    return json.dumps({"active": True, "sub": "alice"} | members).encode()


def reason(outcome: Subject | Refusal | None) -> str:
    assert isinstance(outcome, Refusal)
    assert outcome.status.code is Code.UNAUTHENTICATED
    assert outcome.status.message == "the access token was refused"
    return outcome.reason


async def test_an_active_token(server: KeyServer, make: Make, clock: Clock) -> None:
    server.pages[ASK] = answer(scope="orders.read admin", exp=clock.now + 300, iss="https://login.test/", x=[1])
    verifier = await make()
    assert verifier.ready
    assert verifier.cached(TOKEN) is None
    subject = await verifier.verify(TOKEN)
    assert isinstance(subject, Subject)
    assert (subject.id, subject.issuer, subject.expires_at) == ("alice", "https://login.test/", clock.now + 300)
    assert subject.roles == {"orders.read", "admin"}
    assert subject.claims["x"] == [1]


async def test_the_question(server: KeyServer, make: Make) -> None:
    asked: list[tuple[str, str, object]] = []

    async def page(request: web.Request) -> web.Response:
        asked.append((request.method, request.headers["authorization"], dict(await request.post())))
        return web.Response(body=answer())

    server.pages[ASK] = page
    verifier = await make(secret="p+s:w/rd é")
    await verifier.verify(b"a+b/c==")
    # RFC 6749, section 2.3.1: form-encoded, then Basic.
    credentials = base64.b64encode(b"gateway:p%2Bs%3Aw%2Frd+%C3%A9").decode()
    assert asked == [
        ("POST", f"Basic {credentials}", {"token": "a+b/c==", "token_type_hint": "access_token"}),
    ]


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"active": False}, "token_inactive"),
        ({"active": "true"}, "token_inactive"),
        ({"active": 1}, "token_inactive"),
        ({"active": None}, "token_inactive"),
        ({"active": [True]}, "token_inactive"),
        ({"sub": ""}, "token_subject"),
        ({"sub": None}, "token_subject"),
        ({"sub": 7}, "token_subject"),
        ({"exp": 1_800_000_000}, "token_expired"),
        ({"exp": 1_799_999_999}, "token_expired"),
        ({"exp": "1900000000"}, "token_malformed"),
        ({"exp": None}, "token_malformed"),
        ({"iss": ["https://login.test/"]}, "token_issuer"),
    ],
    ids=str,
)
async def test_answers_that_let_nobody_in(
    server: KeyServer, make: Make, members: dict[str, object], expected: str
) -> None:
    server.pages[ASK] = answer(**members)
    verifier = await make()
    assert reason(await verifier.verify(TOKEN)) == expected
    assert reason(verifier.cached(TOKEN)) == expected
    assert server.requests[ASK] == 1


async def redirect(request: web.Request) -> web.Response:
    return web.Response(status=307, headers={"location": "/elsewhere"})


async def never(request: web.Request) -> web.Response:
    await asyncio.Event().wait()
    return web.Response()


@pytest.mark.parametrize(
    "page",
    [
        401,
        500,
        b"",
        b"active",
        b"[]",
        b'{"active":false,"active":true,"sub":"a"}',
        redirect,
        never,
        b" " * MAX_BODY * 2,
    ],
    ids=lambda page: page.__name__ if callable(page) else str(page)[:20],
)
async def test_no_answer_lets_nobody_in_and_is_not_remembered(
    server: KeyServer, make: Make, monkeypatch: pytest.MonkeyPatch, page: Page | bytes | int
) -> None:
    monkeypatch.setattr(fetch, "TIMEOUT", 0.1 if page is never else 2.0)
    server.pages |= {ASK: page, "/elsewhere": answer()}
    verifier = await make()
    with capture_logs() as logs:
        assert reason(await verifier.verify(TOKEN)) == "introspection_unavailable"
    assert [entry["event"] for entry in logs] == ["introspection_failed"]
    assert TOKEN.decode() not in str(logs)
    assert "s3cret" not in str(logs)
    assert verifier.cached(TOKEN) is None
    assert server.requests == {ASK: 1}
    server.pages[ASK] = answer()
    assert isinstance(await verifier.verify(TOKEN), Subject)


async def test_an_answer_is_believed_for_a_while(server: KeyServer, make: Make, clock: Clock) -> None:
    server.pages[ASK] = answer()
    verifier = await make(cache=60.0)
    subject = await verifier.verify(TOKEN)
    clock.now += 59.9
    assert verifier.cached(TOKEN) is subject
    assert isinstance(subject, Subject)
    assert subject.expires_at is None
    clock.now += 0.1
    assert verifier.cached(TOKEN) is None
    server.pages[ASK] = answer(active=False)
    assert reason(await verifier.verify(TOKEN)) == "token_inactive"
    clock.now += 60
    assert verifier.cached(TOKEN) is None
    assert server.requests[ASK] == 2


async def test_an_answer_is_not_believed_beyond_exp(server: KeyServer, make: Make, clock: Clock) -> None:
    server.pages[ASK] = answer(exp=clock.now + 10)
    verifier = await make(cache=60.0)
    assert isinstance(await verifier.verify(TOKEN), Subject)
    clock.now += 10
    assert verifier.cached(TOKEN) is None
    assert reason(await verifier.verify(TOKEN)) == "token_expired"


async def test_without_cache_each_call_asks(server: KeyServer, make: Make) -> None:
    server.pages[ASK] = answer()
    verifier = await make(cache=0.0)
    for _ in range(3):
        assert isinstance(await verifier.verify(TOKEN), Subject)
    assert server.requests[ASK] == 3


async def test_one_question_at_a_time_about_one_token(server: KeyServer, make: Make) -> None:
    server.pages[ASK] = answer()
    server.held[ASK] = asyncio.Event()
    verifier = await make()
    calls = [asyncio.create_task(verifier.verify(TOKEN)) for _ in range(50)]
    await server.arrived.wait()
    calls[0].cancel()
    server.held[ASK].set()
    outcomes = await asyncio.gather(*calls[1:])
    assert all(isinstance(outcome, Subject) for outcome in outcomes)
    assert server.requests[ASK] == 1


async def test_questions_under_way_are_bounded(server: KeyServer, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(introspection, "MAX_AT_ONCE", 1)
    server.pages[ASK] = answer()
    server.held[ASK] = asyncio.Event()
    verifier = await make()
    first = asyncio.create_task(verifier.verify(TOKEN))
    await server.arrived.wait()
    assert reason(await verifier.verify(b"another")) == "introspection_unavailable"
    server.held[ASK].set()
    assert isinstance(await first, Subject)
    assert isinstance(await verifier.verify(b"another"), Subject)


async def test_refused_tokens_do_not_push_out_good_ones(
    server: KeyServer, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "REFUSED", 2)
    verifier = await make()
    server.pages[ASK] = answer()
    subject = await verifier.verify(TOKEN)
    server.pages[ASK] = answer(active=False)
    for number in range(5):
        await verifier.verify(b"bad%d" % number)
    assert verifier.cached(TOKEN) is subject
    assert [verifier.cached(b"bad%d" % number) is None for number in range(5)] == [True, True, True, False, False]


async def test_close_frees_who_waits(server: KeyServer, make: Make) -> None:
    server.held[ASK] = asyncio.Event()
    verifier = await make()
    call = asyncio.create_task(verifier.verify(TOKEN))
    await server.arrived.wait()
    await verifier.close()
    assert reason(await asyncio.wait_for(call, 1)) == "introspection_unavailable"
    # And who comes later is not let in either.
    assert reason(await verifier.verify(TOKEN)) == "introspection_unavailable"


@pytest.fixture
async def issuers(server: KeyServer, world: KeyWorld) -> tuple[Issuer, Issuer]:
    server.pages |= {"/a": world.jwks(), "/b": world.other_jwks()}
    return (
        Issuer(issuer=world.issuer, audiences=("api-a",), jwks=server.url + "/a", roles_from=("groups",)),
        Issuer(issuer=world.other_issuer, audiences=("api-b",), jwks=server.url + "/b", roles_from=("scope",)),
    )


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({}, ""),
        ({"iss": "A"}, ""),
        ({"aud": "api-a"}, ""),
        ({"aud": ["x", "api-b"]}, ""),
        ({"iss": "A", "aud": "api-a"}, ""),
        ({"iss": "A", "aud": "api-b"}, "token_audience"),
        ({"aud": "other"}, "token_audience"),
        ({"aud": []}, "token_audience"),
        ({"aud": None}, "token_audience"),
        ({"iss": "https://evil.test/"}, "token_issuer"),
        ({"iss": None}, "token_issuer"),
    ],
    ids=str,
)
async def test_what_the_answer_says_must_fit_the_issuers(
    server: KeyServer, make: Make, issuers: tuple[Issuer, Issuer], members: dict[str, object], expected: str
) -> None:
    if members.get("iss") == "A":
        members = members | {"iss": issuers[0].issuer}
    server.pages[ASK] = answer(**members)
    outcome = await (await make(*issuers)).verify(TOKEN)
    if expected:
        assert reason(outcome) == expected
    else:
        assert isinstance(outcome, Subject)


async def test_roles_are_where_the_issuer_has_them(
    server: KeyServer, make: Make, world: KeyWorld, issuers: tuple[Issuer, Issuer]
) -> None:
    verifier = await make(*issuers)
    for issuer, roles in ((world.issuer, {"a"}), (world.other_issuer, {"b"}), (None, {"a", "b"})):
        members = {"iss": issuer} if issuer else {}
        server.pages[ASK] = answer(groups=["a"], scope="b", **members)
        subject = await verifier.verify(f"token-{issuer}".encode())
        assert isinstance(subject, Subject)
        assert subject.roles == roles


async def test_what_looks_like_a_jwt_is_not_asked_about_where_issuers_are(
    server: KeyServer, make: Make, world: KeyWorld, issuers: tuple[Issuer, Issuer]
) -> None:
    server.pages[ASK] = answer()
    verifier = await make(*issuers)
    good = world.token(world.claims(aud="api-a"))
    assert isinstance(verifier.cached(good), Subject)
    for token in (world.token(), good + b".x", good.rsplit(b".", 1)[0], b"a.b.c", world.token(key=world.rsa_private)):
        assert reason(verifier.cached(token))
    assert server.requests[ASK] == 0
    assert isinstance(await verifier.verify(b"opaque.token"), Subject)


async def test_without_issuers_a_jwt_is_as_opaque_as_any(server: KeyServer, make: Make, world: KeyWorld) -> None:
    server.pages[ASK] = answer()
    verifier = await make()
    assert isinstance(await verifier.verify(world.token()), Subject)
    assert server.requests[ASK] == 1


async def test_a_token_too_large_is_not_asked_about(server: KeyServer, make: Make) -> None:
    verifier = await make()
    assert reason(await verifier.verify(b"x" * 8193)) == "token_too_large"
    assert server.requests[ASK] == 0
