"""Answers, read by hand: messages and exactly one status, or what is wrong."""

import base64

import pytest

from soak.answer import framed, read
from soak.wire import Exchange

OK = b"\x80\0\0\0\x0fgrpc-status:0\r\n"
WEB = {"content-type": "application/grpc-web+proto"}
TEXT = {"content-type": "application/grpc-web-text+proto"}
NATIVE = {"content-type": "application/grpc+proto"}


class Ended(Exchange):
    """One that is over."""

    def __init__(self, body: bytes, headers: dict[str, str], status: int = 200, **trailers: str) -> None:
        super().__init__()
        self.status, self.body, self.headers = status, body, headers
        self.trailers = {name.replace("_", "-"): value for name, value in trailers.items()}
        self.end()

    async def send(self, data: bytes, *, end: bool = False) -> None:
        raise AssertionError

    def cancel(self) -> None:
        raise AssertionError

    def drop(self) -> None:
        raise AssertionError


@pytest.mark.parametrize(
    "exchange",
    [
        Ended(framed(b"a") + framed(b"") + OK, WEB),
        Ended(base64.b64encode(framed(b"a")) + base64.b64encode(framed(b"") + OK), TEXT),
        Ended(framed(b"a") + framed(b""), NATIVE, grpc_status="0"),
    ],
)
def test_messages_and_status(exchange: Exchange) -> None:
    said = read(exchange)
    assert (said.messages, said.code, said.problem) == ([b"a", b""], 0, "")


def test_the_text_of_a_status() -> None:
    said = read(Ended(b"", NATIVE | {"grpc-status": "14", "grpc-message": "gone%20away"}))
    assert (said.code, said.text, said.problem) == (14, "gone away", "")


@pytest.mark.parametrize(
    ("exchange", "problem"),
    [
        (Ended(b"", WEB, 503), "HTTP 503"),
        (Ended(OK, {"content-type": "text/html"}), "content type text/html"),
        (Ended(framed(b"a"), WEB), "not exactly one status"),
        (Ended(OK + OK, WEB), "not exactly one status"),
        (Ended(OK + framed(b"a"), WEB), "a message after the status"),
        (Ended(framed(b"abc")[:-1], WEB), "half a frame"),
        (Ended(OK[:3], WEB), "half a frame"),
        (Ended(b"!!!!", TEXT), "not base64"),
        (Ended(framed(b"a"), NATIVE), "not exactly one status"),
        (Ended(b"", NATIVE | {"grpc-status": "0"}, grpc_status="0"), "not exactly one status"),
    ],
)
def test_what_is_no_answer(exchange: Exchange, problem: str) -> None:
    assert read(exchange).problem == problem
