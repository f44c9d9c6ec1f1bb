"""How a call over HTTP/2 ends: what each reset, status and trailer of a backend means."""

from collections.abc import Callable

import pytest

from gateway.http2 import STREAM_WINDOW
from gateway.protocol.status import Status
from gateway.upstream.http_reply import MAX_TEXT
from tests.support.backend_http2 import ErrorCodes, Request, backend, ok
from tests.support.frames import message
from tests.unit.upstream.caller import Caller, call, nothing_open, upstream_to

REFUSED = ErrorCodes.REFUSED_STREAM
OK = (b"grpc-status", b"0")
MIB = 1024 * 1024


async def reply_of(answer: Callable[[Request], None], body: bytes | None = None, *, end: bool = True) -> Caller:
    """The call that the backend answers at once."""

    async def at_once(request: Request) -> None:
        answer(request)

    async with backend(at_once) as there, upstream_to(there) as upstream:
        caller = call(upstream, body, end=end)
        await caller.end()
        await nothing_open(upstream)
        assert len(there.requests) == 1
        return caller


@pytest.mark.parametrize(
    ("error", "code"),
    [(0, 13), (1, 13), (2, 13), (3, 13), (4, 13), (5, 13), (6, 13), (8, 1), (9, 13), (10, 13), (11, 8), (12, 7),
     (13, 13), (0xDEAD, 13)],
)  # fmt: skip
@pytest.mark.parametrize("late", [False, True])
async def test_a_reset(error: int, code: int, late: bool) -> None:
    async def reset(request: Request) -> None:
        if late:
            request.head()
            await request.send(message(b"m"))
        request.rst(error)

    async with backend(reset) as there, upstream_to(there) as upstream:
        caller = call(upstream)
        assert (await caller.end()).code == code
        assert caller.data == (message(b"m") if late else b"")
        assert len(there.requests) == 1


async def test_refused_after_the_head_is_unavailable_and_not_sent_again() -> None:
    def refuse(request: Request) -> None:
        request.head()
        request.rst(REFUSED)

    assert (await reply_of(refuse)).status == Status(14, "the backend broke off the call")


@pytest.mark.parametrize(
    ("http", "code"),
    [(400, 13), (401, 16), (403, 7), (404, 12), (418, 2), (429, 14), (500, 2), (502, 14), (503, 14), (504, 14)],
)
@pytest.mark.parametrize("alone", [False, True])
async def test_an_http_status(http: int, code: int, alone: bool) -> None:
    def page(request: Request) -> None:
        if alone:
            request.alone(status=http, kind=b"text/html")
        else:
            request.head(status=http, kind=b"text/html")
            request.connection.h2.send_data(request.id, b"<h1>no</h1>", end_stream=True)
            request.connection.flush()

    caller = await reply_of(page)
    assert caller.status is not None
    assert caller.status.code == code
    assert str(http) in caller.status.message
    assert caller.status.message.endswith("" if alone else ": <h1>no</h1>")
    assert (caller.head, caller.data) == (None, b"")


@pytest.mark.parametrize(
    ("kind", "code"),
    [(b"application/grpc", 0), (b"application/grpc+proto", 0), (b"application/grpc; charset=utf-8", 0),
     (b"text/html", 2), (b"application/json", 2), (None, 2)],
)  # fmt: skip
async def test_the_content_type_of_a_reply(kind: bytes | None, code: int) -> None:
    def answer(request: Request) -> None:
        request.head(kind=kind)
        request.trailers(OK)

    assert (await reply_of(answer)).status.code == code  # type: ignore[union-attr]


async def test_a_grpc_status_counts_more_than_an_http_status() -> None:
    def answer(request: Request) -> None:
        request.alone((b"grpc-status", b"16"), (b"grpc-message", b"who"), status=401)

    assert (await reply_of(answer)).status == Status(16, "who")


async def test_a_reply_that_is_trailers_alone() -> None:
    def answer(request: Request) -> None:
        request.alone((b"grpc-status", b"5"), (b"grpc-message", b"no%20such%0Athing"), (b"x-why", b"gone"))

    caller = await reply_of(answer)
    assert (caller.head, caller.status, caller.trailers) == (None, Status(5, "no such\nthing"), [(b"x-why", b"gone")])


@pytest.mark.parametrize("end", ["trailers", "data", "head"])
async def test_a_reply_without_a_status(end: str) -> None:
    def answer(request: Request) -> None:
        if end == "head":
            request.alone((b"x-a", b"1"))
            return
        request.head()
        if end == "data":
            request.connection.h2.send_data(request.id, message(b"m"), end_stream=True)
            request.connection.flush()
        else:
            request.trailers((b"x-late", b"1"))

    caller = await reply_of(answer)
    assert caller.status is not None
    assert caller.status.code == 2
    assert caller.data == (message(b"m") if end == "data" else b"")


@pytest.mark.parametrize("value", [b"x", b"-1", b"", b"0x1", b"99999999999999999999"])
async def test_a_status_that_is_no_number_is_unknown(value: bytes) -> None:
    def answer(request: Request) -> None:
        request.head()
        request.trailers((b"grpc-status", value))

    assert (await reply_of(answer)).status.code == 2  # type: ignore[union-attr]


async def test_metadata_is_cleaned_at_both_ends_of_the_reply() -> None:
    metadata = [
        (b"x-two", b"a"), (b"server", b"secret/1"), (b"date", b"today"), (b"access-control-allow-origin", b"*"),
        (b"content-encoding", b"br"), (b"alt-svc", b"h3"), (b"x-two", b"b"), (b"www-authenticate", b"Bearer"),
        (b"x-padded-bin", b"AA=="), (b"x-list-bin", b"AP8,Zg"), (b"x-broken-bin", b"*"), (b"x-latin", b"gr\xfcn"),
    ]  # fmt: skip
    clean = [
        (b"x-two", b"a"), (b"x-two", b"b"), (b"www-authenticate", b"Bearer"), (b"x-padded-bin", b"AA"),
        (b"x-list-bin", b"AP8"), (b"x-list-bin", b"Zg"), (b"x-latin", b"gr\xfcn"),
    ]  # fmt: skip
    details = (b"grpc-status-details-bin", b"CAU=")

    def answer(request: Request) -> None:
        request.head(*metadata)
        request.trailers((b"grpc-status", b"9"), (b"grpc-message", b"m"), details, *metadata)

    caller = await reply_of(answer)
    assert (caller.head, caller.trailers) == (clean, clean)
    assert caller.status == Status(9, "m", b"\x08\x05")


async def test_the_body_of_an_http_error_is_read_no_further_than_a_message() -> None:
    async def talk(request: Request) -> None:
        request.head(status=500, kind=b"text/plain")
        await request.send("ü".encode() * MIB)

    async with backend(talk) as there, upstream_to(there) as upstream:
        caller = call(upstream)
        status = await caller.end()
        assert status.code == 2
        assert "ü" in status.message
        assert len(status.message) <= MAX_TEXT + 100
        (request,) = there.requests
        await there.until(lambda: request.over)  # and the backend is told to stop
        assert request.sent <= STREAM_WINDOW
        await nothing_open(upstream)
        assert (await call(upstream, path=b"/test.v1.Test/Again").end()).code == 2  # on the same connection
        assert len(there.connections) == 1


async def test_a_reply_before_the_request_has_ended_closes_the_stream() -> None:
    def refuse(request: Request) -> None:
        request.alone((b"grpc-status", b"7"))

    caller = await reply_of(refuse, message(b"half"), end=False)
    assert caller.status == Status(7)


@pytest.mark.parametrize(("count", "code"), [(40, 0), (60, 8), (400, 8)])
@pytest.mark.parametrize("at_the_end", [False, True])
async def test_much_metadata_is_between_the_caller_and_its_backend(count: int, code: int, at_the_end: bool) -> None:
    """Up to 48 KB pass, more fail the call; the other calls on the connection go on in either case."""
    metadata = [(b"x-%d" % each, b"x" * 1000) for each in range(count)]

    async def answer(request: Request) -> None:
        if request.fields[b":path"] == b"/test.v1.Test/Large":
            request.head(*([] if at_the_end else metadata))
            request.trailers(OK, *(metadata if at_the_end else []))
        else:
            await ok(request)

    async with backend(answer) as there, upstream_to(there) as upstream:
        large = call(upstream, path=b"/test.v1.Test/Large")
        assert (await large.end()).code == code
        if not code:
            assert (large.trailers if at_the_end else large.head) == metadata
        assert await call(upstream).end() == Status(0)
        await nothing_open(upstream)
        assert len(there.connections) == 1
