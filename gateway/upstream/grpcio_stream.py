"""The backend's end of one call over grpcio (grpc.aio): gRPC messages, one by one.

    Call.send ──▶ FrameSplitter ──▶ messages ──▶ grpc.aio call
    Call.reply_* ◀── frames ◀── messages ◀────── grpc.aio call

Rules
- Any method is bridged as a stream of bytes in and a stream of bytes out; the backend judges cardinality. On the wire a
  request of one message is the same however grpc.aio is asked, so a request that is whole when the stream opens is
  handed over in one operation: as `unary_stream`, or as `unary_unary` where descriptors say that the reply is one
  message too (bench/README.md has what each saves; descriptors that call a streaming method unary make it wait for its
  deadline).
- A call that was surely not sent (channels.py) is sent on another channel that has a connection, on each at most once.
  Until it begins to be sent no more than one message is taken from the queue, and that one is put back.
- A grpc.aio call is always cancelled in the end: grpc.aio (since 1.83) does not cancel a call that is dropped.
- grpc's exceptions stay here: the road sees a Status. What grpc-core itself says of addresses stays in the log.
"""

import asyncio
import re
from collections import deque
from typing import Any, NamedTuple

import grpc
import structlog

from gateway.ends import Reply, UpstreamRequest
from gateway.protocol import compression
from gateway.protocol.frames import COMPRESSED, PREFIX_SIZE, FrameSplitter, frame
from gateway.protocol.status import Code, Status, WireError
from gateway.upstream.channels import Channel, Channels
from gateway.upstream.grpcio_metadata import Pair, from_grpc, to_grpc

log = structlog.get_logger("gateway.upstream")

LONGEST = 365 * 86400.0  # seconds; to grpc-core, which counts nanoseconds in an int64, later than 2262 is the past
SEND_BUFFER = 256 * 1024  # bytes of a request that wait for the backend before the browser is paused

# What grpc-core says of connections: addresses and errno are the operator's business, not the browser's.
CORE_DETAILS = re.compile(
    r"ipv[46]:|unix:|failed to connect to|[Ee]rrno[: ]|Socket closed|recvmsg:|GOAWAY received|Received RST_STREAM"
    r"|Stream removed|errors resolving |address lookup failed|DNS resolution failed"
)

CORE_CODES = frozenset((Code.CANCELLED, Code.UNKNOWN, Code.RESOURCE_EXHAUSTED, Code.INTERNAL, Code.UNAVAILABLE))

OVER = "the call is over"  # to grpc-core, which asks for a reason


class Ending(NamedTuple):
    """How a grpc.aio call ended. Where it has not been told yet, `head` is the metadata at the begin of the reply."""

    code: grpc.StatusCode
    details: str
    head: tuple[Pair, ...]
    trailers: tuple[Pair, ...]


class GrpcioStream:
    """The backend's end (`UpstreamStream`) of one call."""

    __slots__ = (
        "_begun", "_channel", "_channels", "_ended", "_loop", "_max_request", "_messages", "_news", "_open", "_path",
        "_pending", "_reply", "_request", "_request_encoding", "_request_paused", "_rpc", "_splitter", "_taken",
        "_task", "_tried", "_unary", "_writer",
    )  # fmt: skip

    def __init__(
        self, channels: Channels, path: bytes, request: UpstreamRequest, reply: Reply, max_request: int, *, unary: bool
    ) -> None:
        self._channels = channels
        self._channel = channels.take()
        self._tried: tuple[Channel, ...] = ()  # and not reached
        self._path = path.decode("ascii")
        # None when the call has begun to be sent: it cannot start again, and may live for hours without its metadata.
        self._request: UpstreamRequest | None = request
        self._reply = reply
        self._max_request = max_request
        self._unary = unary
        self._splitter = FrameSplitter(max_request)
        self._request_encoding = request.encoding
        self._messages: deque[tuple[int, bytes]] = deque()  # flags and message, as they came
        self._taken: tuple[int, bytes] | None = None  # the last of them, until the call has begun to be sent
        self._pending = 0  # bytes of the frames in _messages
        self._ended = False
        self._request_paused = False
        self._news: asyncio.Event | None = None  # more messages, or the end of them
        self._open: asyncio.Event | None = None  # cleared while the browser is slow
        self._rpc: Any = None
        self._writer: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._channel.enter()
        # The task's first step runs in the next turn of the loop: by then a small request is here whole.
        self._begun = False
        self._task = self._loop.create_task(self._run())

    # -- UpstreamStream ------------------------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        try:
            for flags, message in self._splitter.feed(data):
                self._messages.append((flags, message))
                self._pending += PREFIX_SIZE + len(message)
        except WireError as error:
            self._reply.fail(error.status, "bad_frame")
            return
        self._tell()
        if self._pending > SEND_BUFFER and not self._request_paused:
            self._request_paused = True
            self._reply.pause_request()

    def end(self) -> None:
        self._ended = True
        self._tell()

    def cancel(self) -> None:
        self._task.cancel()
        if not self._begun:  # a task that is cancelled before its first step never runs its `finally`
            self._begun = True
            self._channel.leave()

    def pause(self) -> None:
        if self._open is None:
            self._open = asyncio.Event()
        self._open.clear()

    def resume(self) -> None:
        if self._open is not None:
            self._open.set()

    # -- the request ---------------------------------------------------------------------------------------------

    def _plain(self, flags: int, message: bytes) -> bytes:
        """grpcio takes messages uncompressed only: what the browser compressed is opened here, within the limit."""
        if not flags & COMPRESSED:
            return message
        return compression.decompress(self._request_encoding, message, self._max_request)

    def _tell(self) -> None:
        if self._news is not None:
            self._news.set()

    def _take(self) -> bytes:
        flags, message = taken = self._messages.popleft()
        if self._request is not None:
            self._taken = taken
        self._pending -= PREFIX_SIZE + len(message)
        if self._request_paused and self._pending <= SEND_BUFFER // 2:
            self._request_paused = False
            self._reply.resume_request()
        return self._plain(flags, message)  # one by one: a queue of bombs stays as small as it came

    async def _write(self) -> None:
        """Send messages as they come; flow control makes `write` wait."""
        self._news = asyncio.Event()
        try:
            while True:
                while self._messages:
                    await self._rpc.write(self._take())
                    self._sent()
                if self._ended:
                    await self._rpc.done_writing()
                    return
                self._news.clear()
                await self._news.wait()
        except WireError as error:
            self._reply.fail(error.status, "bad_frame")
        except (grpc.RpcError, asyncio.InvalidStateError):
            return  # the call is over, and its reader says how

    def _sent(self) -> None:
        """The call has begun to be sent, or somebody has answered it."""
        self._request = self._taken = None

    # -- the reply -----------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        self._begun = True
        try:
            while self._request is not None:
                ending = await self._attempt(self._request)
                if not await self._goes_elsewhere(ending):
                    self._sent()
                    self._finish(ending)
        except WireError as error:
            self._reply.fail(error.status, "bad_frame")
        except asyncio.CancelledError:
            if not self._reply.closed:  # grpc cancels calls when a channel is closed under them
                self._reply.reply_end(Status(Code.UNAVAILABLE, "the gateway closed the connection"), [])
        except Exception as error:
            log.error("unexpected_grpc_error", method=self._path, error=type(error).__name__, exc_info=True)
            self._reply.reply_end(Status(Code.INTERNAL, "the gateway could not relay this call"), [])
        finally:
            self._channel.leave()

    async def _attempt(self, request: UpstreamRequest) -> Ending:
        """One grpc.aio call, to its end."""
        try:
            rpc, unary = self._begin(request)
            del request
            return await (self._relay_unary(rpc) if unary else self._relay(rpc))
        except grpc.aio.AioRpcError as error:
            head, trailers = error.initial_metadata(), error.trailing_metadata()
            return Ending(error.code(), error.details() or "", tuple(head or ()), tuple(trailers or ()))
        finally:
            if self._writer is not None:
                self._writer.cancel()
            if self._rpc is not None:
                self._rpc.cancel()
                # After a write that failed grpc.aio holds the call for done, and does not tell its core.
                self._rpc._cython_call.cancel(OVER)

    def _begin(self, request: UpstreamRequest) -> tuple[Any, bool]:
        """Start the grpc.aio call, and say whether it is a unary one."""
        channel, metadata = self._channel, to_grpc(request.metadata)
        seconds = None if request.deadline is None else min(max(0.0, request.deadline - self._loop.time()), LONGEST)
        whole = self._ended and len(self._messages) == 1
        method: Any
        if whole:
            method = channel.unary(self._path) if self._unary else channel.aio.unary_stream(self._path)
            self._rpc = method(self._take(), metadata=metadata, timeout=seconds)
        else:
            method = channel.aio.stream_stream(self._path)
            self._rpc = method(metadata=metadata, timeout=seconds)
            self._writer = self._loop.create_task(self._write())
        return self._rpc, whole and self._unary

    async def _goes_elsewhere(self, ending: Ending) -> bool:
        """Whether the call has to start again, on what is its channel now."""
        if self._request is None or ending.code is not grpc.StatusCode.UNAVAILABLE or ending.head or ending.trailers:
            return False
        if not await self._channel.unreached(ending.details):
            return False
        self._tried += (self._channel,)
        channel = self._channels.another(self._tried)
        if channel is None:
            return False
        self._channel.leave()
        self._channel = channel
        channel.enter()
        if self._taken is not None:
            self._messages.appendleft(self._taken)
            self._pending += PREFIX_SIZE + len(self._taken[1])
        return True

    async def _relay(self, rpc: Any) -> Ending:
        reply = self._reply
        head = await rpc.initial_metadata()
        if head or not rpc.done():
            self._sent()
            reply.reply_head(from_grpc(head))
        while (message := await rpc.read()) is not grpc.aio.EOF:
            self._sent()
            reply.reply_bytes(frame(message))
            if self._open is not None:
                await self._open.wait()
        return Ending(await rpc.code(), await rpc.details() or "", (), tuple(await rpc.trailing_metadata() or ()))

    async def _relay_unary(self, rpc: Any) -> Ending:
        """One operation for everything: grpcio's cheapest call."""
        message = await rpc
        self._reply.reply_head(from_grpc(await rpc.initial_metadata()))
        if message is not None:
            self._reply.reply_bytes(frame(message))
        # Any other status was raised.
        return Ending(grpc.StatusCode.OK, "", (), tuple(await rpc.trailing_metadata() or ()))

    def _finish(self, ending: Ending) -> None:
        number: int = ending.code.value[0]
        message, trailers = ending.details, ending.trailers
        if number in CORE_CODES and not trailers and CORE_DETAILS.search(message):
            log.warning("backend_unreachable", method=self._path, code=ending.code.name, details=message)
            message = (
                "the backend cannot be reached" if number == Code.UNAVAILABLE else "the backend broke off the call"
            )
        status_details = next((value for name, value in trailers if name == "grpc-status-details-bin"), None)
        status = Status(
            number, message if number else "", status_details if isinstance(status_details, bytes) else None
        )
        try:
            if ending.head:
                self._reply.reply_head(from_grpc(ending.head))
            self._reply.reply_end(status, from_grpc(trailers))
        except WireError as too_long:
            self._reply.fail(too_long.status, "bad_reply")
