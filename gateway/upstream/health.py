"""Whether a backend is serving, by its own account: `grpc.health.v1.Health/Watch` on the connection (gRFC A17).

Rules
- The connection is asked that bears the calls: a backend is judged where it is used, by what it sees of the gateway.
- A backend without the service is healthy. One that has it and does not answer, or answers anything else, is not.
- A Watch that ends after an answer is asked again at once, and what was said last holds meanwhile: a backend which
  limits the age of streams is not unhealthy. One that ends without an answer is asked again later and later.
- It ends with the connection, or when that takes no new call: a backend that takes its leave does not wait for it.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from gateway.http2 import CANCEL, error_name
from gateway.protocol.frames import FrameSplitter, frame
from gateway.protocol.metadata import Header
from gateway.protocol.status import Code, WireError
from gateway.protocol.trailers import read_status
from gateway.upstream.backoff import Backoff
from gateway.upstream.http_reply import http_reply
from gateway.upstream.retry_buffer import IDENTITY, TRAILERS

if TYPE_CHECKING:
    from gateway.upstream.backend_link import BackendLink

WATCH = b"/grpc.health.v1.Health/Watch"
ASKED = frame(b"")  # HealthCheckRequest of the service "": the backend as a whole
SERVING = b"\x08\x01"  # HealthCheckResponse, whose one field is the status: SERVING is 1
ANSWER_TIMEOUT = 5.0  # seconds for the first answer, after which the backend counts as one that is not serving
AGAIN, AGAIN_MOST = 1.0, 30.0  # seconds until it is asked again, the first and the longest pause
MAX_ANSWER = 1024  # bytes


class HealthWatch:
    """Asks the backend of one connection, as long as that takes calls. A `Stream` of it."""

    def __init__(self, link: "BackendLink", changed: Callable[[], None]) -> None:
        """`changed` is called when `serving` or `problem` has become another."""
        self.serving: bool | None = None  # None: not known yet
        self.supported = True  # the backend has the service
        self.problem = ""  # why it is not serving
        self.known = asyncio.Event()
        self._link = link
        self._changed = changed
        self._loop = asyncio.get_running_loop()
        self._backoff = Backoff(first=AGAIN, most=AGAIN_MOST, stood=AGAIN)
        self._asked_at = 0.0
        self._id = 0
        self._answers = FrameSplitter(MAX_ANSWER)
        self._answered = False  # on the stream that is open
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        link = self._link
        head = [
            *link.prelude,
            (b":path", WATCH),
            TRAILERS,
            (b"content-type", b"application/grpc"),
            link.user_agent,
            IDENTITY,
        ]
        self._answers = FrameSplitter(MAX_ANSWER)
        self._answered = False
        self._asked_at = link.now
        self._id = link.request(head, self)
        if not self._id:  # the connection takes no more: it is leaving, or lost
            self.known.set()
            return
        link.send(self._id, ASKED, end=True)
        self._timer = self._loop.call_later(ANSWER_TIMEOUT, self._give_up)

    def stop(self) -> None:
        self._cancel_timer()
        stream_id, self._id = self._id, 0
        if stream_id:
            self._link.reset(stream_id, CANCEL)
            self._link.disown(stream_id)
        self.known.set()

    # -- Stream --------------------------------------------------------------------------------------------------

    def headers_received(self, headers: tuple[Header, ...], ended: bool) -> None:
        if ended:
            self.trailers_received(headers)
        elif (reply := http_reply(headers)) is not None:
            self._over(reply.status.code, reply.status.message)

    def data_received(self, data: bytes, ended: bool) -> None:
        if not self._id:
            return
        try:
            for _, answer in self._answers.feed(data):
                self._cancel_timer()
                self._answered = True
                serving = answer == SERVING
                self._judge(serving, "" if serving else "its health check says that it is not serving")
                if not self._id:
                    return
        except WireError:
            self._over(Code.INTERNAL, "what it says is no gRPC")
        if ended:
            self._over(Code.UNKNOWN, "it ended without a status")

    def trailers_received(self, headers: tuple[Header, ...]) -> None:
        status = read_status(headers)
        reply = http_reply(headers) if headers and headers[0][0] == b":status" else None
        if reply is not None:
            status = reply.status
        code = Code.UNKNOWN if status is None else status.code
        self._over(code, f"status {code}")

    def full(self) -> None:
        """A few bytes never are."""

    def writable(self) -> None:
        """Nor were they."""

    def delivered(self) -> None:
        """Only answers leave before their request is complete."""

    def closed(self, error: int, by_peer: bool) -> None:  # noqa: ARG002 - the seam's
        self._over(Code.UNAVAILABLE, f"it was reset: {error_name(error)}")

    def lost(self, processed: bool) -> None:  # noqa: ARG002 - the seam's
        self._id = 0
        self.stop()

    # -- the verdict ---------------------------------------------------------------------------------------------

    def _over(self, code: int, reason: str) -> None:
        """The stream has ended, though nobody here wanted that."""
        if not self._id:
            return
        self.stop()
        if code == Code.UNIMPLEMENTED:
            self.supported = False
            self._judge(True, "")
            return
        lasted = self._link.now - self._asked_at if self._answered else 0.0
        self._timer = self._loop.call_later(self._backoff.pause(lasted), self.start)
        if not self._answered:
            self._judge(False, f"its health check failed: {reason}")

    def _give_up(self) -> None:
        self._over(Code.DEADLINE_EXCEEDED, f"no answer within {ANSWER_TIMEOUT:g} s")

    def _judge(self, serving: bool, problem: str) -> None:
        if (serving, problem) == (self.serving, self.problem):
            return
        self.serving, self.problem = serving, problem
        self._changed()
        self.known.set()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
