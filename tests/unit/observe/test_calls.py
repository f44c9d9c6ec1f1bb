"""What is seen of calls: counts with bounded labels, and events without names or tokens."""

from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from gateway.observe.calls import MAX_METHODS, CallObserver
from gateway.permit import Permit, Refusal, Subject
from gateway.protocol.status import Code, Status
from gateway.request import Answer, RequestHead
from tests.support.ends import ManualGate, Road
from tests.support.frames import message


def finished(path: bytes = b"/test.v1.Test/Do", decision: Permit | Refusal | None = None) -> Road:
    road = Road(gate=ManualGate(decision), headers=[(b"authorization", b"Bearer secret-token")])
    road.call.head.path = path
    road.start()
    road.call.request_bytes(message(b"abc"))
    road.call.reply_bytes(message(b"abc"))
    road.call.reply_end(Status(Code.OK), [])
    return road


def test_a_call_is_counted_and_logged_without_its_subject_or_token() -> None:
    registry = CollectorRegistry()
    observer = CallObserver(registry, access_log=True)
    with capture_logs() as events:
        observer.settled(finished(decision=Permit(b"/test.v1.Test/Do", Subject("ann@example.test"))).call)
    value = registry.get_sample_value("gateway_calls_total", {"method": "/test.v1.Test/Do", "code": "OK"})
    assert value == 1
    assert registry.get_sample_value("gateway_messages_total", {"direction": "reply"}) == 1
    (event,) = events
    assert event["code"] == "OK"
    assert len(event["subject"]) == 12
    assert "ann" not in str(event)
    assert "secret" not in str(event)


def test_refusals_have_a_reason_and_no_method_of_their_own() -> None:
    registry = CollectorRegistry()
    observer = CallObserver(registry, access_log=False)
    refusal = Refusal(Status(Code.UNAUTHENTICATED), "token_expired")
    with capture_logs() as events:
        for number in range(5):
            observer.settled(finished(b"/scan.v1.S%d/M" % number, refusal).call)
        observer.settled(finished().call)  # quiet: the access log is off
    assert registry.get_sample_value("gateway_refusals_total", {"reason": "token_expired"}) == 5
    assert registry.get_sample_value("gateway_calls_total", {"method": "(refused)", "code": "UNAUTHENTICATED"}) == 5
    assert [event["reason"] for event in events] == ["token_expired"] * 5


def test_methods_as_labels_are_bounded() -> None:
    registry = CollectorRegistry()
    observer = CallObserver(registry, access_log=False)
    for number in range(MAX_METHODS + 3):
        observer.settled(finished(b"/any.v1.S/M%d" % number).call)
    assert registry.get_sample_value("gateway_calls_total", {"method": "(other)", "code": "OK"}) == 3


def test_requests_refused_before_they_are_calls() -> None:
    registry = CollectorRegistry()
    observer = CallObserver(registry, access_log=False)
    head = RequestHead("POST", b"/secret?token=1", [(b"origin", b"https://evil.test")], "192.0.2.1", b"https")
    with capture_logs() as events:
        observer.refused(head, Answer(403, reason="origin_foreign"))
    assert registry.get_sample_value("gateway_refusals_total", {"reason": "origin_foreign"}) == 1
    assert "token=1" not in str(events)
