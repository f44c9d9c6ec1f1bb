"""What is seen of calls: counts with bounded labels, and events without names or tokens."""

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from gateway.observe.calls import MAX_METHODS, MAX_UNPROVEN, CallObserver
from gateway.permit import Permit, Refusal, Subject
from gateway.protocol.status import Code, Status
from gateway.request import Answer, RequestHead
from tests.support.ends import ManualGate, Road
from tests.support.frames import message

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def finished(path: bytes = b"/test.v1.Test/Do", decision: Permit | Refusal | None = None, code: Code = Code.OK) -> Road:
    road = Road(gate=ManualGate(decision), headers=[(b"authorization", b"Bearer secret-token")])
    road.call.head.path = path
    road.start()
    road.call.request_bytes(message(b"abc"))
    if code is Code.OK:
        road.call.reply_bytes(message(b"abc"))
    road.call.reply_end(Status(code), [])
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


def test_who_makes_up_methods_takes_no_label_from_those_that_answer() -> None:
    registry = CollectorRegistry()
    observer = CallObserver(registry, access_log=False)
    for number in range(MAX_METHODS + 3):
        observer.settled(finished(b"/any.v1.S/M%d" % number, code=Code.UNIMPLEMENTED).call)
    for number in range(MAX_UNPROVEN, 2 * MAX_UNPROVEN):
        observer.settled(finished(b"/any.v1.S/M%d" % number).call)
    observer.settled(finished(b"/any.v1.S/M0").call)  # proven now, and so there is room for one that is not
    observer.settled(finished(b"/late.v1.S/M", code=Code.UNAVAILABLE).call)

    def count(method: str, code: str) -> float | None:
        return registry.get_sample_value("gateway_calls_total", {"method": method, "code": code})

    assert count("(other)", "UNIMPLEMENTED") == MAX_METHODS + 3 - MAX_UNPROVEN
    assert count(f"/any.v1.S/M{2 * MAX_UNPROVEN - 1}", "OK") == 1
    assert count("/any.v1.S/M0", "OK") == 1
    assert count("/late.v1.S/M", "UNAVAILABLE") == 1


def test_requests_refused_before_they_are_calls() -> None:
    registry = CollectorRegistry()
    observer = CallObserver(registry, access_log=False)
    headers = [(b"origin", b"https://evil.test"), (b"cookie", b"id=secret"), (b"authorization", b"Bearer secret")]
    with capture_logs() as events:
        observer.refused(
            RequestHead("POST", b"/Echo?token=1", headers, "192.0.2.1", b"https"), Answer(403, reason="origin_foreign")
        )
    assert registry.get_sample_value("gateway_refusals_total", {"reason": "origin_foreign"}) == 1
    assert events == [
        {
            "event": "refused",
            "log_level": "info",
            "status": 403,
            "reason": "origin_foreign",
            "peer": "192.0.2.1",
            "origin": "https://evil.test",
            "path": "/Echo",
        }
    ]


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"/Echo", "/Echo"),
        (b"/Echo#token=1", "/Echo"),
        (b"/@scope/x@y", "/@scope/x@y"),
        (b"http://ann:secret@shop.test/Echo?x", "http://shop.test/Echo"),
        (b"http://ann:" + 300 * b"s" + b"@shop.test/", "http://shop.test/"),
        (b"/" + 300 * b"a", "/" + 199 * "a"),
        (b"/\x1b[2J", r"/\x1b[2J"),
        (b"*", "*"),
    ],
)
def test_the_path_of_a_refused_request_holds_no_secret(target: bytes, path: str) -> None:
    observer = CallObserver(CollectorRegistry(), access_log=False)
    with capture_logs() as events:
        observer.refused(RequestHead("GET", target, [], "192.0.2.1", b"https"), Answer(404, reason="path"))
    assert [(event["path"], event["origin"]) for event in events] == [(path, "")]


def test_of_several_origins_all_are_told() -> None:
    observer = CallObserver(CollectorRegistry(), access_log=False)
    headers = [(b"origin", b"https://page.test"), (b"origin", b"https://evil.test")]
    with capture_logs() as events:
        observer.refused(
            RequestHead("POST", b"/", headers, "192.0.2.1", b"https"), Answer(400, reason="repeated_header")
        )
    assert events[0]["origin"] == "https://page.test, https://evil.test"


def told(road: Road) -> dict[str, object]:
    """The event of a call that is over."""
    with capture_logs() as events:
        CallObserver(CollectorRegistry(), access_log=True).settled(road.call)
    (event,) = events
    return dict(event)


def test_times_are_those_of_the_gate_of_the_backend_and_of_all() -> None:
    gate = ManualGate(at_once=False)
    road = Road(gate=gate)
    road.clock.advance(1)
    road.start()
    road.clock.advance(0.25)
    assert gate.answer is not None
    gate.answer(Permit(b"/test.v1.Test/Do"))
    road.clock.advance(0.5)
    road.call.reply_head([])
    road.clock.advance(1)
    road.call.reply_head([])
    road.call.reply_end(Status(Code.OK), [])
    event = told(road)
    assert (event["ms"], event["gate_ms"], event["upstream_ms"], event["upstream"]) == (2750, 1250, 500, "test")


def test_a_backend_that_said_nothing_took_until_the_end() -> None:
    road = Road()
    road.clock.advance(1)
    road.start()
    road.clock.advance(2)
    road.call.cancel()
    event = told(road)
    assert (event["ms"], event["gate_ms"], event["upstream_ms"]) == (3000, 1000, 2000)


def test_who_left_at_the_gate_was_never_at_an_upstream() -> None:
    road = Road(gate=ManualGate(at_once=False)).start()
    road.clock.advance(1)
    road.call.cancel()
    event = told(road)
    assert (event["ms"], event["gate_ms"], event["reason"]) == (1000, 1000, "disconnect")
    assert event.keys().isdisjoint({"upstream", "upstream_ms"})


@pytest.mark.parametrize(
    ("kind", "accept", "form"),
    [
        (b"application/grpc-web", None, "binary"),
        (b"application/grpc-web-text", None, "text"),
        (b"application/grpc-web", b"application/grpc-web-text", "text"),
        (b"application/grpc", None, "native"),
    ],
)
def test_the_form_is_that_of_the_reply(kind: bytes, accept: bytes | None, form: str) -> None:
    road = Road(kind=kind, accept=accept).start()
    road.call.head.http2 = form == "native"
    road.call.reply_end(Status(Code.OK), [])
    event = told(road)
    assert (event["form"], event["protocol"]) == (form, "http2" if form == "native" else "http1")


def test_the_identity_and_the_trace_are_told_where_there_are_some() -> None:
    road = Road(gate=ManualGate(Permit(b"/test.v1.Test/Do", identity="DNS:ops.internal")))
    road.call.head.traceparent = f"00-{TRACE}-00f067aa0ba902b7-00".encode()
    road.start().call.reply_end(Status(Code.OK), [])
    event = told(road)
    assert (event["identity"], event["trace"]) == ("DNS:ops.internal", TRACE)
    assert told(finished()).keys().isdisjoint({"identity", "trace"})
