"""THE GATE: one function decides about every call, on every front, for unary and streams alike.

Rules
- Only this file makes a `Permit`.
- The order is the code of `Gate.decide`; the reason stands beside each step.
- Where everything is known it answers before it returns; only a missing key or an introspection makes it wait.
"""

import asyncio
from collections.abc import Callable, Mapping

import structlog

from gateway.ends import CallHead
from gateway.permit import NOBODY, Permit, Refusal, Subject
from gateway.policy.authorize import Permissions
from gateway.policy.tokens import TokenVerifier, bearer
from gateway.protocol.metadata import Header
from gateway.protocol.status import Code, Status, encode_message

log = structlog.get_logger("gateway.policy")

Answer = Callable[[Permit | Refusal], None]

TOO_MANY = Refusal(Status(Code.RESOURCE_EXHAUSTED, "too many calls at once"), "max_calls")
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
    ) -> None:
        self._tokens = tokens
        self._permissions = permissions
        self._public = public_methods  # exact paths; by default the one of grpc.health.v1.Health/Check
        self._routed = routed
        self._claims = tuple((name.encode(), claim) for name, claim in forward_claims.items())
        self._max_calls = max_calls
        self._shadow = shadow
        self._waiting: set[asyncio.Task[None]] = set()
        self.calls = 0  # at once

    def decide(self, head: CallHead, answer: Answer) -> None:
        """Answer once. Whatever the answer, `leave` follows when the call is over."""
        self.calls += 1
        # A full house first: it is the cheapest question, and it must hold before any cryptography is paid for.
        if self.calls > self._max_calls:
            answer(TOO_MANY)
            return
        # Public methods never read the token: a bad one neither helps nor hurts.
        if head.path in self._public:
            permit = Permit(head.path, forward_authorization=False)
            answer(permit if self._routed(head.path) else UNROUTED)
            return
        # Who is it? Before anything is said about routes or rules, so that strangers learn nothing of them.
        token = bearer(head.authorizations)
        if isinstance(token, Refusal):
            answer(token)
            return
        if token is None:
            answer(self._authorise(head, NOBODY))
            return
        subject = self._tokens.cached(token)
        if subject is None:
            self._wait(head, token, answer)
            return
        answer(subject if isinstance(subject, Refusal) else self._authorise(head, subject))

    def leave(self) -> None:
        """A call that was decided about is over."""
        self.calls -= 1

    def _wait(self, head: CallHead, token: bytes, answer: Answer) -> None:
        async def verify() -> None:
            subject = await self._tokens.verify(token)
            answer(subject if isinstance(subject, Refusal) else self._authorise(head, subject))

        task = asyncio.get_running_loop().create_task(verify())
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)

    def _authorise(self, head: CallHead, subject: Subject) -> Permit | Refusal:
        allowed = self._permissions.allows(head.path, subject, head.identities)
        # Nobody, and no certificate that a rule names: a token could help, so ask for one.
        if not allowed and not subject.id:
            return NO_TOKEN
        # What is not routed does not exist, for whoever may know it.
        if not self._routed(head.path):
            return UNROUTED
        if not allowed:
            if not self._shadow:
                return Refusal(DENIED, "permission_denied", SCOPE_CHALLENGE, subject)
            log.warning("shadow_denied", method=head.path.decode("ascii"), roles=sorted(subject.roles))
        return Permit(head.path, subject, self._claims_of(subject), subject.expires_at)

    def _claims_of(self, subject: Subject) -> tuple[Header, ...]:
        """`forward_claims` as metadata; text outside printable ASCII travels percent-encoded, as in grpc-message."""
        return tuple(
            (name, encode_message(str(value)))
            for name, claim in self._claims
            if isinstance(value := subject.claims.get(claim), str | int) and not isinstance(value, bool)
        )


class OpenGate:
    """Permits everything: for `dev` on loopback, where there is no token. Origins are still checked by the front."""

    def __init__(self, max_calls: int) -> None:
        self._max_calls = max_calls
        self.calls = 0

    def decide(self, head: CallHead, answer: Answer) -> None:
        self.calls += 1
        answer(TOO_MANY if self.calls > self._max_calls else Permit(head.path))

    def leave(self) -> None:
        self.calls -= 1
