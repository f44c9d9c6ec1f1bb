"""THE ROAD: one call, from the browser's end to the backend's end and back. Sans-IO.

Events come in from the two ends and from the gate; the call acts on two small Protocols, `Downstream` (towards the
browser) and `UpstreamStream` (towards the backend). It knows no event loop: its clock is handed to it.

    browser ── request_bytes, request_end, cancel ──▶ Call ── send, end, cancel ──▶ UpstreamStream
    Downstream ◀── send_head, send, end ── ReplyWriter ◀── Call ◀── reply_head, reply_bytes, reply_end ── backend

| state  | decision        | request bytes | request end | reply head, bytes | reply end | failure*         |
|--------|-----------------|---------------|-------------|-------------------|-----------|------------------|
| GATED  | open, or refuse | hold          | note        |                   |           | answer           |
| OPEN   |                 | walk, forward | half-close  | walk, send        | answer    | answer, cancel   |
| CLOSED | drop            | drop          | drop        | drop              | drop      | drop             |

To answer is to end the reply with a status (`ReplyWriter`), and to be CLOSED.
*failure: a deadline, an expired token, a broken frame, a limit. When the browser leaves (`cancel`) there is no answer.

Rules
- Whatever ends the call closes both ends, once: `_close` is the one door to CLOSED.
- After classification every outcome is a gRPC status, exactly one, sent last (PROTOCOL-WEB, PROTOCOL-HTTP2).
- Buffers are bounded: bytes held while GATED pause the reader at `HOLD_LIMIT`; later the ends pause each other.
"""

import enum

from gateway.ends import CallHead, Downstream, Roadside, Span, Timer, UpstreamRequest, UpstreamStream
from gateway.permit import NOBODY, Permit, Refusal, Subject
from gateway.protocol import text
from gateway.protocol.frames import FrameWalker
from gateway.protocol.metadata import Header, Headers
from gateway.protocol.status import Code, Status, WireError
from gateway.reply_writer import NOT_GRPC, ReplyWriter
from gateway.standstill import Standstill

HOLD_LIMIT = 256 * 1024  # bytes of a request body kept while the gate decides


class State(enum.Enum):
    GATED = enum.auto()
    OPEN = enum.auto()
    CLOSED = enum.auto()


class Call:
    """One call. Make it, `start` it, feed it what arrives at the two ends."""

    __slots__ = (
        "_decoder", "_expires_at", "_gate_entered", "_held", "_held_size", "_reply", "_request_ended",
        "_request_walker", "_standstill", "_state", "_timer", "_upstream", "answered", "deadline", "decided",
        "downstream", "ended", "head", "identity", "permitted", "reason", "request_bytes_seen", "road", "span",
        "started", "status", "subject",
    )  # fmt: skip

    def __init__(self, head: CallHead, downstream: Downstream, road: Roadside) -> None:
        self.head = head
        self.downstream = downstream
        self.started = self.ended = road.stopwatch()
        self.decided = 0.0  # by the gate, on the same watch; 0: never
        self.answered = 0.0  # the first that came from the backend; 0: nothing came
        self.deadline: float | None = None
        self.subject: Subject = NOBODY
        self.identity = ""  # of the client certificate, where that is what let the call in
        self.permitted = False
        self.status: Status | None = None  # of the whole call, once it is over
        self.reason = ""  # why the gateway itself ended it: "token_expired", "deadline", "disconnect", …
        self.request_bytes_seen = 0
        self.span: Span | None = None
        self.road = road
        self._state = State.GATED
        self._upstream: UpstreamStream | None = None
        self._decoder = text.TextDecoder() if head.type.request_text else None
        self._request_walker = FrameWalker(road.limits.max_request_message)
        self._reply = ReplyWriter(downstream, head.type, road.limits.max_response_message)
        self._held: list[bytes] = []
        self._held_size = 0
        self._request_ended = False
        self._gate_entered = False
        self._timer: Timer | None = None
        self._expires_at: float | None = None  # seconds since the epoch
        self._standstill = Standstill()

    @property
    def request_messages(self) -> int:
        return self._request_walker.messages

    @property
    def reply_messages(self) -> int:
        return self._reply.messages

    @property
    def reply_bytes_seen(self) -> int:
        return self._reply.size

    @property
    def closed(self) -> bool:
        return self._state is State.CLOSED

    @property
    def within_message(self) -> bool:
        """The request so far ends inside a message: more of it must come."""
        return self._request_walker.within_frame or (self._decoder is not None and self._decoder.within_quantum)

    # -- the gate ------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Ask the gate. The deadline counts from here: time spent at the gate is the caller's time."""
        if self.road.tracer is not None:
            self.span = self.road.tracer.begin(self.head)
        try:
            self._set_deadline()
        except WireError as error:
            self.fail(error.status, "bad_timeout")
            return
        self._gate_entered = True
        self.road.gate.decide(self.head, self._decided)

    def _set_deadline(self) -> None:
        allowed = self.road.limits.allowed(self.head.timeout)
        if allowed is not None:
            self.deadline = self.road.clock.time() + allowed
            self._timer = self.road.clock.call_at(self.deadline, self._deadline_passed)

    def _decided(self, decision: Permit | Refusal) -> None:
        if self._state is State.CLOSED:
            return
        self.decided = self.road.stopwatch()
        self.subject = decision.subject
        if isinstance(decision, Refusal):
            self.fail(decision.status, decision.reason, decision.metadata)
            self.delivered()  # strangers that do not read their refusals keep nobody out
            return
        self.permitted = True
        self.identity = decision.identity
        try:
            request = UpstreamRequest.of(self.head, decision, self.road, self.deadline)
        except WireError as error:
            self.fail(error.status, "bad_metadata")
            return
        if self.span is not None:
            request.metadata = self.span.carried(request.metadata)
        self.head.headers = []  # a stream may live for hours, what it was asked with need not
        opened = self.road.opener.open(decision, request, self)
        if isinstance(opened, Refusal):
            self.fail(opened.status, opened.reason)
            return
        self._upstream = opened
        self._state = State.OPEN
        self._expires_at = decision.expires_at
        self._release_held()

    def _release_held(self) -> None:
        held, self._held, self._held_size = self._held, [], 0
        if held:
            self.downstream.resume_reading()  # first: what is released may make the backend's end pause it again
        for data in held:
            self._forward(data)
        if self._request_ended and self._state is State.OPEN:
            self._end_request()

    # -- from the browser ----------------------------------------------------------------------------------------

    def request_bytes(self, data: bytes) -> None:
        """More of the request body, as it came over HTTP."""
        if self._state is State.OPEN:
            self._forward(data)
        elif self._state is State.GATED:
            self._held.append(data)
            self._held_size += len(data)
            if self._held_size >= HOLD_LIMIT:
                self.downstream.pause_reading()

    def request_end(self) -> None:
        """The request body is complete."""
        if self._request_ended:
            return
        self._request_ended = True
        if self._state is State.OPEN:
            self._end_request()

    def cancel(self, reason: str = "disconnect") -> None:
        """The browser left: nobody reads an answer any more."""
        self._close(Status(Code.CANCELLED, "the client went away"), reason)

    def pause_reply(self) -> None:
        """The browser reads slowly: hold the backend back."""
        if self._upstream is not None:
            self._upstream.pause()

    def resume_reply(self) -> None:
        if self._upstream is not None:
            self._upstream.resume()

    def _forward(self, data: bytes) -> None:
        if self._upstream is None or self._state is not State.OPEN:
            return
        self.request_bytes_seen += len(data)
        try:
            if self._decoder is not None:
                data = self._decoder.feed(data)
            self._request_walker.feed(data)
        except WireError as error:
            self.fail(error.status, "bad_frame")
            return
        if self._request_walker.compressed and self.head.encoding == b"identity":
            self.fail(Status(Code.INTERNAL, "a compressed message without grpc-encoding"), "bad_frame")
            return
        if data:
            self._upstream.send(data)

    def _end_request(self) -> None:
        assert self._upstream is not None
        try:
            if self._decoder is not None:
                self._decoder.end()
            self._request_walker.end()
        except WireError as error:
            self.fail(error.status, "bad_frame")
            return
        self._upstream.end()

    # -- from the backend ----------------------------------------------------------------------------------------

    def reply_head(self, metadata: Headers) -> None:
        """The backend's response headers, cleaned by `reply_metadata`."""
        if self._state is State.OPEN:
            if not self.answered:
                self.answered = self.road.stopwatch()
            self._reply.head(metadata)

    def reply_bytes(self, data: bytes) -> None:
        """gRPC frames of the reply, in any chunks."""
        if self._state is State.OPEN and (wrong := self._reply.frames(data)) is not None:
            self.fail(wrong, "bad_reply")

    def reply_end(self, status: Status, metadata: Headers) -> None:
        """The backend is done: its status and its own trailers."""
        if self._state is not State.OPEN:
            return
        self._upstream = None  # it ended by itself: nothing left to cancel
        reason = ""
        if self._reply.within_message and not status.code:
            status, metadata, reason = NOT_GRPC, [], "bad_reply"
        self._reply.end(status, metadata)
        self._close(status, reason)

    def pause_request(self) -> None:
        """The backend takes no more for now: stop reading the body."""
        if self._state is State.OPEN:
            self.downstream.pause_reading()

    def resume_request(self) -> None:
        if self._state is State.OPEN:
            self.downstream.resume_reading()

    # -- time ----------------------------------------------------------------------------------------------------

    def _deadline_passed(self) -> None:
        self.fail(Status(Code.DEADLINE_EXCEEDED, "the deadline passed"), "deadline")

    def tick(self) -> None:
        """About once a second: what need not be kept to the millisecond costs a call no timer of its own."""
        road = self.road
        if self._expires_at is not None and self._expires_at <= road.wall_clock():
            status = Status(Code.UNAUTHENTICATED, "the access token expired during the call")
            self.fail(status, "token_expired_midway")
        elif (idle := road.limits.stream_idle) is not None and self._state is State.OPEN:
            moved = self.request_bytes_seen + self.reply_bytes_seen
            if self._standstill.look(road.clock.time(), moved) >= idle:
                self.fail(Status(Code.UNAVAILABLE, "the stream was idle for too long"), "stream_idle")

    # -- the end -------------------------------------------------------------------------------------------------

    def fail(self, status: Status, reason: str, metadata: tuple[Header, ...] = ()) -> None:
        """End the call with a status of the gateway's own; `metadata` joins the response headers, if not too late."""
        if self._state is State.CLOSED:
            return
        self._reply.end(status, (), head=metadata)
        self._close(status, reason)

    def _close(self, status: Status, reason: str) -> None:
        if self._state is State.CLOSED:
            return
        self._state = State.CLOSED
        self.ended = self.road.stopwatch()
        self.status, self.reason = status, reason
        self._held.clear()
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            upstream.cancel()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.road.observer.settled(self)

    def delivered(self) -> None:
        """The front has nothing of the call any more: only now it no longer counts among `max_calls`."""
        if self._gate_entered:
            self._gate_entered = False
            self.road.gate.leave(self.head)
