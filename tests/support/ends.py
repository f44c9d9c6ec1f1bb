"""Lists for ends: a road for one call without any I/O."""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.call import Call
from gateway.ends import CallHead, CallLimits, Reply, Roadside, UpstreamRequest, UpstreamStream
from gateway.permit import Permit, Refusal
from gateway.protocol import content_type, text
from gateway.protocol.metadata import Headers
from gateway.protocol.status import Status
from tests.support.frames import take_apart

NOW = 1_000_000.0  # seconds since the epoch when a test's clock says 0


@dataclass
class ListDownstream:
    """The browser's end: keeps what it is told."""

    heads: list[Headers] = field(default_factory=list)
    chunks: list[bytes] = field(default_factory=list)
    ends: list[Headers | None] = field(default_factory=list)  # the trailers of each; None: without
    aborts: int = 0
    reading: bool = True

    def send_head(self, metadata: Headers, *, end: bool = False) -> None:
        self.heads.append(metadata)
        if end:  # the metadata are the trailers, too
            self.ends.append(metadata)

    def send(self, data: bytes) -> None:
        self.chunks.append(data)

    def end(self, trailers: Headers | None = None) -> None:
        self.ends.append(trailers)

    def abort(self) -> None:
        self.aborts += 1

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


@dataclass
class ListUpstream:
    """The backend's end, and the opener that opens it."""

    refuse: Refusal | None = None
    opened: list[tuple[Permit, UpstreamRequest]] = field(default_factory=list)
    chunks: list[bytes] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    on_send: Callable[[], None] | None = None
    replies: list[Reply] = field(default_factory=list)  # where to say what the backend says, for each one opened

    def open(self, permit: Permit, request: UpstreamRequest, reply: Reply) -> UpstreamStream | Refusal:
        self.opened.append((permit, request))
        self.replies.append(reply)
        return self if self.refuse is None else self.refuse

    def name_of(self, path: bytes) -> str:
        return "test"

    def send(self, data: bytes) -> None:
        self.chunks.append(data)
        if self.on_send is not None:
            self.on_send()

    def end(self) -> None:
        self.events.append("end")

    def cancel(self) -> None:
        self.events.append("cancel")

    def pause(self) -> None:
        self.events.append("pause")

    def resume(self) -> None:
        self.events.append("resume")


@dataclass
class ManualGate:
    """Answers when the test says so; by default at once, with a permit."""

    decision: Permit | Refusal | None = None
    at_once: bool = True
    entered: int = 0
    left: int = 0
    answer: Callable[[Permit | Refusal], None] | None = None

    def decide(self, head: CallHead, answer: Callable[[Permit | Refusal], None]) -> None:
        self.entered += 1
        self.answer = answer
        if self.at_once:
            answer(self.decision or Permit(head.path))

    def leave(self, head: CallHead) -> None:
        self.left += 1


@dataclass(order=True)
class _Timer:
    when: float
    number: int
    callback: Callable[[], None] = field(compare=False)
    cancelled: bool = field(default=False, compare=False)

    def cancel(self) -> None:
        self.cancelled = True


class ManualClock:
    """Time that passes when told."""

    def __init__(self) -> None:
        self.now = 0.0
        self._timers: list[_Timer] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], None], /) -> _Timer:
        timer = _Timer(when, len(self._timers), callback)
        heapq.heappush(self._timers, timer)
        return timer

    @property
    def pending(self) -> int:
        return sum(not timer.cancelled for timer in self._timers)

    def advance(self, seconds: float) -> None:
        self.now += seconds
        while self._timers and self._timers[0].when <= self.now:
            timer = heapq.heappop(self._timers)
            if not timer.cancelled:
                timer.callback()


class Road:
    """One call with lists for ends."""

    def __init__(
        self,
        *,
        kind: bytes = b"application/grpc-web+proto",
        accept: bytes | None = None,
        headers: Headers | None = None,
        timeout: bytes | None = None,
        encoding: bytes = b"identity",
        limits: CallLimits | None = None,
        gate: ManualGate | None = None,
        upstream: ListUpstream | None = None,
        stripped: frozenset[bytes] = frozenset(),
        forward_authorization: bool = True,
    ) -> None:
        call_type = content_type.parse(kind, accept, trailers=True)
        assert call_type is not None
        self.down = ListDownstream()
        self.up = upstream or ListUpstream()
        self.gate = gate or ManualGate()
        self.clock = ManualClock()
        self.over: list[Call] = []  # calls that the observer saw settled
        head = CallHead(
            path=b"/test.v1.Test/Do",
            type=call_type,
            headers=headers or [],
            authorizations=[],
            timeout=timeout,
            peer="192.0.2.1",
            scheme=b"https",
            host=b"api.test",
            encoding=encoding,
        )
        self.side = Roadside(
            gate=self.gate,
            opener=self.up,
            limits=limits or CallLimits(),
            forward_authorization=forward_authorization,
            stripped=stripped,
            observer=self,
            clock=self.clock,
            wall_clock=lambda: NOW + self.clock.now,
            stopwatch=self.clock.time,
        )
        self.call = Call(head, self.down, self.side)

    def start(self) -> "Road":
        self.call.start()
        return self

    def advance(self, seconds: int) -> None:
        """Let time pass, and tick each second as a front does."""
        for _ in range(seconds):
            self.clock.advance(1)
            self.call.tick()

    def settled(self, call: Call) -> None:
        self.over.append(call)

    def reply(self) -> tuple[list[bytes], Status, Headers]:
        """What the browser got, which must be a whole answer: one head, and one trailer frame at the very end."""
        assert not self.call.head.type.native
        assert len(self.down.heads) == 1
        assert (self.down.ends, self.down.aborts) == ([None], 0)
        chunks = self.down.chunks
        if self.call.head.type.reply_text:
            decoder = text.TextDecoder()
            chunks = [decoder.feed(chunk) for chunk in chunks]
            decoder.end()
        return take_apart(b"".join(chunks))
