"""The gate: its order, and that it answers at once where it can."""

import asyncio
import time
from collections.abc import Iterable

import pytest

from gateway.ends import CallHead
from gateway.permit import Permit, Refusal, Subject
from gateway.policy.authorize import Permissions
from gateway.policy.gate import Gate, OpenGate
from gateway.policy.rates import Rates
from gateway.protocol import content_type
from gateway.protocol.status import Code, Status
from gateway.settings import Authorization, Limits

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
    def __init__(
        self, *, shadow: bool = False, max_calls: int = 10, max_calls_per_peer: int | None = None, **rates: str
    ) -> None:
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
            max_calls_per_peer=max_calls_per_peer,
            rates=Rates.of(
                Limits.model_validate({"rate": [{"key": key, "limit": limit} for key, limit in rates.items()]})
            ),
        )
        self.answers: list[Permit | Refusal] = []

    def ask(
        self,
        path: bytes = READ,
        tokens: Iterable[bytes] = (b"good",),
        identities: tuple[str, ...] = (),
        peer: str = "192.0.2.1",
    ) -> CallHead:
        kind = content_type.parse(b"application/grpc-web", None)
        assert kind is not None
        authorizations = [(b"authorization", b"Bearer " + token) for token in tokens]
        head = CallHead(path, kind, [], authorizations, None, peer, b"https", b"", identities=identities)
        self.gate.decide(head, self.answers.append)
        return head

    def reason(self) -> str:
        (answer,) = self.reasons()
        return answer

    def reasons(self) -> list[str]:
        return [answer.reason if isinstance(answer, Refusal) else "permitted" for answer in self.answers]


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
    heads = [world.ask(), world.ask()]
    second = world.answers[1]
    assert isinstance(second, Refusal)
    assert second.status.code == Code.RESOURCE_EXHAUSTED
    assert len(world.tokens.asked) == 1
    for head in heads:
        world.gate.leave(head)
    world.ask()
    assert isinstance(world.answers[2], Permit)


async def test_an_address_has_its_own_room_and_none_of_the_others() -> None:
    world = World(max_calls_per_peer=1)
    first, second = world.ask(), world.ask()
    world.ask(peer="192.0.2.2")
    assert world.reasons() == ["permitted", "max_calls_per_peer", "permitted"]
    assert len(world.tokens.asked) == 2  # no cryptography for the refused one
    world.gate.leave(second)
    world.ask()
    assert world.reasons()[3:] == ["max_calls_per_peer"]
    world.gate.leave(first)
    world.gate.leave(first)
    world.ask()
    assert world.reasons()[4:] == ["permitted"]


async def test_a_call_that_finds_the_house_full_leaves_its_peer_as_it_was() -> None:
    world = World(max_calls=1, max_calls_per_peer=1)
    heads = [world.ask(), world.ask(peer="192.0.2.2")]
    assert world.reasons() == ["permitted", "max_calls"]
    for head in heads:
        world.gate.leave(head)
    world.ask()
    world.ask()
    assert world.reasons()[2:] == ["permitted", "max_calls"]


@pytest.mark.parametrize(("path", "tokens"), [(READ, [b"good"]), (READ, [b"bad"]), (READ, []), (PUBLIC, [])])
async def test_an_address_that_calls_too_often_is_refused_before_any_cryptography(
    path: bytes, tokens: list[bytes]
) -> None:
    world = World(peer="2/hour")
    for _ in range(2):
        world.ask(path, tokens)
    world.tokens.asked.clear()
    world.answers.clear()
    world.ask(path, tokens)
    assert world.tokens.asked == []
    assert world.reason() == "rate_peer"
    (answer,) = world.answers
    assert isinstance(answer, Refusal)
    assert answer.status.code == Code.RESOURCE_EXHAUSTED
    assert b"google.rpc.RetryInfo" in (answer.status.details or b"")
    world.ask(path, tokens, peer="192.0.2.2")
    assert world.reasons()[-1] != "rate_peer"


async def test_a_subject_that_calls_too_often_is_refused_by_name() -> None:
    world = World(subject="2/hour")
    for _ in range(3):
        world.ask()
    assert world.reasons() == ["permitted", "permitted", "rate_subject"]
    assert world.answers[-1].subject is world.tokens.subject
    world.tokens.subject = Subject("bob", roles=frozenset(["read"]))
    world.ask()
    assert world.reasons()[3:] == ["permitted"]
    for _ in range(3):
        world.ask(PUBLIC)  # of nobody
    assert world.reasons()[4:] == ["permitted"] * 3


async def test_a_subject_whose_key_was_missing_is_counted_all_the_same() -> None:
    world = World(subject="1/hour")
    world.tokens.arrived.set()
    for number in (1, 2):
        world.ask(tokens=[b"slow"])
        async with asyncio.timeout(2):
            while len(world.answers) < number:
                await asyncio.sleep(0)
    assert world.reasons() == ["permitted", "rate_subject"]


async def test_a_method_is_counted_for_all_and_a_public_one_too() -> None:
    world = World(method="2/hour")
    for path in (READ, PUBLIC):
        for number in range(3):
            world.ask(path, identities=("CN:batch",), tokens=[], peer=f"192.0.2.{number}")
        assert world.reasons() == ["permitted", "permitted", "rate_method"]
        world.answers.clear()


async def test_who_may_not_call_uses_up_nobody_elses_share() -> None:
    world = World(method="1/hour", subject="1/hour", max_calls=100)
    for path, tokens in ((READ, []), (READ, [b"bad"]), (b"/shop.v1.Orders/Put", [b"good"]), (b"/nowhere.v1.X/Y", [])):
        for _ in range(3):
            world.ask(path, tokens)
    assert not {"rate_method", "rate_subject", "permitted"} & set(world.reasons())
    world.answers.clear()
    world.ask()
    assert world.reason() == "permitted"


async def test_a_subject_that_calls_too_often_does_not_use_up_the_method() -> None:
    world = World(method="3/hour", subject="2/hour")
    for _ in range(5):
        world.ask()
    assert world.reasons() == ["permitted", "permitted", *["rate_subject"] * 3]
    world.tokens.subject = Subject("bob", roles=frozenset(["read"]))
    world.ask()
    assert world.reasons()[-1] == "permitted"


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
    head = CallHead(READ, kind, [], [], None, "127.0.0.1", b"http", b"")
    for _ in range(2):
        gate.decide(head, answers.append)
    assert isinstance(answers[0], Permit)
    assert isinstance(answers[1], Refusal)
    for _ in range(2):
        gate.leave(head)
    gate.decide(head, answers.append)
    assert isinstance(answers[2], Permit)
