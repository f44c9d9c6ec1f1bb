"""What keeps the corpus honest: normalisation drops nothing that counts, and no difference goes unseen."""

import pytest

from tests.envoy.backend import Arrival
from tests.envoy.compare import differ, problems
from tests.envoy.corpus.case import OVER_HTTP2, call, chunks, over_http2
from tests.envoy.differences.row import At, Right, Row, both_reach, fit
from tests.envoy.exchange import Exchange
from tests.envoy.observation import Observation, observe
from tests.envoy.script import message
from tests.support.wire import Answer

CASE = "calls/one"
CALL = over_http2(call("one"))
SEEN = {
    "backend calls": "1",
    "ended": "whole",
    "http": "200",
    "grpc-status": "0",
    "backend path": "/a/B",
    "backend te": "trailers",
}


def row(*at: At, what: str = "a row") -> Row:
    return Row(what, "", "", "", Right.BOTH, "", at)


def wrong(gateway: Observation, envoy: Observation, *rows: Row) -> list[str]:
    return problems(CASE, gateway, envoy, {"all": rows})


def test_the_same_is_no_difference() -> None:
    assert wrong(SEEN, dict(SEEN)) == []


@pytest.mark.parametrize(
    "other", [SEEN | {"http": "403"}, SEEN | {"more": "x"}, {name: SEEN[name] for name in SEEN if name != "backend te"}]
)
def test_a_difference_that_no_row_names(other: dict[str, str]) -> None:
    (told,) = wrong(SEEN, other)
    assert "no row says so" in told


def test_a_difference_that_a_row_names() -> None:
    listed = row(At("calls/*", {"http": ("200", "4*")}))
    assert wrong(SEEN, SEEN | {"http": "403"}, listed) == []
    assert "seen were '200' and '503'" in wrong(SEEN, SEEN | {"http": "503"}, listed)[0]


def test_a_difference_that_is_gone() -> None:
    (told,) = wrong(SEEN, dict(SEEN), row(At(CASE, {"http": ("200", "403")})))
    assert "says that they differ. Take 'http' or 'calls/one' out of that row" in told


def test_a_row_holds_where_it_says() -> None:
    listed = row(At("*", {"http": ("200", "403")}, when=both_reach, but=("calls/two",)))
    assert wrong(SEEN, SEEN | {"http": "403"}, listed) == []
    refused = {name: SEEN[name] for name in SEEN if name != "backend path"} | {"backend calls": "0"}
    assert "no row says so" in wrong(refused, refused | {"http": "403"}, listed)[0]
    assert "no row says so" in problems("calls/two", SEEN, SEEN | {"http": "403"}, {"all": [listed]})[0]


def test_what_a_row_says_of_a_case_holds_over_http2_save_for_the_connection() -> None:
    again = f"{CASE}{OVER_HTTP2}"
    both = {"http": ("200", "403"), "connection": ("kept", "closed")}
    refused = SEEN | {"http": "403"}
    assert problems(again, SEEN, refused, {"all": [row(At("calls/*", both))]}) == []
    assert (
        "no row says so"
        in problems(again, SEEN, refused, {"all": [row(At("calls/*", both, but=(f"*{OVER_HTTP2}",)))]})[0]
    )
    named = row(At(again, {"connection": ("-", "closed")}))
    assert "no row says so" in problems(again, SEEN, SEEN | {"connection": "closed"}, {"all": []})[0]
    assert problems(again, SEEN, SEEN | {"connection": "closed"}, {"all": [named]}) == []
    assert "says that they differ" in problems(again, SEEN, dict(SEEN), {"all": [named]})[0]
    assert not named.at[0].names(CASE)


def test_two_rows_do_not_say_the_same() -> None:
    at = At("*", {"http": ("200", "403")})
    (told,) = wrong(SEEN, SEEN | {"http": "403"}, row(at), row(at, what="another"))
    assert "listed twice" in told


def test_a_call_that_only_one_lets_through_counts_and_what_the_backend_saw_of_it_does_not() -> None:
    assert differ(SEEN, SEEN | {"backend calls": "0", "backend te": "-"}) == {"backend calls": ("1", "0")}


def test_patterns() -> None:
    assert fit(("*", "{gateway} (in the headers)"), ("7", "7 (in the headers)"))
    assert not fit(("*", "{gateway} (in the headers)"), ("7", "16 (in the headers)"))
    assert not fit(("7", "16"), ("7", "1.6"))


# --- normalisation


def answered(
    body: bytes = b"", *headers: tuple[bytes, bytes], kind: bytes = b"application/grpc-web+proto"
) -> Observation:
    answer = Answer(200, [(b"content-type", kind), *headers], [body], b"HTTP/1.1 200 OK")
    return observe(call("one"), Exchange(answer, "whole", connection="kept"), [])


def test_the_status_tells_where_it_stood() -> None:
    assert answered(message(b"grpc-status:5\r\n", flags=0x80))["grpc-status"] == "5"
    assert answered(b"", (b"grpc-status", b"5"))["grpc-status"] == "5 (in the headers)"
    assert answered(message(b"grpc-status:5\r\n", flags=0x80), (b"grpc-status", b"0"))["grpc-status"] == (
        "5, 0 (in the headers)"
    )
    assert answered(message(b"x"))["grpc-status"] == "none"


def test_messages_and_what_is_wrong_with_them() -> None:
    end = message(b"grpc-status:0\r\n", flags=0x80)
    assert answered(message(b"a") + message(b"b") + end)["messages"] == "a | b"
    assert answered(message(b"a", flags=1) + end)["messages"] == "flag 1: a"
    assert answered(end + message(b"a"))["frames"] == "messages after the trailer frame"
    assert answered(message(b"a")[:-1])["frames"] == "cut off"
    assert answered(end + end)["trailer frames"] == "2"
    assert answered(b"Q!==", kind=b"application/grpc-web-text")["frames"] == "not base64"
    assert answered(b"AAAAAAFh", kind=b"application/grpc-web-text")["messages"] == "a"


def test_native_grpc_ends_with_trailers_of_http_and_grpc_web_has_none() -> None:
    def seen(kind: bytes) -> Observation:
        answer = Answer(200, [(b"content-type", kind)], [message(b"a")], b"HTTP/2")
        return observe(CALL, Exchange(answer, "whole", connection="kept", trailers=[(b"grpc-status", b"5")]), [])

    native = seen(b"application/grpc")
    assert (native["messages"], native["grpc-status"]) == ("a", "5")
    assert "trailers of HTTP" not in native
    web = seen(b"application/grpc-web")
    assert (web["grpc-status"], web["trailers of HTTP"]) == ("none", "grpc-status: 5")


@pytest.mark.parametrize(
    ("exchange", "seen"),
    [
        (Exchange(how="no answer", connection="kept", reset="CANCEL"), {"reset": "CANCEL"}),
        (Exchange(how="no answer"), {"connection": "closed"}),
        (Exchange(how="whole"), {"connection": "closed"}),
        (Exchange(how="whole", connection="kept"), {}),
        (Exchange(how="cut off"), {}),
    ],
)
def test_a_connection_of_http2_is_told_of_when_it_is_not_kept(exchange: Exchange, seen: dict[str, str]) -> None:
    assert observe(CALL, exchange, []) == {"backend calls": "0", "ended": exchange.how} | seen


def test_a_case_over_http2_says_the_same() -> None:
    original = call("one", body=chunks(b"ab", b"c"), framed=False, add=[("transfer-encoding", "chunked"), ("X-A", "1")])
    again = over_http2(original)
    assert str(again) == f"{original}{OVER_HTTP2}"
    assert again.fields[:4] == (
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", b"/test.v1.Script/Echo"),
        (b":authority", b"gateway.test"),
    )
    assert again.fields[-1] == (b"x-a", b"1")
    assert {name for name, _ in again.fields}.isdisjoint({b"host", b"transfer-encoding"})
    assert again.pieces == (b"ab", b"c")
    assert over_http2(call("one", body=b"")).pieces == ()
    assert again.ended
    assert not over_http2(call("one", body=b"ab", framed=False, add=[("content-length", "9")])).ended


def test_what_a_page_may_read_is_what_is_there_and_exposed() -> None:
    seen = answered(b"", (b"x-own", b"1"), (b"x-hidden", b"2"), (b"access-control-expose-headers", b"x-own, x-other"))
    assert seen["metadata"] == "x-hidden: 2; x-own: 1"
    assert seen["the page may read"] == "x-own"
    assert seen["access-control-expose-headers"] == "x-other"


def test_headers_that_change_from_run_to_run_are_left_out_and_no_others() -> None:
    volatile = [
        (b"date", b"today"),
        (b"server", b"x"),
        (b"x-request-id", b"1"),
        (b"x-envoy-upstream-service-time", b"1"),
    ]
    assert answered(b"", *volatile) == answered(b"")
    assert answered(b"", (b"x-envoy-other", b"1")) != answered(b"")


def arrived(*headers: tuple[bytes, bytes]) -> Observation:
    return observe(call("one"), Exchange(), [Arrival([(b":path", b"/a/B"), *headers], ended="end")])


def test_what_the_backend_saw() -> None:
    seen = arrived(
        (b"authorization", b"Bearer secret"), (b"te", b"trailers"), (b"x-a", b"1"), (b"x-forwarded-for", b"127.0.0.1")
    )
    assert (seen["backend calls"], seen["backend path"], seen["backend te"]) == ("1", "/a/B", "trailers")
    assert (seen["backend authorization"], seen["backend metadata"]) == ("forwarded", "x-a: 1")
    assert "secret" not in str(seen)
    assert arrived((b"x-forwarded-for", b"10.0.0.1")) == arrived((b"x-forwarded-for", b"127.0.0.1"))
    assert arrived((b"x-forwarded-for", b"203.0.113.1")) != arrived((b"x-forwarded-for", b"127.0.0.1"))


@pytest.mark.parametrize(
    ("timeout", "seen"),
    [
        (b"4998m", "5 s"),
        (b"20100m", "20 s"),
        (b"2M", "120 s"),
        (b"99999u", "under 1 s"),
        (b"5s", "malformed: 5s"),
        (b"", "malformed: "),
    ],
)
def test_deadlines_lose_what_the_call_took(timeout: bytes, seen: str) -> None:
    assert arrived((b"grpc-timeout", timeout))["backend deadline"] == seen
