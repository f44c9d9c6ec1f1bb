"""The streams of a browser: who is slow holds the other end back, who stands still is let go."""

import asyncio

import pytest
from h2.errors import ErrorCodes
from h2.settings import SettingCodes

from gateway.call import HOLD_LIMIT
from gateway.front import http2
from gateway.http2 import SEND_BUFFER, STREAM_WINDOW
from gateway.permit import Permit
from gateway.protocol.status import Code
from tests.support.ends import ManualGate
from tests.support.frames import message, take_apart
from tests.unit.front.world import DO, FRAME, STALL, WEB, world

# --- back pressure


async def test_what_a_call_does_not_take_keeps_the_browsers_window_shut() -> None:
    here = await world()
    stream = await here.ask(DO, WEB, end=False)
    here.up.replies[0].pause_request()
    here.peer.send(stream, message(bytes(STREAM_WINDOW - 5)))
    await here.peer.talk()
    assert here.peer.h2.local_flow_control_window(stream) == 0
    here.up.replies[0].resume_request()
    await here.peer.talk()
    assert here.peer.h2.local_flow_control_window(stream) == STREAM_WINDOW


async def test_what_the_gate_holds_back_is_bounded() -> None:
    here = await world(gate=ManualGate(at_once=False))
    stream = await here.ask(DO, WEB, end=False)
    here.peer.send(stream, message(bytes(STREAM_WINDOW - 5)))
    await here.peer.talk()
    held = STREAM_WINDOW - here.peer.h2.local_flow_control_window(stream)
    assert held > STREAM_WINDOW - HOLD_LIMIT - 40_000  # the window of what came first is open again
    answer = here.gate.answer
    assert answer is not None
    answer(Permit(DO.encode()))
    await here.peer.talk()
    assert b"".join(here.up.chunks) == message(bytes(STREAM_WINDOW - 5))
    assert here.peer.h2.local_flow_control_window(stream) == STREAM_WINDOW


async def test_the_window_of_a_stream_that_went_is_given_back_to_the_connection() -> None:
    here = await world()
    for _ in range(20):  # 20 MiB over a connection that takes 16 ahead
        stream = await here.ask(DO, WEB, end=False)
        here.up.replies[-1].pause_request()
        here.peer.send(stream, message(bytes(STREAM_WINDOW - 5)))
        here.peer.h2.reset_stream(stream)
        await here.peer.talk()
    assert here.peer.h2.outbound_flow_control_window >= http2.CONNECTION_WINDOW // 2  # told now and then


async def test_a_slow_reader_pauses_the_backend() -> None:
    here = await world(settings={SettingCodes.INITIAL_WINDOW_SIZE: 10})
    stream = await here.ask(DO, WEB)
    here.up.events.clear()
    here.up.replies[0].reply_bytes(message(bytes(SEND_BUFFER - 5)))
    assert here.up.events == []
    here.up.replies[0].reply_bytes(message(bytes(20)))
    assert here.up.events == ["pause"]
    here.peer.open_window(2**20)
    here.peer.open_window(2**20, stream)
    await here.peer.talk()
    assert here.up.events == ["pause", "resume"]
    assert len(here.peer.body(stream)) == SEND_BUFFER + 25


async def test_who_does_not_read_is_not_read_from() -> None:
    here = await world()
    here.peer.transport.fill()
    assert not here.peer.transport.reading
    here.peer.transport.drain()
    assert here.peer.transport.reading


# --- who stands still


async def test_a_body_that_stops_inside_a_message() -> None:
    here = await world()
    stream = await here.ask(DO, WEB, body=FRAME[:-1], end=False)
    (call,) = here.census.calls
    await here.wait(STALL)
    assert not call.closed
    await here.wait(1)
    assert take_apart(here.peer.body(stream))[1].code == Code.DEADLINE_EXCEEDED
    assert call.reason == "body_stall"
    assert here.up.events == ["cancel"]


async def test_a_body_that_moves_now_and_then() -> None:
    here = await world()
    stream = await here.ask(DO, WEB, end=False)
    (call,) = here.census.calls
    for byte in FRAME[:-1]:
        here.peer.send(stream, bytes((byte,)))
        await here.wait(STALL - 1)
    assert not call.closed


@pytest.mark.parametrize("body", [None, FRAME])
async def test_between_two_messages_a_stream_may_rest(body: bytes | None) -> None:
    here = await world()
    await here.ask(DO, WEB, body=body, end=False)
    (call,) = here.census.calls
    await here.wait(3 * STALL)
    assert not call.closed


async def test_a_body_that_this_end_holds_back_has_not_stopped() -> None:
    here = await world()
    stream = await here.ask(DO, WEB, end=False)
    (call,) = here.census.calls
    here.up.replies[0].pause_request()
    here.peer.send(stream, FRAME[:-1])
    await here.wait(3 * STALL)
    assert not call.closed
    here.up.replies[0].resume_request()
    await here.wait(STALL + 1)
    assert call.reason == "body_stall"


async def test_a_reader_that_takes_nothing() -> None:
    here = await world(settings={SettingCodes.INITIAL_WINDOW_SIZE: 10})
    stream = await here.ask(DO, WEB)
    (call,) = here.census.calls
    here.up.replies[0].reply_bytes(message(bytes(100)))
    await here.peer.talk()
    await here.wait(STALL - 1)
    here.peer.open_window(1, stream)  # it moves
    await here.wait(STALL)
    assert not call.closed
    await here.wait(2)
    assert call.reason == "reader_stall"
    assert here.peer.reset(stream) == ErrorCodes.CANCEL
    assert here.up.events == ["end", "cancel"]
    assert (here.census.calls, here.gate.left) == (set(), 1)


async def test_a_socket_that_takes_nothing() -> None:
    here = await world()
    await here.ask(DO, WEB)
    await here.ask("/large", method="GET")
    (call,) = here.census.calls
    here.peer.transport.buffered = 300_000
    here.peer.transport.fill()
    here.up.replies[0].reply_bytes(message(bytes(100)))
    await here.wait(STALL)
    assert not here.peer.transport.aborted
    await here.wait(1)
    assert here.peer.transport.aborted
    assert call.reason == "reader_stall"
    await asyncio.sleep(0)
    assert (here.census.calls, here.census.connections, here.gate.left) == (set(), 0, 1)


async def test_a_socket_that_takes_little_at_a_time() -> None:
    """While it moves, nobody on the connection has stopped reading: what waits behind it cannot move yet."""
    here = await world()
    stream = await here.ask(DO, WEB)
    (call,) = here.census.calls
    here.peer.transport.buffered = 300_000
    here.peer.transport.fill()
    here.up.replies[0].reply_bytes(message(bytes(100)))
    for _ in range(3):
        await here.wait(STALL - 1)
        here.peer.transport.buffered -= 10_000
    assert not call.closed
    here.peer.transport.drain()
    await here.answer()
    assert take_apart(here.peer.body(stream))[0] == [bytes(100)]


async def test_a_stream_on_which_nothing_waits_may_rest() -> None:
    here = await world()
    await here.ask(DO, WEB)
    (call,) = here.census.calls
    here.up.replies[0].reply_bytes(FRAME)
    await here.wait(3 * STALL)
    assert not call.closed
