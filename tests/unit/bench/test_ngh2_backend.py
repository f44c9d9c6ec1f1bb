"""The backend of streams: every message in a frame of its own, no more than the windows let through, and trailers."""

import asyncio
import socket
import ssl
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ngh2 import Configuration, Connection, Event, Role
from ngh2.events import DataReceived, ResponseReceived, StreamClosed, TrailersReceived

from bench import backend
from bench.methods import MANY, SIXTEEN, SMALL, WAIT, Method, frame
from bench.ngh2_backend import Link
from bench.process import split_cores
from bench.world import World

MESSAGE = frame(SIXTEEN)


class Wire(asyncio.Transport):
    """What the backend has written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data


class Caller:
    """A client that ngh2 plays, on a wire without a network."""

    def __init__(self, window: int = 1 << 20, *, grants: bool = True) -> None:
        """`grants`: what it has read may be sent again."""
        self.wire, self.link = Wire(), Link()
        self.http2 = Connection(Role.CLIENT, Configuration(auto_window_update=grants))
        self.http2.initiate_connection({4: window})
        self.link.connection_made(self.wire)
        self.turn()

    def call(self, method: Method) -> int:
        head = [
            (b":method", b"POST"),
            (b":scheme", b"https"),
            (b":authority", b"x"),
            (b":path", method.path.encode()),
        ]
        stream = self.http2.send_request(head)
        self.http2.send_data(stream, frame(b"x"), end_stream=True)
        return stream

    def turn(self) -> list[Event]:
        """Sends what is to be sent, reads what has come."""
        if data := self.http2.data_to_send():
            self.link.data_received(data)
        self.http2.receive_data(bytes(self.wire.written))
        self.wire.written.clear()
        return list(self.http2.events())

    def turns(self) -> Iterator[Event]:
        """Until nothing comes."""
        while events := self.turn():
            yield from events


@pytest.mark.parametrize("window", [1 << 20, 1000, len(MESSAGE)])
def test_every_message_has_a_frame_of_its_own(window: int) -> None:
    caller = Caller(window)
    streams = [caller.call(MANY), caller.call(SMALL)]
    events = [event for event in caller.turns() if getattr(event, "stream_id", 0) in streams]
    for stream, count in zip(streams, (MANY.count, SMALL.count), strict=True):
        own = [event for event in events if event.stream_id == stream]  # type: ignore[attr-defined]
        assert isinstance(own[0], ResponseReceived)
        assert dict(own[0].headers)[b":status"] == b"200"
        messages = [event.data for event in own if isinstance(event, DataReceived)]
        assert messages == [MESSAGE] * count
        assert isinstance(own[-2], TrailersReceived)
        assert own[-2].headers == ((b"grpc-status", b"0"),)
        assert isinstance(own[-1], StreamClosed)


def test_no_more_is_sent_than_a_window_lets_through() -> None:
    caller = Caller(10 * len(MESSAGE) + 5, grants=False)
    stream = caller.call(MANY)
    data = [event for event in caller.turns() if isinstance(event, DataReceived)]
    assert len(data) == 10
    caller.http2.acknowledge_received_data(10 * len(MESSAGE), stream)
    assert len([event for event in caller.turns() if isinstance(event, DataReceived)]) == 10


def test_no_more_is_sent_than_the_window_of_the_connection_lets_through() -> None:
    caller = Caller(grants=False)  # of a connection: 65,535 bytes
    first, second = caller.call(MANY), caller.call(MANY)
    received = {first: 0, second: 0}
    for event in caller.turns():
        if isinstance(event, DataReceived):
            received[event.stream_id] += len(event.data)
    assert 65_535 - len(MESSAGE) < sum(received.values()) <= 65_535
    assert min(received.values()) > 0  # it is not one's turn until it is done


def test_a_stream_that_waits_has_its_message_and_no_end() -> None:
    caller = Caller()
    caller.call(WAIT)
    events = list(caller.turns())
    assert [event.data for event in events if isinstance(event, DataReceived)] == [MESSAGE]
    assert not any(isinstance(event, TrailersReceived | StreamClosed) for event in events)
    caller.call(SMALL)  # which others do not mind
    assert any(isinstance(event, TrailersReceived) for event in caller.turns())


def test_a_socket_that_is_full_is_waited_for() -> None:
    caller = Caller()
    caller.link.pause_writing()
    caller.call(MANY)
    assert not any(isinstance(event, DataReceived) for event in caller.turns())
    caller.link.resume_writing()
    assert any(isinstance(event, DataReceived) for event in caller.turns())


def test_a_call_that_is_given_up_is_forgotten() -> None:
    caller = Caller(1000, grants=False)
    stream = caller.call(MANY)
    list(caller.turns())
    caller.http2.reset_stream(stream)
    caller.call(SMALL)
    assert any(isinstance(event, TrailersReceived) for event in caller.turns())


@pytest.mark.skipif(sys.platform != "linux", reason="pins to cores")
def test_the_process_demands_a_certificate(tmp_path: Path) -> None:
    world = World(tmp_path)
    started = backend.ngh2(world, split_cores()[1])
    context = ssl.create_default_context(cafile=world.pki.ca)
    context.set_alpn_protocols(["h2"])
    with started.process:
        assert _answer(context, started.port) == b""
        context.load_cert_chain(world.pki.gateway.certificate, world.pki.gateway.private_key)
        assert _answer(context, started.port).startswith(b"\0\0")  # a SETTINGS frame


def _answer(context: ssl.SSLContext, port: int) -> bytes:
    """The first bytes; empty: the connection was refused."""
    with (
        socket.create_connection(("127.0.0.1", port), 5) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secure,
    ):
        assert secure.selected_alpn_protocol() == "h2"
        try:
            return secure.recv(9)
        except ssl.SSLError:
            return b""
