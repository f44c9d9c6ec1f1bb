"""The streams of a connection.

Rules
- A stream has no task, future or coroutine: events are calls.
- Received bytes open the peer's windows again when their stream has taken them, save while it is held.
- A stream is told when `SEND_BUFFER` of its bytes wait, and again when there is room.
- A stream may send before it has heard that its peer has reset it: what is for nobody any more is dropped.
"""

from typing import Protocol

from ngh2 import (
    DataReceived,
    Event,
    NGH2Error,
    RequestReceived,
    ResponseReceived,
    StreamClosed,
    StreamReset,
    TrailersReceived,
)

from gateway.http2.errors import NO_ERROR, PROTOCOL_ERROR
from gateway.http2.limits import ACKNOWLEDGED, PATIENCE_SENT, SEND_BUFFER
from gateway.http2.wire import Wire
from gateway.protocol.metadata import Header, Headers

GRACE = 1.0  # seconds for the rest of a request that is answered: some clients take a reset for a failure
CROWD = 8  # events that a connection may have of its own; calls have four for each stream: more are small messages


class Stream(Protocol):
    """Who is told what happens on one stream."""

    def headers_received(self, headers: tuple[Header, ...], ended: bool) -> None: ...  # of a response
    def data_received(self, data: bytes, ended: bool) -> None: ...  # acknowledged then, unless `Link.hold` is said
    def trailers_received(self, headers: tuple[Header, ...]) -> None: ...
    def full(self) -> None: ...  # too much waits for the peer
    def writable(self) -> None: ...
    def delivered(self) -> None: ...  # all that was sent has left, as `Link.wants_no_more` asked
    def closed(self, error: int, by_peer: bool) -> None: ...  # a code of RFC 9113, section 7, and whose it is; the end
    def lost(self, processed: bool) -> None: ...  # with the connection; `processed`: the peer may have seen it


class Link(Wire):
    """A connection with its streams. Subclasses are its two roles."""

    def __init__(self, *, server: bool, window: int, keepalive: float | None) -> None:
        super().__init__(server=server, window=window, keepalive=keepalive)
        self.streams: dict[int, Stream] = {}
        self._last_id = 0  # of the newest stream that was opened here
        self._flushed_id = 0  # of the newest of them whose request has left
        self._reset_by_peer: set[int] = set()
        self._full: set[int] = set()  # streams that were told so
        self._held: dict[int, int] = {}  # bytes of streams whose window stays shut
        self._bare_ends: set[int] = set()  # of answers, with no byte before them
        self._unfinished: dict[int, float | None] = {}  # answered before their request was complete: since when

    # -- what streams do -----------------------------------------------------------------------------------------

    def request(self, headers: Headers, stream: Stream) -> int:
        """Open a stream with a request, whose body follows. 0: the connection takes no more."""
        try:
            stream_id = self._engine.send_request(headers)
        except NGH2Error:
            return 0
        self._last_id = stream_id
        self.streams[stream_id] = stream
        self.flush_soon()
        return stream_id

    def respond(self, stream_id: int, headers: Headers, *, end: bool = False) -> None:
        try:  # written out, as in `send` and `end`: a hundredth of what a small call costs
            self._engine.send_response(stream_id, headers, end_stream=end)
        except NGH2Error:
            return
        self.flush_soon()

    def send(self, stream_id: int, data: bytes, *, end: bool = False) -> None:
        engine = self._engine
        try:
            engine.send_data(stream_id, data, end_stream=end)
        except NGH2Error:
            return
        self.flush_soon()
        self._patience += PATIENCE_SENT + len(data) // ACKNOWLEDGED
        if engine.queued_body_size() > SEND_BUFFER and engine.queued_body_size(stream_id) > SEND_BUFFER:
            self._tell_full(stream_id)

    def end(self, stream_id: int, trailers: Headers | None = None) -> None:
        try:
            if trailers is None:
                self._engine.end_stream(stream_id)
            else:
                self._engine.send_trailers(stream_id, trailers)
        except NGH2Error:
            return
        self.flush_soon()

    def reset(self, stream_id: int, error: int) -> None:
        if stream_id in self.streams:  # else it is closed already
            self._say(self._engine.reset_stream, stream_id, error)

    def cut_off(self, stream_id: int, error: int) -> None:
        """Reset a stream when what can leave of it has left; a reset overtakes what waits."""
        self.flush_soon()
        self._loop.call_soon(self.reset, stream_id, error)

    def wants_no_more(self, stream_id: int, *, had_body: bool) -> None:
        """The answer is complete and the request is not. The stream is told when all of the answer is `delivered`; a
        peer that does not end its request in time then is reset (section 8.1).
        """
        self._unfinished[stream_id] = None
        if had_body and not self._engine.queued_body_size(stream_id):
            self._bare_ends.add(stream_id)

    def expect_end(self, stream_id: int) -> None:
        """Both ends are over, so the stream closes by itself; if what is left of it does not leave, it is reset."""
        if stream_id in self.streams:  # else it is closed already
            self._unfinished[stream_id] = self._loop.time()

    def hold(self, stream_id: int) -> None:
        """From now on the peer's window stays shut for what comes."""
        if stream_id in self.streams:
            self._held.setdefault(stream_id, 0)

    def release(self, stream_id: int) -> None:
        """Open the window again for what was held, and go on so. A stream that closes is released."""
        if size := self._held.pop(stream_id, 0):
            self._say(self._engine.acknowledge_received_data, size, stream_id)

    def holds(self, stream_id: int) -> bool:
        return stream_id in self._held

    def waiting(self, stream_id: int) -> int:
        """Bytes of a stream that the peer's windows hold back."""
        return self._engine.queued_body_size(stream_id)

    # -- what is told to them ------------------------------------------------------------------------------------

    def request_received(self, stream_id: int, headers: tuple[Header, ...], ended: bool) -> None:
        """A server's: a new stream."""

    def request_malformed(self) -> None:
        """A server's: a head that is none (RFC 9113, section 8.1.1), for which the engine has reset the stream."""

    def stream_gone(self) -> None:
        """One stream less."""

    def connection_lost(self, exc: Exception | None) -> None:
        self.closing = True
        streams, self.streams = self.streams, {}
        for stream_id, stream in streams.items():
            stream.lost(processed=stream_id <= self._flushed_id)

    def tick(self, now: float) -> None:
        super().tick(now)
        for stream_id, since in self._unfinished.items():
            if since is not None and now - since >= GRACE:
                self.reset(stream_id, NO_ERROR)

    @property
    def in_use(self) -> bool:
        return bool(self.streams)

    @property
    def unacknowledged(self) -> int:
        return sum(self._held.values())

    def dispatch(self, events: list[Event]) -> None:
        streams = self.streams
        if len(events) > CROWD + 4 * len(streams):
            events = _joined(events)
        for event in events:
            if isinstance(event, DataReceived):
                stream = streams.get(event.stream_id)
                if stream is not None:
                    stream.data_received(event.data, event.end_stream)
                self._taken(event.stream_id, len(event.data))
            elif isinstance(event, RequestReceived):
                self.last_peer_stream = event.stream_id
                self.request_received(event.stream_id, event.headers, event.end_stream)
            elif isinstance(event, ResponseReceived):
                stream = streams.get(event.stream_id)
                if stream is not None:
                    stream.headers_received(event.headers, event.end_stream)
            elif isinstance(event, TrailersReceived):
                stream = streams.get(event.stream_id)
                if stream is not None:
                    stream.trailers_received(event.headers)
            elif isinstance(event, StreamClosed):
                self._stream_closed(event)
            else:
                self.about_connection(event)

    def about_connection(self, event: Event) -> None:
        if isinstance(event, StreamReset) and event.stream_id in self.streams:
            self._reset_by_peer.add(event.stream_id)  # and it is closed next
        super().about_connection(event)

    def _stream_closed(self, event: StreamClosed) -> None:
        stream = self.streams.pop(event.stream_id, None)
        if stream is not None:
            self._full.discard(event.stream_id)
            self._unfinished.pop(event.stream_id, None)
            self._bare_ends.discard(event.stream_id)
            if event.stream_id in self._held:
                self.release(event.stream_id)
            stream.closed(event.error_code, by_peer=event.stream_id in self._reset_by_peer)
            self.stream_gone()
        elif event.error_code == PROTOCOL_ERROR:
            self.request_malformed()
        self._reset_by_peer.discard(event.stream_id)

    def _taken(self, stream_id: int, size: int) -> None:
        """What follows from bytes that a stream has received: the peer may send more, or not yet."""
        if stream_id in self._held:
            self._held[stream_id] += size
            return
        try:
            self._engine.acknowledge_received_data(size, stream_id)
        except NGH2Error:
            return

    def _tell_full(self, stream_id: int) -> None:
        stream = self.streams.get(stream_id)
        if stream is not None and stream_id not in self._full:
            self._full.add(stream_id)
            stream.full()

    def flushed(self) -> None:
        self._flushed_id = self._last_id
        if self._full or self._unfinished:
            self._look_at_queues()

    def _look_at_queues(self) -> None:
        """Who has room again, and whose answer has left."""
        engine = self._engine
        for stream_id in [one for one in self._full if engine.queued_body_size(one) <= SEND_BUFFER // 2]:
            self._full.discard(stream_id)
            self.streams[stream_id].writable()
        for stream_id, since in self._unfinished.items():
            if since is None and not engine.queued_body_size(stream_id) and self._end_has_left(stream_id):
                self._unfinished[stream_id] = self._loop.time()
                self.streams[stream_id].delivered()

    def _end_has_left(self, stream_id: int) -> bool:
        """The end of a stream goes with its last byte; where that was gone already, it waits for the peer's windows."""
        engine = self._engine
        try:
            return stream_id not in self._bare_ends or (
                engine.remote_window_size > 0 and engine.stream_remote_window_size(stream_id) > 0
            )
        except NGH2Error:
            return True


def _joined(events: list[Event]) -> list[Event]:
    """The DATA frames of a stream, with nothing of that stream between them, as one: small messages are many."""
    pieces: dict[int, list[bytes]] = {}
    joined: list[Event] = []
    for event in events:
        if isinstance(event, DataReceived) and not event.end_stream:
            so_far = pieces.get(event.stream_id)
            if so_far is None:
                pieces[event.stream_id] = [event.data]
            else:
                so_far.append(event.data)
            continue
        stream_id = getattr(event, "stream_id", 0)
        if stream_id in pieces:
            joined.append(DataReceived(stream_id, b"".join(pieces.pop(stream_id)), end_stream=False))
        joined.append(event)
    for stream_id, data in pieces.items():
        joined.append(DataReceived(stream_id, b"".join(data), end_stream=False))
    return joined
