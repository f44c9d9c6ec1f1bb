"""Which front a connection belongs to."""

import asyncio
from dataclasses import dataclass
from functools import partial

import pytest

from gateway.front import switch
from gateway.front.census import Census
from gateway.front.switch import PREFACE, Switch, Switchboard
from tests.support.memory import MemoryTransport


class Front(asyncio.Protocol):
    """Counts its connection, as a front does, and keeps what it reads."""

    def __init__(self, name: str, census: Census) -> None:
        self.name = name
        self.census = census
        self.seen = b""
        self.transport: asyncio.BaseTransport | None = None
        self.drained = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert not self.seen
        self.transport = transport
        self.census.connected()

    def data_received(self, data: bytes) -> None:
        assert self.transport is not None
        self.seen += data

    def drain(self) -> None:
        assert not self.seen  # so that the first request is known for the last
        self.drained = True

    def connection_lost(self, exc: Exception | None) -> None:
        self.census.disconnected()


@dataclass
class Tls:
    """An SSL object."""

    chosen: str | None

    def selected_alpn_protocol(self) -> str | None:
        return self.chosen


@pytest.fixture
def census() -> Census:
    return Census(10)


@pytest.fixture
def board(census: Census) -> Switchboard:
    return Switchboard(partial(Front, "http1", census), partial(Front, "http2", census), census)


def connected(board: Switchboard, tls: Tls | None = None) -> MemoryTransport:
    transport = MemoryTransport(**({} if tls is None else {"ssl_object": tls}))
    transport.connect(board())
    return transport


def receive(transport: MemoryTransport, data: bytes) -> None:
    protocol = transport.get_protocol()
    assert isinstance(protocol, asyncio.Protocol)
    protocol.data_received(data)


def front(transport: MemoryTransport) -> tuple[str, bytes]:
    """Where the connection is, and what was read there."""
    made = protocol(transport)
    assert made.transport is transport
    return made.name, made.seen


def protocol(transport: MemoryTransport) -> Front:
    made = transport.get_protocol()
    assert isinstance(made, Front)
    return made


@pytest.mark.parametrize(("chosen", "name"), [("h2", "http2"), ("http/1.1", "http1"), (None, "http1")])
async def test_over_tls_alpn_has_settled_it(board: Switchboard, census: Census, chosen: str | None, name: str) -> None:
    transport = connected(board, Tls(chosen))
    assert front(transport) == (name, b"")
    assert census.connections == 1
    receive(transport, PREFACE)  # whatever comes
    assert front(transport) == (name, PREFACE)
    assert not board.waiting
    transport.close()
    await asyncio.sleep(0)
    assert census.connections == 0


@pytest.mark.parametrize("size", [1, 2, 7, 23, 24, 1000])
async def test_the_preface_is_http2_in_any_split(board: Switchboard, census: Census, size: int) -> None:
    transport, sent = connected(board), PREFACE + b"and what follows"
    for start in range(0, len(sent), size):
        assert census.connections == 1
        receive(transport, sent[start : start + size])
    assert front(transport) == ("http2", sent)
    assert census.connections == 1


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\n",
        b"POST /a.B/C HTTP/1.1\r\n",  # begins as the preface does
        b"PRI * HTTP/1.1\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\r",
        b"pri * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01",
        b"\r\n",
    ],
)
@pytest.mark.parametrize("size", [1, 1000])
async def test_whatever_else_is_http1(board: Switchboard, census: Census, sent: bytes, size: int) -> None:
    transport = connected(board)
    for start in range(0, len(sent), size):
        receive(transport, sent[start : start + size])
    assert front(transport) == ("http1", sent)
    assert (census.connections, board.waiting) == (1, set())


async def test_who_says_nothing_is_let_go(board: Switchboard, census: Census, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(switch, "FIRST_BYTES_TIMEOUT", 0.02)
    silent, slow = connected(board), connected(board)
    receive(slow, PREFACE[:-1])
    assert (census.connections, len(board.waiting)) == (2, 2)
    await asyncio.sleep(0.05)
    assert silent.aborted
    assert slow.aborted
    assert (census.connections, board.waiting) == (0, set())


async def test_who_has_said_enough_is_not_let_go(board: Switchboard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(switch, "FIRST_BYTES_TIMEOUT", 0.02)
    one, two, secure = connected(board), connected(board), connected(board, Tls("h2"))
    receive(one, PREFACE)
    receive(two, b"G")
    await asyncio.sleep(0.05)
    assert [each.aborted for each in (one, two, secure)] == [False] * 3


async def test_who_leaves_without_a_word_is_no_longer_counted(board: Switchboard, census: Census) -> None:
    transport = connected(board)
    receive(transport, b"P")
    transport.abort()
    await asyncio.sleep(0)
    assert (census.connections, board.waiting) == (0, set())


async def test_one_connection_too_many(board: Switchboard, census: Census) -> None:
    for _ in range(10):
        connected(board)
    last = connected(board)
    assert last.aborted
    await asyncio.sleep(0)
    assert census.connections == 10


async def test_at_the_end_those_who_said_nothing_are_dropped(board: Switchboard, census: Census) -> None:
    silent, speaking = connected(board), connected(board)
    receive(speaking, b"G")
    board.close()
    assert silent.aborted
    assert not speaking.aborted
    await asyncio.sleep(0)
    assert (census.connections, board.waiting) == (1, set())


async def test_who_is_dismissed_may_say_one_thing_soon(
    board: Switchboard, census: Census, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(switch, "DRAIN_NOTICE", 0.05)
    silent, slow, speaking, other = (connected(board) for _ in range(4))
    receive(slow, PREFACE[:-1])
    for _ in range(2):
        board.dismiss(lambda transport: transport is not other)
        await asyncio.sleep(0.03)
        receive(speaking, b"G")
    assert (silent.aborted, slow.aborted) == (True, True)  # a second time is no more time
    assert front(speaking) == ("http1", b"GG")
    receive(other, PREFACE)
    assert [(protocol(each).drained, each.aborted) for each in (speaking, other)] == [(True, False), (False, False)]
    await asyncio.sleep(0)
    assert (census.connections, board.waiting) == (2, set())


async def test_half_a_connection_is_none(board: Switchboard) -> None:
    transport = connected(board)
    protocol = transport.get_protocol()
    assert isinstance(protocol, Switch)
    assert not protocol.eof_received()
