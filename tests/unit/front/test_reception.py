"""What requests are, before anybody reads their bodies."""

import logging

import pytest
import structlog
from structlog.testing import capture_logs

from gateway.ends import CallHead
from gateway.front.reception import Reception
from gateway.policy.cors import CorsPolicy
from gateway.protocol.metadata import Header, Headers
from gateway.request import Answer, RequestHead
from gateway.settings import Cors

ORIGIN: Header = (b"origin", b"https://page.test")
FOREIGN: Header = (b"origin", b"https://evil.test")
GRPC_WEB: Header = (b"content-type", b"application/grpc-web+proto")
PREFLIGHT: Header = (b"access-control-request-method", b"POST")
ECHO = b"/demo.v1.Demo/Echo"


class Refusals:
    """Reasons, in order."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def refused(self, head: RequestHead, answer: Answer) -> None:
        self.reasons.append(answer.reason)


def receive(method: str, target: bytes, headers: Headers, *, require_origin: bool = False) -> tuple[Answer, list[str]]:
    """The plain answer, and what the observer was told."""
    refusals = Refusals()
    cors = Cors(allow_origins=("https://page.test",), require_origin=require_origin)
    found = Reception(CorsPolicy(cors), refusals).receive(RequestHead(method, target, headers, "127.0.0.1", b"http"))
    assert isinstance(found, Answer)
    return found, refusals.reasons


def values(answer: Answer, name: bytes) -> list[bytes]:
    return [value for each, value in answer.headers if each == name]


@pytest.mark.parametrize("origin", [[], [ORIGIN]])
@pytest.mark.parametrize(
    ("line", "headers", "refusal"),
    [
        (("POST", ECHO + b"?x=1"), [GRPC_WEB], (400, "query")),
        (("POST", ECHO), [GRPC_WEB, GRPC_WEB], (400, "repeated_header")),
        (("POST", ECHO), [GRPC_WEB, (b"host", b"a b")], (400, "bad_host")),
        (("POST", b"/"), [GRPC_WEB], (404, "path")),
        (("GET", ECHO), [GRPC_WEB], (405, "method")),
        (("POST", ECHO), [], (415, "content_type")),
        (("POST", ECHO), [GRPC_WEB, (b"content-encoding", b"gzip")], (415, "content_encoding")),
    ],
)
def test_a_refusal_that_a_page_may_read(
    origin: Headers, line: tuple[str, bytes], headers: Headers, refusal: tuple[int, str]
) -> None:
    answer, reasons = receive(*line, [*origin, *headers])
    assert (answer.status, *reasons) == refusal
    assert values(answer, b"vary") == [b"Origin"]
    assert values(answer, b"access-control-allow-origin") == [value for _, value in origin]


@pytest.mark.parametrize("kind", [b"application/grpc", b"application/grpc+proto", b"application/grpc; x=1"])
def test_native_grpc_without_trailers_is_told_what_it_needs(kind: bytes) -> None:
    answer, reasons = receive("POST", ECHO, [(b"content-type", kind)])
    assert (answer.status, reasons) == (415, ["content_type"])
    assert b"needs HTTP/2" in answer.body
    assert answer.body.endswith(b" gRPC-Web is application/grpc-web\n")


@pytest.mark.parametrize("takes_trailers", [False, True])
def test_a_wrong_type_is_told_which_ones_there_are(takes_trailers: bool) -> None:
    reception = Reception(CorsPolicy(Cors()), Refusals())
    head = RequestHead("POST", ECHO, [(b"content-type", b"a/b")], "", b"http", takes_trailers=takes_trailers)
    answer = reception.receive(head)
    assert isinstance(answer, Answer)
    assert b"application/grpc-web" in answer.body
    assert answer.body.endswith(b" or application/grpc\n") == takes_trailers


@pytest.mark.parametrize(
    ("method", "headers", "status", "reason"),
    [
        ("POST", [ORIGIN, ORIGIN], 400, "repeated_header"),
        ("POST", [ORIGIN, FOREIGN], 400, "repeated_header"),
        ("OPTIONS", [ORIGIN, FOREIGN, PREFLIGHT], 400, "repeated_header"),
        ("POST", [FOREIGN], 403, "origin_foreign"),
        ("POST", [], 403, "origin_missing"),
        ("OPTIONS", [FOREIGN, PREFLIGHT], 403, "preflight_foreign"),
    ],
)
def test_a_refusal_for_its_origin_tells_only_that_it_varies(
    method: str, headers: Headers, status: int, reason: str
) -> None:
    answer, reasons = receive(method, ECHO, [GRPC_WEB, *headers], require_origin=True)
    assert (answer.status, reasons) == (status, [reason])
    assert values(answer, b"vary") == [b"Origin"]
    assert not [name for name, _ in answer.headers if name.startswith(b"access-control-")]


def test_a_preflight_varies_by_what_it_asks() -> None:
    answer, reasons = receive("OPTIONS", ECHO, [ORIGIN, PREFLIGHT])
    assert (answer.status, reasons) == (204, [])
    assert values(answer, b"vary") == [b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers"]


def asking_for(*names: bytes) -> Headers:
    """Of a preflight."""
    return [ORIGIN, PREFLIGHT, (b"access-control-request-headers", b",".join(names))]


def test_a_preflight_for_other_headers_is_told() -> None:
    with capture_logs() as events:
        answer, _ = receive("OPTIONS", ECHO, asking_for(b"content-type", b"x-more\x9b", b"x-tenant"))
        receive("OPTIONS", ECHO, asking_for(b"content-type", b"x-grpc-web"))
        receive("OPTIONS", ECHO, [FOREIGN, *asking_for(b"x-more")[1:]])
    assert answer.status == 204
    (event,) = events
    assert event == {
        "event": "preflight_header",
        "log_level": "debug",
        "origin": "https://page.test",
        "headers": r"x-more\x9b, x-tenant",
    }


def test_many_other_headers_are_told_in_part() -> None:
    with capture_logs() as events:
        receive("OPTIONS", ECHO, asking_for(*[b"x-%d" % number for number in range(1000)]))
    assert len(events[0]["headers"]) == 200


def test_headers_of_preflights_are_looked_at_for_debugging_only(monkeypatch: pytest.MonkeyPatch) -> None:
    def looked_at(_policy: CorsPolicy, _requested: bytes) -> list[bytes]:
        raise AssertionError("nobody wants to know")

    monkeypatch.setattr(CorsPolicy, "refused_headers", looked_at)
    before = structlog.get_config()["wrapper_class"]
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.INFO))
    try:
        answer, _ = receive("OPTIONS", ECHO, asking_for(b"x-more"))
    finally:
        structlog.configure(wrapper_class=before)
    assert answer.status == 204


def test_what_is_no_path_of_a_method_is_told_what_one_is() -> None:
    answer, _ = receive("GET", b"/", [])
    assert (answer.status, answer.body) == (404, b"not found: a call is a POST to /package.Service/Method\n")


def test_a_call_is_none_of_these() -> None:
    reception = Reception(CorsPolicy(Cors(allow_origins=("https://page.test",))), Refusals())
    found = reception.receive(RequestHead("POST", ECHO, [ORIGIN, GRPC_WEB], "127.0.0.1", b"http"))
    assert isinstance(found, CallHead)
    assert (found.path, found.origin) == (ECHO, ORIGIN[1])
    assert [value for name, value in reception.reply_head(found, []) if name == b"vary"] == [b"Origin"]
