"""The backend's end of a call whose method is idempotent: sent again when it has failed (retries.py has the rules)."""

import asyncio

import structlog

from gateway.ends import Reply, UpstreamRequest
from gateway.protocol.metadata import Headers
from gateway.protocol.status import Status
from gateway.upstream.h2_stream import WAITING, H2Stream, MessageLimits
from gateway.upstream.pool import Pool
from gateway.upstream.retries import RETRYABLE, Retry

log = structlog.get_logger("gateway.upstream")


class IdempotentStream(H2Stream):
    """An `H2Stream` that may go through OPEN several times."""

    __slots__ = ("_retry", "_timer")

    def __init__(
        self, pool: Pool, path: bytes, request: UpstreamRequest, reply: Reply, limits: MessageLimits, *, retry: Retry
    ) -> None:
        super().__init__(pool, path, request, reply, limits)
        self._retry = retry
        self._timer: asyncio.TimerHandle | None = None  # until it is sent again

    def _sent_again(self, status: Status, metadata: Headers) -> bool:
        buffer, link, retry = self._buffer, self._link, self._retry
        # Without a buffer the reply has begun, or the request was too long to keep.
        if buffer is None or status.code not in RETRYABLE:
            return False
        left = None if buffer.deadline is None else buffer.deadline - link.now
        pause = retry.pause(link.address, metadata, left)
        if pause is None:
            return False
        log.info("call_sent_again", upstream=self._pool.name, method=self._path.decode("ascii"), status=status.message)
        self._state, self._http_reply = WAITING, None
        buffer.say_previous(retry.sent_again)
        self._timer = asyncio.get_running_loop().call_later(pause, self._send_again)
        return True

    def _send_again(self) -> None:
        self._timer = None
        refusal = self._pool.assign(self, self._retry.tried)
        if refusal is not None:
            self.fail(refusal)

    def _over(self, code: int) -> None:
        super()._over(code)
        self._retry.settle(code)
        if self._timer is not None:
            self._timer.cancel()
