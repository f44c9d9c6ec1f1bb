"""A gRPC backend that plays scripts over HTTP/2, and keeps every request that arrives, byte for byte.

Rule: what came over the wire counts, not what a gRPC server makes of it. grpcio hides `te` and the content type, and
refuses a GET before anybody sees it; here an empty list means that nothing reached the backend.
"""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

from gateway.protocol.metadata import Header
from tests.envoy.script import AtOnce, Data, Echo, GoAway, Headers, Lose, Reset, Script, Wait, alone

UNKNOWN: Script = (alone(("grpc-status", "12"), ("grpc-message", "unknown method")),)
WINDOW = 8 * 1024 * 1024


@dataclass
class Arrival:
    """One request. `ended`: "" still open, "end", "reset CODE", or "lost"."""

    headers: list[Header]
    body: bytearray = field(default_factory=bytearray)
    trailers: list[Header] = field(default_factory=list)
    ended: str = ""
    answered: bool = False  # the script is over
    speaks: bool = False  # the script has a grpc-message

    def value(self, name: bytes) -> bytes | None:
        return next((value for each, value in self.headers if each == name), None)


class Backend:
    """All the doors of one backend: `scripts` are by method name, whatever the service."""

    def __init__(self, scripts: Mapping[str, Script]) -> None:
        self.scripts = scripts
        self.arrivals: list[Arrival] = []
        self.connections = 0
        self.changed = asyncio.Event()
        self._serving: set[asyncio.Task[None]] = set()

    def tell(self) -> None:
        """Something happened that a test may wait for."""
        self.changed.set()
        self.changed = asyncio.Event()

    async def quiet(self, seconds: float) -> None:
        """Return when no request is open any more, or after `seconds`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while any(not (each.ended and (each.answered or each.ended != "end")) for each in self.arrivals):
                    await self.changed.wait()

    async def arrived(self, seconds: float) -> None:
        """Return when a request has come, or after `seconds`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not self.arrivals:
                    await self.changed.wait()

    @contextlib.asynccontextmanager
    async def door(self, context: ssl.SSLContext | None) -> AsyncIterator[int]:
        """The port of one more listener; without `context` it speaks plaintext HTTP/2."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            for task in list(self._serving):
                task.cancel()
            await asyncio.gather(*self._serving, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        self.connections += 1
        try:
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                await Connection(self, reader, writer).run()
        except asyncio.CancelledError:
            pass  # the test is over; asyncio's streams would log it as an error
        finally:
            self._serving.discard(task)
            writer.transport.abort()


class Connection:
    """One HTTP/2 connection (RFC 9113) from a proxy."""

    def __init__(self, backend: Backend, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._backend = backend
        self._reader = reader
        self._writer = writer
        # The scripts send what is forbidden, too: nothing is checked on its way out or in.
        self._h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(
                client_side=False,
                header_encoding=None,
                validate_inbound_headers=False,
                normalize_inbound_headers=False,
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        self._streams: dict[int, Arrival] = {}
        self._whole: dict[int, asyncio.Event] = {}
        self._players: dict[int, asyncio.Task[None]] = {}
        self._window = asyncio.Event()

    async def run(self) -> None:
        connection = self._h2
        connection.initiate_connection()
        connection.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: WINDOW})
        connection.increment_flow_control_window(WINDOW)
        self._flush()
        try:
            while data := await self._reader.read(65536):
                for event in connection.receive_data(data):
                    self._take(event)
                self._flush()
        except h2.exceptions.ProtocolError:
            self._flush()  # the GOAWAY that h2 has made of it
        finally:
            for task in self._players.values():
                task.cancel()
            for arrival in self._streams.values():
                arrival.ended = arrival.ended or "lost"
                arrival.answered = True
            self._backend.tell()

    def _flush(self) -> None:
        if data := self._h2.data_to_send():
            self._writer.write(data)

    def _take(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.RequestReceived):
            arrival = Arrival([(bytes(name), bytes(value)) for name, value in event.headers])
            self._streams[event.stream_id] = arrival
            self._whole[event.stream_id] = asyncio.Event()
            self._backend.arrivals.append(arrival)
            self._players[event.stream_id] = asyncio.create_task(self._play(event.stream_id, arrival))
        elif isinstance(event, h2.events.DataReceived):
            self._streams[event.stream_id].body += event.data
            if event.flow_controlled_length:
                self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.TrailersReceived):
            self._streams[event.stream_id].trailers += [(bytes(n), bytes(v)) for n, v in event.headers]
        elif isinstance(event, h2.events.StreamEnded):
            self._end(event.stream_id, "end")
        elif isinstance(event, h2.events.StreamReset) and event.stream_id in self._streams:
            self._end(event.stream_id, f"reset {_error(event.error_code)}")
            self._players[event.stream_id].cancel()
        elif isinstance(event, h2.events.WindowUpdated | h2.events.RemoteSettingsChanged):
            self._window.set()
            self._window = asyncio.Event()
        self._backend.tell()

    def _end(self, stream: int, how: str) -> None:
        arrival = self._streams[stream]
        if arrival.ended in ("", "end"):  # a reset after the end tells more than the end
            arrival.ended = how
        self._whole[stream].set()

    async def _play(self, stream: int, arrival: Arrival) -> None:
        path = arrival.value(b":path") or b""
        script = self._backend.scripts.get(path.rpartition(b"/")[2].decode("latin-1"), UNKNOWN)
        blocks = (step.fields for step in script if isinstance(step, Headers))
        arrival.speaks = any(name == b"grpc-message" for fields in blocks for name, _ in fields)
        try:
            if not isinstance(script[0], AtOnce):
                await self._whole[stream].wait()
            for step in script:
                await self._step(stream, arrival, step)
                self._flush()
        except (h2.exceptions.ProtocolError, ConnectionError):
            pass  # the proxy has closed the stream: `ended` says how
        finally:
            arrival.answered = True
            self._backend.tell()

    async def _step(self, stream: int, arrival: Arrival, step: object) -> None:
        match step:
            case Headers(fields, last):
                self._h2.send_headers(stream, fields, end_stream=last)
            case Data(data, last):
                await self._send(stream, data, last)
            case Echo():
                await self._send(stream, bytes(arrival.body), last=False)
            case Reset(code):
                self._h2.reset_stream(stream, code)
            case Wait(seconds):
                await (asyncio.sleep(seconds) if seconds is not None else asyncio.Event().wait())
            case Lose():
                self._writer.transport.abort()
            case GoAway():
                self._h2.close_connection(last_stream_id=stream - 2 if stream > 1 else 0)

    async def _send(self, stream: int, data: bytes, last: bool) -> None:
        while True:
            room = min(self._h2.local_flow_control_window(stream), self._h2.max_outbound_frame_size)
            if data and room <= 0:
                await self._window.wait()
                continue
            part, data = data[:room], data[room:]
            self._h2.send_data(stream, part, end_stream=last and not data)
            self._flush()
            if not data:
                return


def _error(code: int | h2.errors.ErrorCodes | None) -> str:
    return code.name if isinstance(code, h2.errors.ErrorCodes) else str(code)
