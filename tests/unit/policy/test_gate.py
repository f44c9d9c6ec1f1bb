"""The gate: its order, and that it answers at once where it can."""

import asyncio
import time
from collections.abc import Iterable

import pytest

from gateway.ends import CallHead
from gateway.permit import Permit, Refusal, Subject
from gateway.policy.authorize import Permissions
from gateway.policy.gate import Gate, OpenGate
from gateway.protocol import content_type
from gateway.protocol.status import Code, Status
from gateway.settings import Authorization

READ = b"/shop.v1.Orders/Get"
PUBLIC = b"/grpc.health.v1.Health/Check"
BAD = Refusal(Status(Code.UNAUTHENTICATED, "the access token was refused"), "token_signature")


class Tokens:
    """Knows three tokens: `good`, `bad`, and `slow`, for which one has to wait."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.arrived = asyncio.Event()
        self.subject = Subject(
            "ann", roles=frozenset(["read"]), claims={"sub": "ann", "age": 7, "vip": True, "x": ["y"]}
        )

    def cached(self, token: bytes) -> Subject | Refusal | None:
        self.asked.append(token)
        return {b"good": self.subject, b"bad": BAD, b"slow": None}[token]

    async def verify(self, token: bytes) -> Subject | Refusal:
        await self.arrived.wait()
        return self.subject


class World:
    def __init__(self, *, shadow: bool = False, max_calls: int = 10) -> None:
        self.tokens = Tokens()
        rules = {"rules": [{"methods": [READ.decode()], "roles": ["read"], "identities": ["CN:batch"]}]}
        self.gate = Gate(
            tokens=self.tokens,  # type: ignore[arg-type]
            permissions=Permissions(Authorization.model_validate(rules)),
            public_methods=frozenset([PUBLIC]),
            routed=lambda path: not path.startswith(b"/nowhere"),
            forward_claims={"x-user-id": "sub", "x-age": "age", "x-vip": "vip", "x-x": "x", "x-none": "none"},
            max_calls=max_calls,
            shadow=shadow,
        )
        self.answers: list[Permit | Refusal] = []

    def ask(self, path: bytes = READ, tokens: Iterable[bytes] = (b"good",), identities: tuple[str, ...] = ()) -> None:
        kind = content_type.parse(b"application/grpc-web", None)
        assert kind is not None
        authorizations = [(b"authorization", b"Bearer " + token) for token in tokens]
        head = CallHead(path, kind, [], authorizations, None, "192.0.2.1", b"https", b"", identities=identities)
        self.gate.decide(head, self.answers.append)

    def reason(self) -> str:
        (answer,) = self.answers
        return answer.reason if isinstance(answer, Refusal) else "permitted"


@pytest.mark.parametrize(
    ("path", "tokens", "identities", "reason", "code"),
    [
        (READ, [b"good"], (), "permitted", None),
        (READ, [], (), "token_missing", Code.UNAUTHENTICATED),
        (READ, [b"bad"], (), "token_signature", Code.UNAUTHENTICATED),
        (READ, [b"good", b"good"], (), "token_malformed", Code.UNAUTHENTICATED),
        (READ, [], ("CN:batch",), "permitted", None),
        (READ, [b"bad"], ("CN:batch",), "token_signature", Code.UNAUTHENTICATED),  # a bad token is never passed over
        (b"/shop.v1.Orders/Put", [b"good"], (), "permission_denied", Code.PERMISSION_DENIED),
        (b"/nowhere.v1.X/Y", [b"good"], (), "unrouted", Code.UNIMPLEMENTED),
        (b"/nowhere.v1.X/Y", [], (), "token_missing", Code.UNAUTHENTICATED),  # strangers learn no routes
        (PUBLIC, [], (), "permitted", None),
        (PUBLIC, [b"bad"], (), "permitted", None),
        (b"/grpc.health.v1.Health/Watch", [], (), "token_missing", Code.UNAUTHENTICATED),
        (b"/grpc.health.v1.Health/check", [], (), "token_missing", Code.UNAUTHENTICATED),
    ],
)
async def test_the_order_of_the_questions(
    path: bytes, tokens: list[bytes], identities: tuple[str, ...], reason: str, code: Code | None
) -> None:
    world = World()
    world.ask(path, tokens, identities)
    assert world.reason() == reason
    if isinstance(answer := world.answers[0], Refusal):
        assert answer.status.code == code
    else:
        assert answer.path == path


async def test_a_public_method_never_reads_the_token() -> None:
    world = World()
    world.ask(PUBLIC, [b"bad"])
    assert world.tokens.asked == []


async def test_claims_become_metadata_when_they_are_text_or_numbers() -> None:
    world = World()
    world.ask()
    (permit,) = world.answers
    assert isinstance(permit, Permit)
    assert permit.metadata == ((b"x-user-id", b"ann"), (b"x-age", b"7"))


async def test_only_a_missing_key_makes_it_wait() -> None:
    world = World()
    world.ask(tokens=[b"slow"])
    assert world.answers == []
    world.tokens.arrived.set()
    async with asyncio.timeout(2):
        while not world.answers:
            await asyncio.sleep(0)
    assert world.reason() == "permitted"


async def test_a_full_house_refuses_before_any_cryptography() -> None:
    world = World(max_calls=1)
    world.ask()
    world.ask()
    second = world.answers[1]
    assert isinstance(second, Refusal)
    assert second.status.code == Code.RESOURCE_EXHAUSTED
    assert len(world.tokens.asked) == 1
    world.gate.leave()
    world.gate.leave()
    world.ask()
    assert isinstance(world.answers[2], Permit)


async def test_shadow_lets_pass_what_the_rules_deny_and_nothing_else() -> None:
    world = World(shadow=True)
    world.ask(b"/shop.v1.Orders/Put")
    assert world.reason() == "permitted"
    for tokens in ([], [b"bad"]):
        world.answers.clear()
        world.ask(b"/shop.v1.Orders/Put", tokens)
        assert world.reason() != "permitted"


async def test_a_permit_carries_the_end_of_its_token() -> None:
    world = World()
    expiry = time.time() + 60
    world.tokens.subject = Subject("ann", roles=frozenset(["read"]), expires_at=expiry)
    world.ask()
    (permit,) = world.answers
    assert isinstance(permit, Permit)
    assert permit.expires_at == expiry


async def test_the_open_gate_still_counts() -> None:
    answers: list[Permit | Refusal] = []
    gate = OpenGate(1)
    kind = content_type.parse(b"application/grpc-web", None)
    assert kind is not None
    for _ in range(2):
        gate.decide(CallHead(READ, kind, [], [], None, "127.0.0.1", b"http", b""), answers.append)
    assert isinstance(answers[0], Permit)
    assert isinstance(answers[1], Refusal)
