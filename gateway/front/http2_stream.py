"""The streams of an HTTP/2 connection with a browser: a call, or an answer that is complete at once.

    Link ── headers, data, closed ──▶ Exchange ── request_bytes, request_end, cancel ──▶ Call
    Link ◀── respond, send, end ──── Exchange ◀── send_head, send, end ────────────────── Call

Rules
- What a paused call does not take keeps the browser's window shut; what the browser does not take pauses the backend.
- A body that stops inside a message, and a reader that takes nothing, are let go after `body_stall`.
- A call may be over before its request is. Its answer leaves at once, and the end of the stream with that of the
  request, or `HELD_END` later: curl before 8.0 hangs when a stream ends of which it still has a body to send.
"""

import asyncio
from collections.abc import Callable

from gateway.call import Call
from gateway.ends import CallHead
from gateway.front.fields import SERVER, date
from gateway.front.snapshot import STALLED, FrontSnapshot
from gateway.http2 import CANCEL, INTERNAL_ERROR, Link
from gateway.protocol.metadata import Header, Headers
from gateway.request import Answer
from gateway.standstill import Standstill

OK: Header = (b":status", b"200")
SMALL = 16 * 1024  # bytes of an answer for which a call that is over keeps no place
HELD_END = 0.05  # seconds


class PlainExchange:
    """A stream that is no call: its answer is complete at once, and its body is passed over."""

    __slots__ = ("_ended", "_id", "_link", "_standstill")

    def __init__(self, link: Link, stream_id: int, ended: bool) -> None:
        self._link = link
        self._id = stream_id
        self._ended = ended
        self._standstill = Standstill()

    def answer(self, answer: Answer, *, body_wanted: bool) -> None:
        headers: Headers = [(b":status", b"%d" % answer.status), *answer.headers, SERVER, date()]
        if answer.status not in (204, 304):
            headers.append((b"content-length", b"%d" % len(answer.body)))
        body = answer.body if body_wanted and answer.status not in (204, 304) else b""
        self._link.respond(self._id, headers, end=not body)
        if body:
            self._link.send(self._id, body, end=True)
        if not self._ended:
            self._link.wants_no_more(self._id, had_body=bool(body))

    def headers_received(self, headers: tuple[Header, ...], ended: bool) -> None:
        """Only responses have them."""

    def data_received(self, data: bytes, ended: bool) -> None:
        """Nobody wants it."""

    def trailers_received(self, headers: tuple[Header, ...]) -> None:
        """Nobody waits for them."""

    def full(self) -> None:
        """All of the answer is here already."""

    def writable(self) -> None:
        """All of the answer is here already."""

    def delivered(self) -> None:
        """Nothing is left to do."""

    def closed(self, error: int, by_peer: bool) -> None:
        """Nothing is left to do."""

    def lost(self, processed: bool) -> None:
        """Nothing is left to do."""

    def look_for_stall(self, now: float, waiting: int, stall: float, *, excused: bool) -> None:
        if self._standstill.look(now, waiting, excused=excused or not waiting) >= stall:
            self._link.reset(self._id, CANCEL)

    def stalled(self) -> None:
        """Nothing is left to do."""


class Exchange:
    """The browser's end (`Downstream`) of one call."""

    __slots__ = (
        "_answered", "_call_head", "_ended", "_held_end", "_id", "_link", "_over", "_reception", "_standstill", "call",
    )  # fmt: skip

    def __init__(
        self, link: Link, stream_id: int, head: CallHead, snapshot: FrontSnapshot, over: Callable[[Call], None]
    ) -> None:
        """`over`: called when nothing of the call is left here."""
        self._link = link
        self._over = over
        self._id = stream_id
        self._call_head = head
        self._reception = snapshot.reception
        self._ended = False  # the request
        self._answered = False  # all of the answer is on its way
        self._held_end: asyncio.TimerHandle | None = None  # of the answer
        self._standstill = Standstill()
        self.call = Call(head, self, snapshot.road)

    # -- from the browser ----------------------------------------------------------------------------------------

    def headers_received(self, headers: tuple[Header, ...], ended: bool) -> None:
        """Only responses have them."""

    def data_received(self, data: bytes, ended: bool) -> None:
        self.call.request_bytes(data)
        if ended:
            self.request_end()

    def trailers_received(self, headers: tuple[Header, ...]) -> None:
        """A request's trailers say nothing in gRPC, save that it is over."""
        self.request_end()

    def request_end(self) -> None:
        self._ended = True
        self.call.request_end()
        self._let_end()

    def full(self) -> None:
        self.call.pause_reply()

    def writable(self) -> None:
        self.call.resume_reply()

    def delivered(self) -> None:
        self.call.delivered()

    def closed(self, error: int, by_peer: bool) -> None:
        self.lost(processed=True)

    def lost(self, processed: bool) -> None:
        if self._held_end is not None:
            self._held_end.cancel()
        call = self.call
        call.cancel()
        call.delivered()
        self._over(call)
        del self.call  # the two refer to each other; so they are freed now, and the collector has nothing to do

    def look_for_stall(self, now: float, waiting: int, stall: float, *, excused: bool) -> None:
        """About once a second; `waiting`: bytes of the reply that the browser has no room for."""
        call = self.call
        unread = waiting > 0 or self._answered  # trailers wait for an open window, too
        must_move = unread or (not self._ended and not self._link.holds(self._id) and call.within_message)
        excused = excused or not must_move
        if self._standstill.look(now, waiting, call.request_bytes_seen, excused=excused) < stall:
            return
        if unread:
            self.stalled()
            self._link.reset(self._id, CANCEL)
        else:
            call.fail(STALLED, "body_stall")

    def stalled(self) -> None:
        self.call.cancel("reader_stall")

    # -- what the call says --------------------------------------------------------------------------------------

    def send_head(self, metadata: Headers, *, end: bool = False) -> None:
        head = [OK, *self._reception.reply_head(self._call_head, metadata), SERVER, date()]
        self._link.respond(self._id, head, end=end)
        if end:
            self._answer_ended(had_body=False)

    def send(self, data: bytes) -> None:
        self._link.send(self._id, data)

    def end(self, trailers: Headers | None = None) -> None:
        if self._ended or trailers is not None:
            self._link.end(self._id, trailers)
        else:
            self._held_end = asyncio.get_running_loop().call_later(HELD_END, self._let_end)
        self._answer_ended(had_body=True)

    def _let_end(self) -> None:
        if self._held_end is not None:
            self._held_end.cancel()
            self._held_end = None
            self._link.end(self._id)

    def _answer_ended(self, *, had_body: bool) -> None:
        self._answered = True
        if self._link.waiting(self._id) <= SMALL:
            self.call.delivered()  # it costs nothing any more, whether the browser reads it or not
        if not self._ended:
            self._link.wants_no_more(self._id, had_body=had_body)
            self.resume_reading()  # so that the browser can end it

    def abort(self) -> None:
        self._link.cut_off(self._id, INTERNAL_ERROR)

    def pause_reading(self) -> None:
        self._link.hold(self._id)

    def resume_reading(self) -> None:
        self._link.release(self._id)
