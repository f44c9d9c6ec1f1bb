"""The road of one call, with lists for ends: there and back.

The cells of its state table stand in test_call_gate.py, test_call_request.py, test_call_reply.py and test_call_time.py.
"""

from gateway.protocol.status import Code, Status
from tests.support.ends import Road
from tests.support.frames import message

FRAME = message(b"abc")


def test_a_call_goes_through_and_back() -> None:
    road = Road(headers=[(b"x-trace", b"1"), (b"cookie", b"secret=1")]).start()
    road.call.request_bytes(FRAME)
    road.call.request_end()
    permit, request = road.up.opened[0]
    assert permit.path == b"/test.v1.Test/Do"
    assert (b"x-trace", b"1") in request.metadata
    assert all(name != b"cookie" for name, _ in request.metadata)
    assert request.content_type == b"application/grpc+proto"
    assert request.deadline is None
    assert road.up.chunks == [FRAME]
    assert road.up.events == ["end"]

    road.call.reply_head([(b"x-backend", b"b")])
    road.call.reply_bytes(message(b"reply"))
    road.call.reply_end(Status(Code.OK), [(b"x-cost", b"3")])
    assert road.down.heads == [[(b"x-backend", b"b")]]
    assert road.reply() == ([b"reply"], Status(Code.OK), [(b"x-cost", b"3")])
    assert road.up.events == ["end"]  # a stream that ended by itself is not cancelled
    assert road.over == [road.call]
    assert (road.call.request_messages, road.call.reply_messages) == (1, 1)
    assert road.gate.left == 0  # the front still has the reply to deliver
    road.call.delivered()
    road.call.delivered()
    assert road.gate.left == 1


def test_the_backpressure_of_each_end_reaches_the_other() -> None:
    road = Road().start()
    road.call.pause_reply()
    road.call.resume_reply()
    assert road.up.events == ["pause", "resume"]
    road.call.pause_request()
    assert not road.down.reading
    road.call.resume_request()
    assert road.down.reading


def test_the_browser_leaving_cancels_the_backend_and_answers_nobody() -> None:
    road = Road().start()
    road.call.reply_head([])
    road.call.cancel()
    assert road.up.events == ["cancel"]
    assert road.down.chunks == []
    assert road.call.status is not None
    assert road.call.status.code == Code.CANCELLED
    assert road.call.reason == "disconnect"


def test_bytes_after_the_end_are_dropped() -> None:
    road = Road().start()
    road.call.reply_end(Status(Code.OK), [])
    road.call.request_bytes(FRAME)
    road.call.request_end()
    road.call.reply_bytes(message(b"late"))
    road.call.reply_end(Status(Code.INTERNAL), [])
    road.call.cancel()
    assert road.up.chunks == []
    assert road.reply() == ([], Status(Code.OK), [])
    assert road.over == [road.call]
