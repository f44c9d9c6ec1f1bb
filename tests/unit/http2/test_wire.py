"""The connection itself, either end of it: turns, greetings, liveness."""

import asyncio

import h2.errors
import h2.events
from h2.settings import SettingCodes
from structlog.testing import capture_logs

from gateway.http2 import CANCEL, SEND_BUFFER, STREAM_WINDOW, WRITE_BUFFER
from gateway.http2.wire import PING_TIMEOUT
from tests.support.http2 import DATA, frame
from tests.support.memory import Peer
from tests.unit.http2.recording import RESPONSE, WIDE, WINDOW, Recording, asked, calling, serving

# --- turns of the loop


async def test_what_is_made_in_one_turn_leaves_in_one_write() -> None:
    link, peer = await serving(WIDE)
    streams = [(await asked(link, peer, answer=False))[0] for _ in range(3)]
    for stream in streams:
        link.respond(stream, RESPONSE)
        link.send(stream, b"one")
        link.send(stream, b"two")
    assert peer.transport.writes == []
    await asyncio.sleep(0)
    assert len(peer.transport.writes) == 1
    peer.hear()
    assert [peer.body(stream) for stream in streams] == [b"onetwo"] * 3
    await asyncio.sleep(0)
    assert peer.transport.writes == []


async def test_answers_to_what_came_in_leave_in_one_write_too() -> None:
    _, peer = await serving()
    for number in range(5):
        peer.h2.ping(b"%08d" % number)
    peer.say()
    assert peer.transport.writes == []
    await asyncio.sleep(0)
    assert len(peer.transport.writes) == 1
    peer.hear()
    assert [event.ping_data for event in peer.heard(h2.events.PingAckReceived)] == [b"%08d" % n for n in range(5)]


async def test_nothing_is_taken_out_of_the_streams_while_the_transport_is_full() -> None:
    link, peer = await serving(WIDE)
    stream, recorder = await asked(link, peer)
    peer.open_window(SEND_BUFFER)
    await peer.talk()
    peer.transport.fill()
    link.send(stream, b"x" * SEND_BUFFER)
    await asyncio.sleep(0)
    assert link.waiting(stream) == SEND_BUFFER
    link.send(stream, b"y")
    assert recorder.heard == [("full",)]
    peer.transport.drain()
    assert len(peer.transport.writes) == 1
    assert recorder.heard == [("full",), ("writable",)]
    peer.hear()
    assert peer.body(stream) == b"x" * SEND_BUFFER + b"y"


async def test_who_sends_much_at_once_is_read_on_in_the_next_turn() -> None:
    link, peer = await serving()
    stream, recorder = await asked(link, peer, end=False)
    for _ in range(8):
        peer.h2.send_data(stream, bytes(16_000))
    link.data_received(peer.h2.data_to_send())
    assert len(recorder.data) == 128_000
    assert not peer.transport.reading
    await asyncio.sleep(0)
    assert peer.transport.reading
    peer.send(stream, bytes(16_000))
    assert peer.transport.reading


async def test_a_window_that_wears_out() -> None:
    """The engine never tells of the beginning of a DATA frame whose stream is reset in its middle."""
    link, peer = await serving(window=STREAM_WINDOW)
    lost = 0
    while "worn out" not in link.told:
        stream, _ = await asked(link, peer, end=False)
        link.data_received(frame(DATA, 0, stream, bytes(16_000))[:-1])
        link.reset(stream, CANCEL)
        await peer.talk()
        link.data_received(b"\0")
        lost += 16_000
        assert link.missing_window <= lost <= STREAM_WINDOW
        peer.clock.now += 1.0
        link.tick(peer.clock.now)
        await peer.talk()
    assert lost > STREAM_WINDOW // 2


# --- greetings


async def test_a_server_says_what_it_takes() -> None:
    link, peer = await serving()
    (settings,) = peer.heard(h2.events.RemoteSettingsChanged)
    assert {code: change.new_value for code, change in settings.changed_settings.items()} == {
        SettingCodes.MAX_CONCURRENT_STREAMS: 128,
        SettingCodes.INITIAL_WINDOW_SIZE: 1024 * 1024,
        SettingCodes.MAX_HEADER_LIST_SIZE: 64 * 1024,
    }
    assert peer.h2.outbound_flow_control_window == WINDOW
    assert link.told == ["settings"]
    assert peer.heard(h2.events.SettingsAcknowledged)


async def test_a_client_wants_nothing_pushed() -> None:
    link, peer = await calling()
    (settings,) = peer.heard(h2.events.RemoteSettingsChanged)
    assert {code: change.new_value for code, change in settings.changed_settings.items()} == {
        SettingCodes.ENABLE_PUSH: 0,
        SettingCodes.MAX_CONCURRENT_STREAMS: 0,
        SettingCodes.INITIAL_WINDOW_SIZE: 1024 * 1024,
        SettingCodes.MAX_HEADER_LIST_SIZE: 64 * 1024,
    }
    assert link.told == ["settings"]


async def test_the_first_words_leave_at_once() -> None:
    link = Recording(server=True)
    peer = Peer(link)
    assert len(peer.transport.writes) == 1
    assert peer.transport.limits == WRITE_BUFFER


async def test_how_many_streams_the_peer_takes() -> None:
    link = Recording(server=False)
    peer = Peer(link, server=True, settings={SettingCodes.MAX_CONCURRENT_STREAMS: 7})
    assert link.max_streams > 1000  # it has not said
    await peer.talk()
    assert link.max_streams == 7
    peer.h2.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: 3})
    await peer.talk()
    assert link.max_streams == 3


async def test_who_the_peer_is() -> None:
    link, _ = await serving()
    assert link.peer.address == "192.0.2.1"
    local = Recording(server=True)
    Peer(local, peername="/run/x.sock")
    assert local.peer.address == ""


# --- silence


async def test_a_peer_that_says_nothing_is_asked_and_answers() -> None:
    link, peer = await serving(keepalive=30.0)
    await asked(link, peer)
    pings: list[int] = []
    for second in range(65):
        peer.clock.now += 1.0
        link.tick(peer.clock.now)
        await peer.talk()
        pings += [second + 1] * (len(peer.heard(h2.events.PingReceived)) - len(pings))
    assert pings == [30, 60]
    assert not peer.transport.aborted


async def test_a_peer_that_speaks_is_not_asked() -> None:
    link, peer = await serving(keepalive=30.0)
    stream, _ = await asked(link, peer, end=False)
    for _ in range(10):
        peer.clock.now += 29.0
        link.tick(peer.clock.now)
        peer.send(stream, b"x")
        await peer.talk()
    assert not peer.heard(h2.events.PingReceived)


async def test_what_leaves_a_full_transport_is_a_sign_of_life() -> None:
    link, peer = await serving(keepalive=30.0)
    await asked(link, peer)
    peer.transport.buffered = 1_000_000
    peer.transport.fill()
    for _ in range(10):
        peer.transport.buffered -= 1000
        for _ in range(20):
            peer.clock.now += 1.0
            link.tick(peer.clock.now)
    assert not peer.transport.aborted
    for _ in range(60):  # now nothing leaves
        peer.clock.now += 1.0
        link.tick(peer.clock.now)
    assert peer.transport.aborted


async def test_without_a_stream_nobody_is_asked() -> None:
    link, peer = await serving(keepalive=30.0)
    link.tick(link.now + 1000.0)
    await peer.talk()
    assert not peer.heard(h2.events.PingReceived)


async def test_a_peer_that_does_not_answer_is_dead() -> None:
    link, peer = await serving(keepalive=30.0)
    _, recorder = await asked(link, peer)
    asked_at = link.heard_at + 30.0
    link.tick(asked_at)
    link.tick(asked_at + PING_TIMEOUT)
    assert not peer.transport.aborted
    with capture_logs() as events:
        link.tick(asked_at + PING_TIMEOUT + 0.1)
    assert peer.transport.aborted
    assert events == [{"event": "connection_dead", "peer": "192.0.2.1", "log_level": "info"}]
    await asyncio.sleep(0)
    assert recorder.heard == [("lost", False)]


async def test_without_keepalive_nobody_is_asked() -> None:
    link, peer = await serving(keepalive=None)
    await asked(link, peer)
    link.tick(link.heard_at + 1_000_000)
    await peer.talk()
    assert not peer.heard(h2.events.PingReceived)
