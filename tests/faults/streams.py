"""A stream that is begun, and how it ends when something goes away."""

from typing import Any

from gateway.demo.pb import demo_pb2
from tests.support.frames import message
from tests.support.gateway import BINARY, DEMO, ORIGIN, RunningGateway
from tests.support.wire import Answer, Wire, request

ECHO = message(demo_pb2.EchoRequest(text="hello"))
AT_ONCE = 5.0  # seconds: far less than any time-out, far more than it takes

Configuration = dict[str, Any]


def counting(gateway: RunningGateway, kind: str = BINARY, *more: tuple[str, str]) -> bytes:
    """A stream of one message, and then silence."""
    body = message(demo_pb2.CountRequest(interval_ms=600_000))
    accept = [("accept", kind)]
    return request(DEMO + "Count", gateway.fields(*accept, *more), body)


async def begun(wire: Wire, call: bytes) -> Answer:
    """A stream whose first message has come."""
    await wire.send(call)
    answer = await wire.head()
    answer.chunks.append(await wire.chunk())
    return answer


async def finish(wire: Wire, answer: Answer) -> Answer:
    while chunk := await wire.chunk():
        answer.chunks.append(chunk)
    return answer


def assert_unavailable(answer: Answer, messages: int = 0) -> None:
    """14 in the trailer frame, readable by the page, with what came before and no word of addresses."""
    received, status, _ = answer.grpc()
    assert (len(received), status.code) == (messages, 14)
    assert answer.value("access-control-allow-origin") == ORIGIN
    for clue in ("127.0.0.1", "ipv4", "errno", "socket", "connect to", "goaway", "rst", "ssl", "tls", "certificate"):
        assert clue not in status.message.lower(), status.message
