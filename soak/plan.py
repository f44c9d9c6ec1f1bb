"""One call as it is planned: what is sent, where, when it is given up, what the right answer is.

Rule: everything random is decided here, out of one generator with a known seed; carrying it out decides nothing.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from gateway.demo.pb import demo_pb2
from soak.answer import Said
from soak.backend import ALIAS, GATEWAY, SERVICE
from soak.lines import DOORS, HTTP1, Door
from soak.world import IDEMPOTENT, READER, TRANSPORTS

BINARY, TEXT, NATIVE = "application/grpc-web+proto", "application/grpc-web-text+proto", "application/grpc+proto"
CANCELLED = 0.5  # of all calls
REFUSED = 0.1  # of the others
PAYLOADS = (0, 100, 4_000, 60_000)  # bytes
FOREIGN = "https://elsewhere.test"
EXPIRED = "expired"  # in place of a role
DEADLINE_EXCEEDED, PERMISSION_DENIED, UNAUTHENTICATED = 4, 7, 16


class Stage(Enum):
    """When a call is given up."""

    HALF = "half of the request was sent"
    ASKED = "the request was sent"
    ANSWERING = "the answer has begun"


@dataclass(frozen=True, slots=True)
class Leaving:
    """How a call is given up."""

    stage: Stage
    after: float  # seconds more
    drop: bool  # with the connection


@dataclass(frozen=True, slots=True)
class Plan:
    """`wrong` says what is wrong with an answer; empty: nothing."""

    service: str
    method: str
    door: Door
    form: str
    messages: list[bytes]
    wrong: Callable[[Said], str]
    token: str = READER  # a role, EXPIRED, or nothing
    origin: bool = True  # the one that is allowed
    timeout: str = ""  # grpc-timeout
    one_by_one: bool = False  # messages go out with a pause between them
    http_status: int = 200
    leaving: Leaving | None = None
    also: list[str] = field(default_factory=list)  # for its name

    @property
    def name(self) -> str:
        form = {BINARY: "binary", TEXT: "text", NATIVE: "native"}[self.form]
        what = " ".join([self.method, *self.also])
        return f"{what}, {form}, {self.door.name}, upstream {TRANSPORTS[self.service]}"

    @property
    def never_fails(self) -> bool:
        """Not even when its backend is killed."""
        return self.method in IDEMPOTENT and TRANSPORTS[self.service] == "h2"


class Planner:
    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - no secret
        self._number = 0

    def pause(self, rate: float) -> float:
        """Seconds until the next call of a Poisson process."""
        return self._random.expovariate(rate)

    def next(self) -> Plan:
        draw = self._random
        self._number += 1
        leaving = draw.random() < CANCELLED
        if not leaving and draw.random() < REFUSED:
            return draw.choice((self._foreign, self._no_token, self._expired, self._no_role))()
        kinds = (self._echo, self._echo, self._who, self._count, self._count, self._fail, self._collect, self._chat)
        more = (self._endless,) if leaving else (self._too_late,)
        return draw.choice(kinds + more)(self._leaving() if leaving else None)

    # -- what becomes right answers ------------------------------------------------------------------------------

    def _echo(self, leaving: Leaving | None) -> Plan:
        text, payload = f"call {self._number}", self._random.randbytes(self._random.choice(PAYLOADS))
        request = demo_pb2.EchoRequest(text=text, payload=payload)
        reply = demo_pb2.EchoReply(text=text, payload=payload)
        return self._plan("Echo", [request], _replies([reply]), leaving, timeout=self._random.choice(("", "20S")))

    def _who(self, leaving: Leaving | None) -> Plan:
        def wrong(said: Said) -> str:
            if problem := _status(said, 0) or _count(said, 1):
                return problem
            reply = demo_pb2.WhoAmIReply.FromString(said.messages[0])
            seen = (reply.gateway, reply.subject)
            return "" if seen == (f"DNS:{GATEWAY}", f"{READER}-1") else f"the backend saw {seen}"

        return self._plan("WhoAmI", [demo_pb2.WhoAmIRequest()], wrong, leaving)

    def _count(self, leaving: Leaving | None) -> Plan:
        count, size = self._random.randint(2, 60), self._random.choice(PAYLOADS)
        request = demo_pb2.CountRequest(count=count, interval_ms=self._random.choice((0, 1, 30)), payload_bytes=size)
        replies = [demo_pb2.CountReply(number=number, payload=bytes(size)) for number in range(1, count + 1)]
        return self._plan("Count", [request], _replies(replies), leaving)

    def _fail(self, leaving: Leaving | None) -> Plan:
        code = self._random.choice((3, 5, 9, 13))
        request = demo_pb2.FailRequest(code=code, message="as asked", detail=self._random.choice(("", "SOAK")))
        return self._plan("Fail", [request], lambda said: _status(said, code) or _count(said, 0), leaving)

    def _collect(self, leaving: Leaving | None) -> Plan:
        texts = [f"{self._number}.{index}" for index in range(self._random.randint(1, 10))]
        reply = demo_pb2.CollectReply(count=len(texts), text=" ".join(texts))
        requests = [demo_pb2.EchoRequest(text=text) for text in texts]
        return self._plan("Collect", requests, _replies([reply]), leaving, native=True)

    def _chat(self, leaving: Leaving | None) -> Plan:
        texts = [f"{self._number}.{index}" for index in range(self._random.randint(1, 10))]
        replies = [demo_pb2.EchoReply(text=text) for text in texts]
        return self._plan(
            "Chat", [demo_pb2.EchoRequest(text=text) for text in texts], _replies(replies), leaving, native=True
        )

    def _endless(self, leaving: Leaving | None) -> Plan:
        request = demo_pb2.CountRequest(count=0, interval_ms=20, payload_bytes=self._random.choice(PAYLOADS))
        return self._plan("Count", [request], lambda _said: "", leaving, also=["without end"])

    def _too_late(self, leaving: Leaving | None) -> Plan:
        def wrong(said: Said) -> str:
            numbers = [demo_pb2.CountReply.FromString(message).number for message in said.messages]
            return _status(said, DEADLINE_EXCEEDED) or ("" if numbers == list(range(1, len(numbers) + 1)) else "a gap")

        request = demo_pb2.CountRequest(count=0, interval_ms=20)
        timeout = f"{self._random.randint(50, 1000)}m"
        return self._plan("Count", [request], wrong, leaving, timeout=timeout, also=["with a deadline"])

    # -- refusals ------------------------------------------------------------------------------------------------

    def _no_token(self) -> Plan:
        return self._refused("without token", UNAUTHENTICATED, token="")

    def _expired(self) -> Plan:
        return self._refused("with an expired token", UNAUTHENTICATED, token=EXPIRED)

    def _no_role(self) -> Plan:
        return self._refused("without the role", PERMISSION_DENIED, method="Shout")

    def _foreign(self) -> Plan:
        return self._refused("from a foreign page", -1, origin=False, http_status=403)

    def _refused(self, also: str, code: int, *, method: str = "Echo", token: str = READER, **more: object) -> Plan:
        return self._plan(
            method, [demo_pb2.EchoRequest(text="x")], lambda said: _status(said, code) or _count(said, 0), None,
            native=False, token=token, also=[also], **more,
        )  # fmt: skip

    # -- where it goes -------------------------------------------------------------------------------------------

    def _plan(
        self,
        method: str,
        messages: list[demo_pb2.EchoRequest],
        wrong: Callable[[Said], str],
        leaving: Leaving | None,
        *,
        native: bool | None = None,
        **more: object,
    ) -> Plan:
        """`native`: None for either."""
        draw = self._random
        door = draw.choice([door for door in DOORS if not (native and door.protocol == HTTP1)])
        forms = [NATIVE] if native else [BINARY, TEXT]
        if native is None and door.protocol != HTTP1:
            forms.append(NATIVE)
        return Plan(
            service=draw.choice((SERVICE, ALIAS)),
            method=method,
            door=door,
            form=draw.choice(forms),
            messages=[message.SerializeToString() for message in messages],
            wrong=wrong,
            one_by_one=bool(native),
            leaving=leaving,
            **more,
        )

    def _leaving(self) -> Leaving:
        draw = self._random
        return Leaving(draw.choice(list(Stage)), draw.choice((0.0, draw.uniform(0, 0.3))), draw.random() < 0.3)


def _replies(expected: list[demo_pb2.EchoReply]) -> Callable[[Said], str]:
    kind = type(expected[0])

    def wrong(said: Said) -> str:
        if problem := _status(said, 0) or _count(said, len(expected)):
            return problem
        return "" if [kind.FromString(message) for message in said.messages] == expected else "another answer"

    return wrong


def _status(said: Said, code: int) -> str:
    return "" if said.code == code else f"status {said.code}, {said.text}"


def _count(said: Said, count: int) -> str:
    return "" if len(said.messages) == count else f"{len(said.messages)} messages instead of {count}"
