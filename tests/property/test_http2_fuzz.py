"""Both ends of the gateway over spoilt HTTP/2: nothing is raised, a call ends once or stays open, nothing is left."""

import asyncio
from collections.abc import Coroutine, Iterator, Sequence
from typing import Any, TypeVar

import h2.config
import h2.connection
import hpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from gateway.protocol.metadata import Headers
from tests.support.frames_http2 import PREFACE, SETTINGS_ACK, goaway
from tests.support.http2 import DATA, HEADERS, RST_STREAM, head
from tests.support.mutations import Change, Edit, changed, changes, cut, cuts, edited, edits, frames_of
from tests.support.worlds import BACK_ACTS, FRONT_ACTS, MESSAGE, ORIGIN, REPLY, Back, Front, feed, turn

T = TypeVar("T")

thorough = settings(max_examples=1000, deadline=None)
quick = settings(max_examples=60, deadline=None)


class Runner:
    """One loop for all examples. What is raised in its callbacks fails the example too."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.loop.set_exception_handler(lambda _, context: self._problems.append(context))
        self._problems: list[dict[str, Any]] = []

    def __call__(self, example: Coroutine[Any, Any, T]) -> T:
        result = self.loop.run_until_complete(example)
        problems, self._problems = self._problems, []
        if problems:
            raise problems[0].get("exception") or AssertionError(problems[0])
        return result


@pytest.fixture(scope="module")
def run() -> Iterator[Runner]:
    runner = Runner()
    with capture_logs():
        yield runner
    runner.loop.close()


# --- what is recorded


def from_browser(*, indexed: bool) -> bytes:
    """What a browser sends with five calls, a preflight, a page that is not there, and some talk about windows."""
    client = h2.connection.H2Connection(h2.config.H2Configuration(validate_outbound_headers=False))

    def send(headers: Headers, *parts: bytes, trailers: Headers | None = None, end: bool = True) -> int:
        stream = client.get_next_available_stream_id()
        pairs = headers if indexed else [hpack.NeverIndexedHeaderTuple(*pair) for pair in headers]
        client.send_headers(stream, pairs, end_stream=not parts)
        for part in parts:
            client.send_data(stream, part, end_stream=end and part is parts[-1] and trailers is None)
        if trailers is not None:
            client.send_headers(stream, trailers, end_stream=True)
        return stream

    web, native = ("content-type", "application/grpc-web+proto"), ("content-type", "application/grpc")
    text, origin = ("content-type", "application/grpc-web-text"), ("origin", ORIGIN)
    path = "/test.v1.Test/Do"
    client.initiate_connection()
    client.update_settings({4: 100})
    send(head(path, web, origin), MESSAGE)
    send(head(path, text, origin), b"AAAA", b"AAVoZWxsbw==")
    send(head(path, native, origin, ("te", "trailers")), MESSAGE[:3], MESSAGE[3:] + MESSAGE, b"")
    client.ping(b"12345678")
    send(head(path, ("access-control-request-method", "POST"), origin, method="OPTIONS"))
    send(head("/nothing", method="GET"))
    client.increment_flow_control_window(50_000)
    waiting = send(head(path, web, origin), MESSAGE, MESSAGE, trailers=[(b"x-late", b"1")])
    client.prioritize(waiting + 8, weight=3)
    gone = send(head(path, web, origin), MESSAGE, b"\0", b"\0", end=False)
    client.increment_flow_control_window(1000, gone)
    client.reset_stream(gone, 8)
    send(head(path, web, ("origin", "https://other.test")), MESSAGE)
    client.update_settings({4: 60_000})
    return client.data_to_send() + SETTINGS_ACK + goaway()


async def from_backend(*, indexed: bool) -> bytes:
    """What a backend answers to the three calls: a reply, an HTTP error, a reply before the request has ended."""
    back = Back()
    await turn()
    server = h2.connection.H2Connection(
        h2.config.H2Configuration(client_side=False, validate_outbound_headers=False, header_encoding=None)
    )
    server.initiate_connection()
    server.receive_data(b"".join(back.transport.writes))

    def send(stream: int, *fields: tuple[bytes, bytes], end: bool = False) -> None:
        server.send_headers(
            stream, fields if indexed else [hpack.NeverIndexedHeaderTuple(*pair) for pair in fields], end_stream=end
        )

    ok, kind = (b":status", b"200"), (b"content-type", b"application/grpc")
    send(1, ok, kind, (b"x-a", b"1"))
    server.ping(b"12345678")
    server.send_data(1, REPLY[:7])
    send(3, (b":status", b"103"), (b"link", b"</a>"))
    server.send_data(1, REPLY[7:] + REPLY, pad_length=9)
    server.increment_flow_control_window(100_000)
    server.increment_flow_control_window(1000, 3)
    send(3, (b":status", b"503"), (b"content-type", b"text/plain"))
    send(1, (b"grpc-status", b"0"), (b"x-b", b"2"), end=True)
    server.send_data(3, b"not now", end_stream=True)
    send(5, ok, kind)
    server.update_settings({4: 100_000, 3: 2})
    server.send_data(5, REPLY)
    send(5, (b"grpc-status", b"5"), (b"grpc-message", b"nothing there"), end=True)
    answers = server.data_to_send() + goaway(0, 2**31 - 1)
    back.transport.abort()
    await turn()
    return answers


BROWSER = {indexed: frames_of(from_browser(indexed=indexed)[len(PREFACE) :]) for indexed in (False, True)}
BACKEND = {indexed: frames_of(asyncio.run(from_backend(indexed=indexed))) for indexed in (False, True)}
both = st.booleans()


# --- whole and spoilt


def answers(writes: bytes) -> dict[int, tuple[Headers, bytes]]:
    """Headers and data that were sent on each stream; the date is another matter."""
    decoder, found = hpack.Decoder(), dict[int, tuple[Headers, bytes]]()
    for frame in frames_of(writes):
        stream, payload = int.from_bytes(frame[5:9], "big"), frame[9:]
        fields, data = found.get(stream, ([], b""))
        if frame[3] == HEADERS:
            pairs = [(bytes(name), bytes(value)) for name, value in decoder.decode(payload, raw=True)]
            found[stream] = fields + [pair for pair in pairs if pair[0] != b"date"], data
        elif frame[3] == DATA:
            found[stream] = fields, data + payload
        elif frame[3] == RST_STREAM:
            found[stream] = fields, data + b"!" + payload
    return found


async def whole_of_browser(chunks: list[bytes]) -> tuple[list[object], ...]:
    """Of each call: what the road, the backend and the browser saw; then what else the browser got."""
    front = Front()
    await feed(front, chunks)
    said = answers(b"".join(front.transport.writes))
    return (
        [(call.head.path, None if call.status is None else call.status.code) for call in front.census.all],
        [(backend.received, backend.ended, backend.cancelled) for backend in front.opened],
        [(stream, *said[stream]) for stream in sorted(said)],
    )


async def whole_of_backend(chunks: list[bytes]) -> tuple[list[object], ...]:
    back = Back()
    await feed(back, chunks)
    return tuple([road.down.heads, b"".join(road.down.chunks), road.call.status] for road in back.roads)


@pytest.mark.parametrize("indexed", [False, True])
def test_the_recordings_are_what_they_should_be(run: Runner, indexed: bool) -> None:
    """Or else there would be nothing to spoil."""
    path = b"/test.v1.Test/Do"
    calls, backends, said = run(whole_of_browser([PREFACE + b"".join(BROWSER[indexed])]))
    assert calls == [(path, 0), (path, 0), (path, 0), (path, 0), (path, 1)]
    bodies = [MESSAGE, MESSAGE, MESSAGE * 2, MESSAGE * 2, MESSAGE + b"\0\0"]
    assert backends == [(body, body is not bodies[-1], body is bodies[-1]) for body in bodies]
    assert [each[1][0][1] for each in said if each[1]] == [b"200"] * 3 + [b"204", b"404", b"200", b"403"]  # type: ignore[index]
    replies = run(whole_of_backend([b"".join(BACKEND[indexed])]))
    assert [status.code for _, _, status in replies] == [0, 14, 5]  # type: ignore[attr-defined]


@given(both, cuts)
@quick
def test_how_it_is_cut_makes_no_difference(run: Runner, indexed: bool, places: list[int]) -> None:
    for whole_of, stream in (
        (whole_of_browser, PREFACE + b"".join(BROWSER[indexed])),
        (whole_of_backend, b"".join(BACKEND[indexed])),
    ):
        whole = run(whole_of([stream]))
        assert run(whole_of(cut(stream, places))) == whole


@pytest.mark.parametrize("indexed", [False, True])
def test_byte_by_byte_makes_no_difference(run: Runner, indexed: bool) -> None:
    for whole_of, stream in (
        (whole_of_browser, PREFACE + b"".join(BROWSER[indexed])),
        (whole_of_backend, b"".join(BACKEND[indexed])),
    ):
        whole = run(whole_of([stream]))
        assert run(whole_of([bytes((byte,)) for byte in stream])) == whole


def spoilt_browser(indexed: bool, by: list[Change], edit: list[Edit], places: list[int]) -> list[bytes]:
    return cut(edited(PREFACE + b"".join(changed(BROWSER[indexed], by)), edit), places)


def spoilt_backend(indexed: bool, by: list[Change], edit: list[Edit], places: list[int]) -> list[bytes]:
    return cut(edited(b"".join(changed(BACKEND[indexed], by)), edit), places)


def some(acts: Sequence[str]) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(acts), max_size=12)


@given(st.builds(spoilt_browser, both, changes, edits, cuts), some(FRONT_ACTS))
@thorough
def test_a_browser_may_send_anything(run: Runner, chunks: list[bytes], acts: list[str]) -> None:
    async def example() -> None:
        await feed(Front(), chunks, acts)

    run(example())


@given(st.builds(spoilt_backend, both, changes, edits, cuts), some(BACK_ACTS))
@thorough
def test_a_backend_may_send_anything(run: Runner, chunks: list[bytes], acts: list[str]) -> None:
    async def example() -> None:
        await feed(Back(), chunks, acts)

    run(example())
