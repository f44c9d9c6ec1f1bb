"""The road of one call and time: deadlines, the token's end, idleness."""

import pytest

from gateway.ends import CallLimits
from gateway.permit import Permit, Subject
from gateway.protocol.status import Code, Status
from tests.support.ends import NOW, ManualGate, Road
from tests.support.frames import message

FRAME = message(b"abc")


def test_a_deadline_is_kept_and_handed_on() -> None:
    road = Road(timeout=b"1500m").start()
    assert road.up.opened[0][1].deadline == pytest.approx(1.5)
    road.call.reply_bytes(message(b"first"))
    road.clock.advance(1.5)
    messages, status, _ = road.reply()
    assert messages == [b"first"]
    assert status.code == Code.DEADLINE_EXCEEDED
    assert road.up.events == ["cancel"]


def test_time_spent_at_the_gate_counts() -> None:
    gate = ManualGate(at_once=False)
    road = Road(timeout=b"1S", gate=gate).start()
    road.clock.advance(1.0)
    assert road.reply()[1].code == Code.DEADLINE_EXCEEDED
    assert road.up.opened == []


@pytest.mark.parametrize(
    ("timeout", "limits", "seconds"),
    [
        (None, CallLimits(), None),
        (None, CallLimits(default_deadline=5.0), 5.0),
        (b"9S", CallLimits(default_deadline=5.0), 9.0),
        (None, CallLimits(max_deadline=7.0), 7.0),
        (b"9S", CallLimits(max_deadline=7.0), 7.0),
        (b"2S", CallLimits(max_deadline=7.0, default_deadline=1.0), 2.0),
    ],
)
def test_which_deadline_holds(timeout: bytes | None, limits: CallLimits, seconds: float | None) -> None:
    assert Road(timeout=timeout, limits=limits).start().up.opened[0][1].deadline == seconds


@pytest.mark.parametrize("timeout", [b"", b"5", b"5s", b"-1S", b"1.5S", b"S", b" 1S", b"1S, 2S"])
def test_a_malformed_timeout_is_refused_before_the_gate(timeout: bytes) -> None:
    road = Road(timeout=timeout).start()
    assert road.reply()[1].code == Code.INVALID_ARGUMENT
    road.call.delivered()
    assert road.gate.entered == road.gate.left == 0


def test_a_stream_ends_when_its_token_does() -> None:
    road = Road(gate=ManualGate(Permit(b"/test.v1.Test/Do", Subject("ann"), (), NOW + 60))).start()
    road.advance(59)
    assert not road.call.closed
    road.advance(2)
    assert road.reply()[1].code == Code.UNAUTHENTICATED
    assert road.up.events == ["cancel"]


@pytest.mark.parametrize(("timeout", "code"), [(b"10S", Code.DEADLINE_EXCEEDED), (b"100S", Code.UNAUTHENTICATED)])
def test_deadline_or_expiry_whichever_comes_first(timeout: bytes, code: Code) -> None:
    road = Road(timeout=timeout, gate=ManualGate(Permit(b"/test.v1.Test/Do", Subject("ann"), (), NOW + 60))).start()
    road.advance(200)
    assert road.reply()[1].code == code


def test_an_idle_stream_ends_and_a_moving_one_does_not() -> None:
    road = Road(limits=CallLimits(stream_idle=10.0)).start()
    for _ in range(5):
        road.advance(6)
        road.call.reply_bytes(message(b"tick"))
    assert not road.call.closed
    road.advance(6)
    road.call.request_bytes(FRAME)
    road.advance(6)
    assert not road.call.closed
    road.advance(6)
    assert road.reply()[1].code == Code.UNAVAILABLE


def test_nothing_ticks_after_the_end() -> None:
    road = Road(timeout=b"10S").start()
    road.call.reply_end(Status(Code.OK), [])
    assert road.clock.pending == 0
