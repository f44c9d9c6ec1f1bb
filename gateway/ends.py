"""What a call stands between: its head, its two ends, the gate, and what all calls share.

CallHead        what a front knows of a request that is a call
Downstream      the browser's end; UpstreamStream the backend's, which an Opener opens and which speaks to a Reply
Gate, Observer  judge a call; see it when it is over
Tracer, Span    the call in a trace, where the gateway has spans of its own
Roadside        what all calls of one configuration share
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from gateway.permit import Permit, Refusal
from gateway.protocol import timeout
from gateway.protocol.content_type import CallType
from gateway.protocol.metadata import Headers, forwarded, request_metadata
from gateway.protocol.status import Status

if TYPE_CHECKING:
    from gateway.call import Call


@dataclass(slots=True)
class CallHead:
    """A request that was found to be a call, before anybody judged it."""

    path: bytes  # raw, as it stood in the request line
    type: CallType
    headers: Headers  # as received, names lower-case
    authorizations: Headers  # every Authorization header: a second one is a reason to refuse
    timeout: bytes | None  # raw grpc-timeout
    peer: str  # address of the browser's end
    scheme: bytes  # b"http" or b"https"
    host: bytes
    origin: bytes | None = None
    encoding: bytes = b"identity"  # of compressed messages (grpc-encoding)
    names_encodings: bool = False  # that it can open (grpc-accept-encoding); browsers' clients can open none
    identities: tuple[str, ...] = ()  # of a verified client certificate: "DNS:ops.internal", "CN:batch"
    http2: bool = False  # it came over HTTP/2
    traceparent: bytes | None = None  # raw (W3C Trace Context)


@dataclass(slots=True)
class UpstreamRequest:
    """What an upstream needs to open a stream."""

    metadata: Headers
    deadline: float | None  # clock time; None: none
    content_type: bytes  # application/grpc, application/grpc+proto, …
    encoding: bytes = b"identity"  # of compressed messages
    names_encodings: bool = False  # the metadata say which ones the caller can open

    @classmethod
    def of(cls, head: CallHead, permit: Permit, road: "Roadside", deadline: float | None) -> "UpstreamRequest":
        """What a permitted call asks its backend. Raises WireError: its headers cannot be metadata."""
        metadata = request_metadata(
            head.headers,
            stripped=road.stripped,
            forward_authorization=road.forward_authorization and permit.forward_authorization,
            max_size=road.limits.max_metadata,
        )
        metadata += forwarded(head.peer.encode("ascii", "replace"), head.scheme, head.host)
        metadata += permit.metadata
        return cls(metadata, deadline, head.type.upstream, head.encoding, head.names_encodings)


@dataclass(frozen=True, slots=True)
class CallLimits:
    """`limits` of the configuration, as far as they concern one call. Sizes in bytes, times in seconds."""

    max_request_message: int = 4 * 1024 * 1024
    max_response_message: int = 16 * 1024 * 1024
    max_metadata: int = 8 * 1024
    default_deadline: float | None = None
    max_deadline: float | None = None
    stream_idle: float | None = None

    def allowed(self, asked: bytes | None) -> float | None:
        """Seconds that a call may take which asks for so many (a raw grpc-timeout). None: no end. Raises WireError."""
        seconds = self.default_deadline if asked is None else timeout.parse(asked)
        if self.max_deadline is None or (seconds is not None and seconds <= self.max_deadline):
            return seconds
        return self.max_deadline


class Downstream(Protocol):
    """The browser's end of a call."""

    def send_head(self, metadata: Headers, *, end: bool = False) -> None: ...  # `end`: and nothing more (native only)
    def send(self, data: bytes) -> None: ...
    def end(self, trailers: Headers | None = None) -> None: ...  # HTTP trailers: of a native call only
    def abort(self) -> None: ...  # in place of `end`: what was sent cannot be ended properly, so it is cut off
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...


class UpstreamStream(Protocol):
    """The backend's end of a call: gRPC frames in any chunks, in order."""

    def send(self, data: bytes) -> None: ...
    def end(self) -> None: ...
    def cancel(self) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...


class Reply(Protocol):
    """Where a backend's end says what the backend says: the call, as upstreams see it."""

    @property
    def closed(self) -> bool: ...
    def reply_head(self, metadata: Headers) -> None: ...
    def reply_bytes(self, data: bytes) -> None: ...
    def reply_end(self, status: Status, metadata: Headers) -> None: ...
    def fail(self, status: Status, reason: str) -> None: ...
    def pause_request(self) -> None: ...
    def resume_request(self) -> None: ...


class Opener(Protocol):
    """Opens upstream streams; an unroutable path or a full house is a Refusal."""

    def open(self, permit: Permit, request: UpstreamRequest, reply: Reply) -> UpstreamStream | Refusal: ...
    def name_of(self, path: bytes) -> str: ...  # of the upstream that a path goes to; empty: none


class Gate(Protocol):
    """Judges a call: `answer` is called once, at once where everything is known, otherwise later."""

    def decide(self, head: CallHead, answer: Callable[[Permit | Refusal], None]) -> None: ...
    def leave(self, head: CallHead) -> None: ...  # once for each `decide`: it is refused, or over and delivered


class Timer(Protocol):
    def cancel(self) -> None: ...


class Clock(Protocol):
    """An asyncio event loop is one. Seconds, monotonic."""

    def time(self) -> float: ...
    def call_at(self, when: float, callback: Callable[[], None], /) -> Timer: ...


class Observer(Protocol):
    """Sees a call when it is over, and alters nothing."""

    def settled(self, call: "Call") -> None: ...


class Span(Protocol):
    """What traces say of a call: begun with it, ended with it."""

    trace_id: str  # 32 hexadecimal digits

    def carried(self, metadata: Headers) -> Headers: ...  # with the trace context of the span in place of the caller's
    def end(self, call: "Call") -> None: ...


class Tracer(Protocol):
    def begin(self, head: CallHead) -> Span | None: ...  # None: its caller wants none, and trace context passes


@dataclass(frozen=True, slots=True)
class Roadside:
    """What all calls of one configuration share."""

    gate: Gate
    opener: Opener
    limits: CallLimits
    forward_authorization: bool
    stripped: frozenset[bytes]  # request headers that only the gateway may set (`forward_claims`)
    observer: Observer
    clock: Clock
    wall_clock: Callable[[], float]  # seconds since the epoch, for the expiry of tokens
    stopwatch: Callable[[], float]  # seconds, finer than an event loop's clock, for durations
    tracer: Tracer | None = None  # None: trace context passes as it came
