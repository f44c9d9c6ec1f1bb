"""THE GATE: one function decides about every call, on every front, for unary and streams alike.

Rules
- Only this file makes a `Permit`.
- The order is the code of `Gate.decide`; the reason stands beside each step.
- Where everything is known it answers before it returns; only a missing key, an introspection or rates that are
  counted elsewhere make it wait.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

import structlog

from gateway.ends import CallHead
from gateway.permit import NOBODY, Permit, Refusal, Subject
from gateway.policy.authorize import Permissions
from gateway.policy.peers import Occupancy
from gateway.policy.rates import Rates
from gateway.policy.tokens import TokenVerifier, bearer
from gateway.protocol.metadata import Header
from gateway.protocol.status import Code, Status, encode_message

log = structlog.get_logger("gateway.policy")

Answer = Callable[[Permit | Refusal], None]

TOO_MANY = Refusal(Status(Code.RESOURCE_EXHAUSTED, "too many calls at once"), "max_calls")
TOO_MANY_OF_PEER = Refusal(
    Status(Code.RESOURCE_EXHAUSTED, "too many calls at once from this address"), "max_calls_per_peer"
)
UNROUTED = Refusal(Status(Code.UNIMPLEMENTED, "no such method"), "unrouted")
NO_TOKEN = Refusal(
    Status(Code.UNAUTHENTICATED, "the access token is missing"), "token_missing", ((b"www-authenticate", b"Bearer"),)
)
DENIED = Status(Code.PERMISSION_DENIED, "not permitted")
SCOPE_CHALLENGE = ((b"www-authenticate", b'Bearer error="insufficient_scope"'),)


class Gate:
    """Judges calls by one configuration."""

    def __init__(
        self,
        *,
        tokens: TokenVerifier,
        permissions: Permissions,
        public_methods: frozenset[bytes],
        routed: Callable[[bytes], bool],
        forward_claims: Mapping[str, str],
        max_calls: int,
        shadow: bool,
        max_calls_per_peer: int | None = None,
        rates: Rates | None = None,
        occupancy: Occupancy | None = None,
    ) -> None:
        self._tokens = tokens
        self._permissions = permissions
        self._public = public_methods  # exact paths; by default the one of grpc.health.v1.Health/Check
        self._routed = routed
        self._claims = tuple((name.encode(), claim) for name, claim in forward_claims.items())
        self._max_calls = max_calls
        self._shadow = shadow
        self._max_calls_per_peer = max_calls_per_peer
        self._rates = rates
        self._waiting: set[asyncio.Task[None]] = set()
        self._occupancy = occupancy or Occupancy()

    def decide(self, head: CallHead, answer: Answer) -> None:
        """Answer once. Whatever the answer, `leave` follows when the call is over."""
        occupancy, most = self._occupancy, self._max_calls_per_peer
        occupancy.calls += 1
        has_room = most is None or occupancy.peers.enter(head.peer, most)
        # A full house first: it is the cheapest question, and it must hold before any cryptography is paid for.
        if occupancy.calls > self._max_calls:
            answer(TOO_MANY)
            return
        if not has_room:
            answer(TOO_MANY_OF_PEER)
            return
        # For the same reason the address that calls too often is next.
        if self._rates is None:
            self._identify(head, answer)
        else:
            self._rates.of_peer(head.peer, partial(self._peer_counted, head, answer))

    def _peer_counted(self, head: CallHead, answer: Answer, refusal: Refusal | None) -> None:
        if refusal is None:
            self._identify(head, answer)
        else:
            answer(refusal)

    def _identify(self, head: CallHead, answer: Answer) -> None:
        # Public methods never read the token: a bad one neither helps nor hurts.
        if head.path in self._public:
            permit = Permit(head.path, forward_authorization=False)
            self._count(head, permit if self._routed(head.path) else UNROUTED, answer)
            return
        # Who is it? Before anything is said about routes or rules, so that strangers learn nothing of them.
        token = bearer(head.authorizations)
        if isinstance(token, Refusal):
            answer(token)
            return
        if token is None:
            self._judge(head, NOBODY, answer)
            return
        subject = self._tokens.cached(token)
        if subject is None:
            self._wait(head, token, answer)
            return
        self._judge(head, subject, answer)

    def leave(self, head: CallHead) -> None:
        """A call that was decided about is over."""
        self._occupancy.calls -= 1
        if self._max_calls_per_peer is not None:
            self._occupancy.peers.leave(head.peer)

    def _wait(self, head: CallHead, token: bytes, answer: Answer) -> None:
        async def verify() -> None:
            self._judge(head, await self._tokens.verify(token), answer)

        task = asyncio.get_running_loop().create_task(verify())
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)

    def _judge(self, head: CallHead, subject: Subject | Refusal, answer: Answer) -> None:
        self._count(head, subject if isinstance(subject, Refusal) else self._authorise(head, subject), answer)

    def _count(self, head: CallHead, decision: Permit | Refusal, answer: Answer) -> None:
        # Last the rates of subject and method: who may not call uses up nobody's share.
        if self._rates is None or isinstance(decision, Refusal):
            answer(decision)
        else:
            counted = partial(self._call_counted, decision, answer)
            self._rates.of_call(head.path, decision.subject, head.identities, counted)

    def _call_counted(self, permit: Permit, answer: Answer, refusal: Refusal | None) -> None:
        answer(permit if refusal is None else replace(refusal, subject=permit.subject))

    def _authorise(self, head: CallHead, subject: Subject) -> Permit | Refusal:
        allowed = self._permissions.allows(head.path, subject, head.identities)
        # Nobody, and no certificate that a rule names: a token could help, so ask for one.
        if not allowed and not subject.id:
            return NO_TOKEN
        # What is not routed does not exist, for whoever may know it.
        if not self._routed(head.path):
            return replace(UNROUTED, subject=subject)
        if not allowed:
            if not self._shadow:
                return Refusal(DENIED, "permission_denied", SCOPE_CHALLENGE, subject)
            log.warning("shadow_denied", method=head.path.decode("ascii"), roles=sorted(subject.roles))
        # Of many identities the log tells the one that counted; calls without a certificate pay nothing for it.
        identity = self._permissions.identity(head.path, subject, head.identities) if head.identities else ""
        return Permit(head.path, subject, self._claims_of(subject), subject.expires_at, identity)

    def _claims_of(self, subject: Subject) -> tuple[Header, ...]:
        """`forward_claims` as metadata; text outside printable ASCII travels percent-encoded, as in grpc-message."""
        return tuple(
            (name, encode_message(str(value)))
            for name, claim in self._claims
            if isinstance(value := subject.claims.get(claim), str | int) and not isinstance(value, bool)
        )


class OpenGate:
    """Permits everything: for `dev` on loopback, where there is no token. Origins are still checked by the front."""

    def __init__(self, max_calls: int, occupancy: Occupancy | None = None) -> None:
        self._max_calls = max_calls
        self._occupancy = occupancy or Occupancy()

    def decide(self, head: CallHead, answer: Answer) -> None:
        self._occupancy.calls += 1
        answer(TOO_MANY if self._occupancy.calls > self._max_calls else Permit(head.path))

    def leave(self, head: CallHead) -> None:  # noqa: ARG002 - the seam's
        self._occupancy.calls -= 1
