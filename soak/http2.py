"""HTTP/2 (RFC 9113) by h2, not by what the gateway speaks it with: what h2 objects to is the gateway's mistake."""

import asyncio
from collections.abc import Mapping
from typing import cast

from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError

from soak.http1 import reset
from soak.wire import Exchange, Line

AT_ONCE = 20  # calls on one connection
WINDOW = 16 * 1024 * 1024  # bytes that may come on a connection before they are acknowledged


class Http2Exchange(Exchange):
    def __init__(self, line: "Http2Line", stream: int) -> None:
        super().__init__()
        self.stream = stream
        self.body: bytearray = bytearray()
        self._line = line

    async def send(self, data: bytes, *, end: bool = False) -> None:
        line, rest = self._line, data
        while not self.over:
            room = line.room(self.stream)
            if rest and not room:
                await self.until(lambda: line.room(self.stream) > 0)
                continue
            part, rest = rest[:room], rest[room:]
            line.send(self.stream, part, end=end and not rest)
            if not rest:
                return

    def cancel(self) -> None:
        if not self.over:
            self._line.give_up(self)
            self.fail("cancelled")

    def drop(self) -> None:
        self._line.drop()


class Http2Line(asyncio.Protocol, Line):
    def __init__(self) -> None:
        self._http2 = H2Connection(H2Configuration(header_encoding="utf-8"))
        self._exchanges: dict[int, Http2Exchange] = {}
        self._leaving = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._http2.initiate_connection()
        self._http2.increment_flow_control_window(WINDOW)
        self._flush()

    def request(self, path: str, headers: Mapping[str, str], size: int | None) -> Exchange:
        self.calls += 1
        pseudo = {":method": "POST", ":scheme": "https", ":authority": "localhost", ":path": path}
        length = {} if size is None else {"content-length": str(size)}
        stream = self._http2.get_next_available_stream_id()
        self._http2.send_headers(stream, [*pseudo.items(), *headers.items(), *length.items()])
        self._exchanges[stream] = exchange = Http2Exchange(self, stream)
        self._flush()
        return exchange

    @property
    def free(self) -> bool:
        return not self._leaving and len(self._exchanges) < AT_ONCE

    @property
    def idle(self) -> bool:
        return not self._exchanges

    def close(self) -> None:
        self._leaving = True
        self._transport.close()

    def drop(self) -> None:
        reset(self._transport)

    def room(self, stream: int) -> int:
        """Bytes that may be sent in one frame."""
        return min(self._http2.local_flow_control_window(stream), self._http2.max_outbound_frame_size)

    def send(self, stream: int, data: bytes, *, end: bool) -> None:
        self._http2.send_data(stream, data, end_stream=end)
        self._flush()

    def give_up(self, exchange: Http2Exchange) -> None:
        """RST_STREAM."""
        if self._exchanges.pop(exchange.stream, None) is not None:
            self._http2.reset_stream(exchange.stream, ErrorCodes.CANCEL)
            self._flush()

    def data_received(self, data: bytes) -> None:
        try:
            for event in self._http2.receive_data(data):
                self._take(event)
        except ProtocolError as error:
            self._fail_all(f"the gateway broke HTTP/2: {error}")
            self._transport.abort()
            return
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail_all(f"the connection was closed: {exc or 'end of file'}")

    def _take(self, event: events.Event) -> None:
        if isinstance(event, events.ConnectionTerminated):
            self._fail_all(f"GOAWAY, error {event.error_code}")
            return
        if isinstance(event, events.WindowUpdated | events.RemoteSettingsChanged):
            for each in self._exchanges.values():
                each.tell()
            return
        if isinstance(event, events.DataReceived):
            self._http2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        exchange = self._exchanges.get(getattr(event, "stream_id", None) or 0)
        if exchange is None:
            return
        match event:
            case events.ResponseReceived():
                fields = dict(event.headers)
                exchange.status = int(fields.pop(":status"))
                exchange.headers = fields
            case events.DataReceived():
                exchange.body += event.data
            case events.TrailersReceived():
                exchange.trailers = dict(event.headers)
            case events.StreamEnded():
                del self._exchanges[exchange.stream]
                exchange.end()
            case events.StreamReset():
                del self._exchanges[exchange.stream]
                exchange.fail(f"the stream was reset, error {event.error_code}")
        exchange.tell()

    def _fail_all(self, reason: str) -> None:
        self._leaving = True
        exchanges, self._exchanges = self._exchanges, {}
        for exchange in exchanges.values():
            exchange.fail(reason)

    def _flush(self) -> None:
        if (data := self._http2.data_to_send()) and not self._transport.is_closing():
            self._transport.write(data)
