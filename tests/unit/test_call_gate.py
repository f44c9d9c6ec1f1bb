"""The road of one call and the gate: what it decides, what comes meanwhile, what a permit adds and takes away."""

import pytest

from gateway.call import HOLD_LIMIT
from gateway.permit import Permit, Refusal, Subject
from gateway.protocol.status import Code, Status
from tests.support.ends import ListUpstream, ManualGate, Road
from tests.support.frames import message

DENIED = Refusal(
    Status(Code.PERMISSION_DENIED, "not permitted"), "permission_denied", ((b"www-authenticate", b"Bearer"),)
)
FRAME = message(b"abc")


def test_a_refusal_answers_and_dials_nothing() -> None:
    road = Road(gate=ManualGate(DENIED)).start()
    road.call.request_bytes(FRAME)
    road.call.request_end()
    assert road.up.opened == []
    assert road.down.heads == [[(b"www-authenticate", b"Bearer")]]
    assert road.reply()[1] == Status(Code.PERMISSION_DENIED, "not permitted")
    assert road.call.reason == "permission_denied"
    road.call.delivered()
    assert road.gate.left == 1


def test_a_native_call_that_the_gateway_ends() -> None:
    road = Road(kind=b"application/grpc+proto", gate=ManualGate(DENIED)).start()
    told = [(b"www-authenticate", b"Bearer"), (b"grpc-status", b"7"), (b"grpc-message", b"not permitted")]
    assert road.down.heads == [told]  # Trailers-Only
    assert road.down.ends == [told]
    assert road.down.chunks == []
    assert road.up.opened == []


def test_what_arrives_while_the_gate_thinks_is_kept_in_order() -> None:
    gate = ManualGate(at_once=False)
    road = Road(gate=gate).start()
    road.call.request_bytes(FRAME[:3])
    road.call.request_bytes(FRAME[3:])
    road.call.request_end()
    assert road.up.opened == []
    assert gate.answer is not None
    gate.answer(Permit(b"/test.v1.Test/Do"))
    assert b"".join(road.up.chunks) == FRAME
    assert road.up.events == ["end"]


def test_a_body_that_waits_for_the_gate_is_bounded() -> None:
    gate = ManualGate(at_once=False)
    road = Road(gate=gate).start()
    road.call.request_bytes(bytes(HOLD_LIMIT - 1))
    assert road.down.reading
    road.call.request_bytes(b"\0")
    assert not road.down.reading
    assert gate.answer is not None
    gate.answer(Permit(b"/test.v1.Test/Do"))
    assert road.down.reading


def test_what_is_released_may_pause_the_reader_again() -> None:
    gate = ManualGate(at_once=False)
    road = Road(gate=gate).start()
    road.call.request_bytes(bytes(HOLD_LIMIT))
    road.up.on_send = road.call.pause_request
    assert gate.answer is not None
    gate.answer(Permit(b"/test.v1.Test/Do"))
    assert road.up.chunks
    assert not road.down.reading


def test_a_decision_that_comes_too_late_opens_nothing() -> None:
    gate = ManualGate(at_once=False)
    road = Road(gate=gate).start()
    road.call.cancel()
    assert gate.answer is not None
    gate.answer(Permit(b"/test.v1.Test/Do"))
    assert road.up.opened == []
    assert road.down.heads == []
    road.call.delivered()
    assert gate.left == 1


def test_an_upstream_that_will_not_open_is_a_status() -> None:
    refusal = Refusal(Status(Code.UNIMPLEMENTED, "no such method"), "no_upstream")
    road = Road(upstream=ListUpstream(refuse=refusal)).start()
    assert road.reply()[1] == refusal.status
    assert road.call.reason == "no_upstream"


def test_forward_claims_are_added_and_only_by_the_gateway() -> None:
    permit = Permit(b"/test.v1.Test/Do", Subject("ann"), ((b"x-user-id", b"ann"),))
    road = Road(
        gate=ManualGate(permit),
        headers=[(b"x-user-id", b"root"), (b"authorization", b"Bearer t")],
        stripped=frozenset([b"x-user-id"]),
        forward_authorization=False,
    ).start()
    metadata = road.up.opened[0][1].metadata
    assert [value for name, value in metadata if name == b"x-user-id"] == [b"ann"]
    assert all(name != b"authorization" for name, _ in metadata)
    assert (b"x-forwarded-for", b"192.0.2.1") in metadata
    assert (b"x-forwarded-proto", b"https") in metadata


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ([(b"x-bad", b"a\x00b")], Code.INVALID_ARGUMENT),
        ([(b"x_under", b"1")], Code.INVALID_ARGUMENT),
        ([(b"x-big", b"a" * 9000)], Code.RESOURCE_EXHAUSTED),
    ],
)
def test_metadata_that_cannot_cross_is_a_status_and_dials_nothing(
    headers: list[tuple[bytes, bytes]], code: Code
) -> None:
    road = Road(headers=headers).start()
    assert road.reply()[1].code == code
    assert road.up.opened == []


def test_an_authorization_that_nobody_verified_stays_here() -> None:
    permit = Permit(b"/test.v1.Test/Do", forward_authorization=False)
    road = Road(gate=ManualGate(permit), headers=[(b"authorization", b"Bearer forged")]).start()
    assert all(name != b"authorization" for name, _ in road.up.opened[0][1].metadata)
