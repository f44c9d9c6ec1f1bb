"""The HTTP/1.1 front on aiohttp: a request becomes a `Call`, and what the call says becomes the response.

    aiohttp task ── reads body ──▶ Call.request_bytes, request_end
                 ◀── writes ────── Exchange.send_head, send, end   (called by the Call; never blocks)

Rules
- One task serves a request whose body is here already; a body still on its way gets a second one, which reads it.
- What is ready in one turn of the loop leaves in one write; a reply that is ready whole leaves whole.
- A slow reader pauses the backend at `REPLY_BUFFER` bytes; one that takes no `SLICE` in `body_stall` is let go.
- However a request ends, its call is cancelled if it was not over.
"""

import asyncio
from collections.abc import Callable, Coroutine

from aiohttp import web
from multidict import CIMultiDict

from gateway.call import Call
from gateway.ends import CallHead
from gateway.front.census import Census
from gateway.front.connection import Connection, Request, Unframed, Written
from gateway.front.fields import SERVER, SERVER_NAME, date
from gateway.front.snapshot import STALLED, FrontSnapshot
from gateway.protocol.metadata import Headers
from gateway.protocol.status import Code, Status
from gateway.request import Answer, RequestHead

AT_ONCE = 48 * 1024  # bytes that a transport takes without waiting: its high-water mark is 64 KiB or more
REPLY_BUFFER = 256 * 1024  # bytes of a reply that wait for the browser before the backend is paused
WRITTEN, LAST = Written(last=False), Written(last=True)
SLICE = 64 * 1024  # bytes written at once: what a reader must take to count as moving


class Http1Front:
    """The handler of an aiohttp server."""

    def __init__(self, snapshot: Callable[[], FrontSnapshot], census: Census) -> None:
        self._snapshot = snapshot
        self._census = census

    async def handle(self, request: Request) -> web.StreamResponse:
        connection = request.protocol
        assert isinstance(connection, Connection)
        connection.became_busy()
        # What follows an upgrade the parser may take for the other protocol; an old client finds the end by the close.
        if request.is_old or "Upgrade" in request.headers or request.method == "CONNECT":
            connection.closing = True
        try:
            response = await self._answer(request, connection)
        except ConnectionError:  # the reply cannot be finished; raised on, it and aiohttp's task would keep each other
            connection.force_close()
            return LAST
        finally:
            if connection.transport is not None:
                connection.became_idle()
        if connection.closing and not isinstance(response, Written) and not (connection.retiring and response.prepared):
            response.force_close()
        return response

    async def _answer(self, request: Request, connection: Connection) -> web.StreamResponse:
        if defect := request.defect:
            return connection.refuse(defect)
        snapshot = self._snapshot()
        found = snapshot.reception.receive(_head(request, connection))
        if isinstance(found, Answer):
            return _plain(found)
        exchange = Exchange(request, connection, found, snapshot)
        call = exchange.call
        self._census.begun(call)
        try:
            return await exchange.run()
        finally:
            self._census.over(call)


class Exchange:
    """The browser's end (`Downstream`) of one call: buffers what the call says, and writes it."""

    def __init__(self, request: Request, connection: Connection, head: CallHead, snapshot: FrontSnapshot) -> None:
        self._request = request
        self._connection = connection
        self._call_head = head
        self._reception = snapshot.reception
        self._stall = snapshot.body_stall
        self._headers: Headers | None = None
        self._ready: list[bytes] = []
        self._ready_size = 0
        self._ended = False
        self._cut_off = False  # in place of that
        self._reply_paused = False
        self._news: asyncio.Future[None] | None = None
        self._readable: asyncio.Event | None = None
        self.call = Call(head, self, snapshot.road)

    async def run(self) -> web.StreamResponse:
        """Serve the whole exchange; cancelled when the browser leaves."""
        body = self._request.content
        reader: asyncio.Task[None] | None = None
        try:
            self.call.start()
            if body.is_eof():
                if data := body.read_nowait():
                    self.call.request_bytes(data)
                self.call.request_end()
            elif not self.call.closed:
                reader = asyncio.create_task(self._read_body())
            return await self._write_reply()
        finally:
            self.call.cancel()
            self.call.delivered()
            del self.call  # the two refer to each other; so they are freed now, and the collector has nothing to do
            if reader is not None:
                reader.cancel()

    # -- what the call says --------------------------------------------------------------------------------------

    def send_head(self, metadata: Headers, *, end: bool = False) -> None:  # noqa: ARG002 - no native call comes this way
        self._headers = self._reception.reply_head(self._call_head, metadata)
        self._wake()

    def send(self, data: bytes) -> None:
        self._ready.append(data)
        self._ready_size += len(data)
        if self._ready_size > REPLY_BUFFER and not self._reply_paused:
            self._reply_paused = True
            self.call.pause_reply()
        self._wake()

    def end(self, trailers: Headers | None = None) -> None:  # noqa: ARG002 - no native call comes this way
        self._ended = True
        self._wake()

    def abort(self) -> None:
        """Without its last chunk the answer is visibly incomplete (RFC 9112, section 8)."""
        self._cut_off = True
        self._wake()

    def pause_reading(self) -> None:
        if self._readable is None:
            self._readable = asyncio.Event()
        self._readable.clear()

    def resume_reading(self) -> None:
        if self._readable is not None:
            self._readable.set()

    def _wake(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    # -- the request body ----------------------------------------------------------------------------------------

    async def _read_body(self) -> None:
        body, call = self._request.content, self.call
        try:
            if self._request.awaits_leave and not body.total_bytes:
                await self._request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            while not body.at_eof():
                async with asyncio.timeout(self._stall):
                    data = await body.readany()
                call.request_bytes(data)
                if self._readable is not None:
                    await self._readable.wait()
        except TimeoutError:
            call.fail(STALLED, "body_stall")
        except OSError as error:  # how the connection ended
            error.__traceback__ = None  # the body keeps the error, and its frames refer to the body
            call.cancel()
        except web.RequestPayloadError as error:
            error.__traceback__ = None
            call.fail(Status(Code.INVALID_ARGUMENT, "the request body is malformed"), "bad_body")
        else:
            call.request_end()

    # -- the reply -----------------------------------------------------------------------------------------------

    async def _write_reply(self) -> web.StreamResponse:
        while self._headers is None:
            await self._wait_for_news()
        if self._ended and self._has_room(self._ready_size):
            return self._write_whole(self._headers)
        headers = _http_headers(self._headers)
        if self._ended and self._ready_size <= SLICE:
            data = self._take()
            whole = web.Response(body=data, headers=headers)
            await self._prepare(whole)
            await self._moving(whole.write_eof(), len(data))
            return whole
        response = (Unframed if self._request.is_old else web.StreamResponse)(headers=headers)
        await self._prepare(response)
        while not self._ended:
            if self._ready:
                for piece in _slices(self._take()):
                    await self._moving(response.write(piece), len(piece))
                self._resume_reply()
            elif self._cut_off:
                raise ConnectionResetError("the reply broke off")  # what was written leaves, then the connection closes
            else:
                await self._wait_for_news()
        *slices, last = _slices(self._take())
        for piece in slices:
            await self._moving(response.write(piece), len(piece))
        await self._moving(response.write_eof(last), len(last))
        return response

    def _write_whole(self, headers: Headers) -> Written:
        """One write, past aiohttp's responses, which take a tenth of the time of a small call."""
        body, last = self._take(), self._connection.closing or not self._request.keep_alive
        head = [b"HTTP/1.1 200 OK", *[b"%b: %b" % header for header in (*headers, SERVER, date())]]
        head.append(b"content-length: %d" % len(body))
        if last:
            head.append(b"connection: close")
        transport = self._request.transport
        if transport is None:
            raise ConnectionResetError("the browser left")
        transport.write(b"\r\n".join([*head, b"", body]))
        return LAST if last else WRITTEN

    def _has_room(self, size: int) -> bool:
        """Whether the transport takes so many bytes without waiting."""
        transport = self._request.transport
        return transport is None or (
            not self._connection.writing_paused and transport.get_write_buffer_size() + size <= AT_ONCE
        )

    async def _prepare(self, response: web.StreamResponse) -> None:
        if self._connection.closing:
            response.force_close()
        await response.prepare(self._request)

    async def _wait_for_news(self) -> None:
        self._news = asyncio.get_running_loop().create_future()
        await self._news

    def _take(self) -> bytes:
        data = self._ready[0] if len(self._ready) == 1 else b"".join(self._ready)
        self._ready.clear()
        self._ready_size = 0
        return data

    def _resume_reply(self) -> None:
        if self._reply_paused:
            self._reply_paused = False
            self.call.resume_reply()

    async def _moving(self, write: Coroutine[None, None, None], size: int) -> None:
        """Finish a write of `size` bytes; where it has to wait for the reader, only while the reader moves."""
        if self._has_room(size):
            await write
            return
        try:
            async with asyncio.timeout(self._stall):
                await write
        except TimeoutError:
            self.call.cancel("reader_stall")
            if (transport := self._request.transport) is not None:
                transport.abort()
            raise ConnectionResetError("the reader stood still") from None


def _slices(data: bytes) -> list[bytes]:
    """At least one."""
    if len(data) <= SLICE:
        return [data]
    return [data[start : start + SLICE] for start in range(0, len(data), SLICE)]


def _head(request: Request, connection: Connection) -> RequestHead:
    return RequestHead(
        method=request.method,
        target=request.raw_path.encode("utf-8", "surrogateescape"),
        headers=[(name.lower(), value) for name, value in request.raw_headers],
        peer=connection.peer.address,
        scheme=connection.peer.scheme,
        identities=connection.peer.identities,
    )


def _http_headers(headers: Headers) -> CIMultiDict[str]:
    """aiohttp writes UTF-8."""
    fields = CIMultiDict([(name.decode("ascii"), value.decode("utf-8", "replace")) for name, value in headers])
    fields["Server"] = SERVER_NAME
    return fields


def _plain(answer: Answer) -> web.Response:
    return web.Response(status=answer.status, body=answer.body, headers=_http_headers(answer.headers))
