"""What attacks over HTTP/1.1 are made of."""

from gateway.demo.pb import demo_pb2
from tests.support.frames import message
from tests.support.gateway import DEMO, RunningGateway
from tests.support.wire import request

STALL = 0.5  # seconds: body_stall
ECHO = message(demo_pb2.EchoRequest(text="hello"))
CANARY = "zqxjk"  # in everything hostile, and in no answer
BYE = b"0\r\n\r\n"


async def ask_echo(gateway: RunningGateway) -> None:
    assert (await gateway.ask(request(DEMO + "Echo", gateway.fields(), ECHO))).grpc()[0] == [ECHO[5:]]


def assert_gives_nothing_away(raw: bytes) -> None:
    text = raw.decode("latin-1").lower()
    for clue in (CANARY, "traceback", "aiohttp", "python", "llhttp", "error:", "exception", "127.0.0.1"):
        assert clue not in text, raw
    assert text.count("\r\nserver: ") == text.count("\r\nserver: grpcweb-gateway\r\n")
