"""One connection to a backend: dialled with everything checked, alive while it answers, left when it is used up."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from gateway import http2
from gateway.protocol.metadata import Header
from gateway.upstream import backend_link
from gateway.upstream.backend_link import BackendLink, ConnectError, Dialling, dial
from gateway.upstream.credentials import client_context, load_credentials
from gateway.upstream.resolver import Address
from tests.support.backend_http2 import Backend, Papers, SettingCodes, backend, papers, silent
from tests.support.wire import PATIENCE
from tests.unit.upstream.caller import settings

AGENT: Header = (b"user-agent", b"test/1")


@pytest.fixture
def files(tmp_path: Path) -> Papers:
    return papers(tmp_path)


class Keeper:
    """Notes what a connection says."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def room(self) -> None:
        self.said.append("room")

    def retired(self, link: BackendLink) -> None:
        self.said.append("retired")

    def lost(self, link: BackendLink) -> None:
        self.said.append("lost")


class Stream:
    """A stream that says how it went."""

    def __init__(self) -> None:
        self.gone: list[str] = []

    def headers_received(self, headers: tuple[Header, ...], ended: bool) -> None: ...
    def data_received(self, data: bytes, ended: bool) -> None: ...
    def trailers_received(self, headers: tuple[Header, ...]) -> None: ...
    def full(self) -> None: ...
    def writable(self) -> None: ...
    def delivered(self) -> None: ...

    def closed(self, error: int, by_peer: bool) -> None:
        self.gone.append(f"closed {error}")

    def lost(self, processed: bool) -> None:
        self.gone.append("lost")


def plain(keepalive: float | None = None) -> Dialling:
    return Dialling(None, "", [(b":method", b"POST"), (b":scheme", b"http"), (b":authority", b"a")], AGENT, keepalive)


def secured(files: Papers, **changes: object) -> Dialling:
    section = settings("a.test:1", tls=files.tls(**changes))
    found = load_credentials(section)
    assert found is not None
    assert section.tls is not None
    name = section.tls.server_name or ""
    return Dialling(client_context(found, section.tls), name, [], AGENT, None)


@contextlib.asynccontextmanager
async def connected(there: Backend, dialling: Dialling, keeper: Keeper | None = None) -> AsyncIterator[BackendLink]:
    link = await dial(Address(there.host, there.port), dialling, keeper or Keeper())
    try:
        yield link
    finally:
        link.close()
        async with asyncio.timeout(PATIENCE):
            await link.closed


def open_stream(link: BackendLink) -> tuple[int, Stream]:
    stream = Stream()
    return link.open([*link.prelude, (b":path", b"/a.B/C")], stream), stream


async def news(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.005)


# --- dialling


async def test_a_backend_that_proves_its_name_sees_ours(files: Papers) -> None:
    async with backend(context=files.context()) as there, connected(there, secured(files)):
        (connection,) = there.connections
        assert connection.identities == ("gateway.test",)
        assert connection.transport.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"server_name": "other.test"}, "certificate is refused: Hostname mismatch"),
        ({"server_name": "ackend.test"}, "certificate is refused: Hostname mismatch"),
        ({"ca": "stranger.pem"}, "certificate is refused"),
        ({"ca": None}, "certificate is refused"),
        ({"certificate": None, "private_key": None}, "does it accept the gateway's certificate"),
    ],
    ids=["another name", "part of the name", "another authority", "the system's authorities", "no client certificate"],
)
async def test_a_backend_that_is_not_trusted_or_does_not_trust(
    files: Papers, changes: dict[str, str | None], problem: str
) -> None:
    if changes.get("ca"):
        (files.folder / "stranger").mkdir()
        changes = {"ca": str(papers(files.folder / "stranger").ca)}
    async with backend(context=files.context()) as there:
        with pytest.raises(ConnectError, match=problem):
            await dial(Address(there.host, there.port), secured(files, **changes), Keeper())
        assert not there.requests


@pytest.mark.parametrize("alpn", [(), ("http/1.1",)])
async def test_a_backend_that_does_not_choose_h2_is_left(files: Papers, alpn: tuple[str, ...]) -> None:
    async with backend(context=files.context(alpn=alpn)) as there:
        with pytest.raises(ConnectError, match="ALPN h2"):
            await dial(Address(there.host, there.port), secured(files), Keeper())
        await there.until(lambda: bool(there.connections) and not there.standing)


async def test_a_plaintext_backend_dialled_with_tls_and_the_reverse(files: Papers) -> None:
    async with backend() as there:
        with pytest.raises(ConnectError, match=r"TLS failed|closed"):
            await dial(Address(there.host, there.port), secured(files), Keeper())
        there.connections.clear()  # what h2 says of a TLS handshake is not the gateway's breach of HTTP/2
    async with backend(context=files.context()) as there:
        with pytest.raises(ConnectError, match=r".+"):
            await dial(Address(there.host, there.port), plain(), Keeper())


@pytest.mark.parametrize("tls", [False, True])
async def test_one_attempt_has_a_time_limit(files: Papers, tls: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody accepts the connection, and that is all."""
    monkeypatch.setattr(backend_link, "CONNECT_TIMEOUT", 0.2)
    async with backend() as there:
        there.greets = False
        started = asyncio.get_running_loop().time()
        with pytest.raises(ConnectError, match=r"no answer within 0.2 s"):
            await dial(Address(there.host, there.port), secured(files) if tls else plain(), Keeper())
        assert 0.19 < asyncio.get_running_loop().time() - started < PATIENCE
        await there.until(lambda: not there.standing)


async def test_nobody_there(tmp_path: Path) -> None:
    async with backend() as there:
        there.stop()
        with pytest.raises(ConnectError, match="refused"):
            await dial(Address(there.host, there.port), plain(), Keeper())
    with pytest.raises(ConnectError, match="No such file"):
        await dial(Address("", 0, str(tmp_path / "none")), plain(), Keeper())


@pytest.mark.parametrize("ready", [False, True])
async def test_a_dialling_that_is_cancelled_leaves_no_connection(ready: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when the connection is ready in the very turn of the loop in which nobody wants it any more."""
    settings_received = BackendLink.settings_received

    def cancel(link: BackendLink) -> None:
        settings_received(link)
        dialling.cancel()

    monkeypatch.setattr(BackendLink, "settings_received", cancel)
    async with backend() as there:
        there.greets = False
        dialling = asyncio.create_task(dial(Address(there.host, there.port), plain(), Keeper()))
        await there.until(lambda: bool(there.connections) and bool(there.connections[0].heard))
        if ready:
            there.connections[0].greet()
        else:
            dialling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await dialling
        await there.until(lambda: not there.standing)


# --- alive


async def test_a_quiet_connection_with_a_call_is_pinged_and_given_up_without_an_answer() -> None:
    async with backend(silent) as there, connected(there, plain(keepalive=100.0)) as link:
        _, stream = open_stream(link)
        (request,) = await there.arrivals(1)
        (connection,) = there.connections
        link.heard_at = now = link.now - 1000
        link.tick(now + 99)
        link.tick(now + 101)
        await there.until(lambda: connection.pings == 1)
        await news(lambda: link.heard_at > now)  # the answer
        now = link.heard_at
        link.tick(now + 1)
        link.tick(now + 99)
        assert connection.pings == 1
        connection.answers_pings = False
        link.tick(now + 101)
        await there.until(lambda: connection.pings == 2)
        link.tick(now + 101 + http2.wire.PING_TIMEOUT - 1)
        assert not link.closed.done()
        link.tick(now + 101 + http2.wire.PING_TIMEOUT + 1)
        await asyncio.wait_for(link.closed, PATIENCE)
        assert stream.gone == ["lost"]
        await there.until(lambda: request.over)


async def test_a_connection_without_calls_is_not_pinged() -> None:
    """gRPC's servers take it for abuse (keepalive.md, `permit_keepalive_without_calls`)."""
    async with backend(silent) as there, connected(there, plain(keepalive=10.0)) as link:
        for each in range(1, 20):
            link.tick(link.heard_at + 11 * each)
        await all_read(there, link)
        assert there.connections[0].pings == 0
        assert not link.closed.done()


async def test_without_a_keepalive_there_is_no_ping() -> None:
    async with backend(silent) as there, connected(there, plain(keepalive=None)) as link:
        open_stream(link)
        await there.arrivals(1)
        link.tick(link.heard_at + 1e6)
        await all_read(there, link)
        assert there.connections[0].pings == 0


async def all_read(there: Backend, link: BackendLink) -> None:
    """Return once the backend has read all that was sent."""
    before = len(there.requests)
    open_stream(link)
    await there.arrivals(before + 1)


async def test_a_backend_that_no_longer_reads_is_given_up() -> None:
    """It may say much; what it must take does not leave."""
    most = {SettingCodes.INITIAL_WINDOW_SIZE: 2**28}
    async with backend(silent, settings=most) as there, connected(there, plain()) as link:
        number, stream = open_stream(link)
        await there.arrivals(1)
        (connection,) = there.connections
        connection.widen(2**28)
        await all_read(there, link)
        connection.stop_reading()
        later = link.now
        for _ in range(500):
            link.send(number, bytes(256 * 1024))
            await asyncio.sleep(0)
            if link.stuck_for(link.now + 1) > 0:
                break
        await asyncio.sleep(0.05)  # the sockets between are full
        for seconds in (1, backend_link.STUCK_TIMEOUT - 1):
            link.tick(later + seconds)
        assert not link.closed.done()
        link.tick(link.now + 1)
        link.tick(link.now + backend_link.STUCK_TIMEOUT + 2)
        await asyncio.wait_for(link.closed, PATIENCE)
        assert stream.gone == ["lost"]


# --- used up


async def test_room_is_what_the_backend_says() -> None:
    keeper = Keeper()
    limit = {SettingCodes.MAX_CONCURRENT_STREAMS: 2}
    async with backend(silent, settings=limit) as there, connected(there, plain(), keeper) as link:
        assert link.has_room
        number, _ = open_stream(link)
        assert link.has_room
        open_stream(link)
        assert not link.has_room
        assert link.load == 2
        requests = await there.arrivals(2)
        there.connections[0].announce({SettingCodes.MAX_CONCURRENT_STREAMS: 3})
        await news(lambda: link.max_streams == 3)
        assert link.has_room
        keeper.said.clear()
        requests[0].rst(8)
        await news(lambda: link.load == 1)
        assert keeper.said == ["room"]
        assert number == 1


async def test_a_connection_that_is_retired_takes_nothing_new_and_closes_with_its_last_call() -> None:
    keeper = Keeper()
    async with backend(silent) as there, connected(there, plain(), keeper) as link:
        _, stream = open_stream(link)
        (request,) = await there.arrivals(1)
        link.retire()
        link.retire()
        assert not link.has_room
        assert keeper.said.count("retired") == 1
        assert not there.connections[0].closed
        request.rst(8)
        await asyncio.wait_for(link.closed, PATIENCE)
        assert stream.gone == ["closed 8"]
        assert keeper.said.count("lost") == 1
        await there.until(lambda: there.connections[0].closed)
        assert there.connections[0].goaway == (0, 0)  # it says goodbye


async def test_a_connection_that_is_lost_tells_its_keeper_once_and_every_stream() -> None:
    keeper = Keeper()
    async with backend(silent) as there, connected(there, plain(), keeper) as link:
        streams = [open_stream(link)[1] for _ in range(3)]
        await there.arrivals(3)
        keeper.said.clear()
        there.connections[0].abort()
        await asyncio.wait_for(link.closed, PATIENCE)
        assert keeper.said == ["retired", "lost"]
        assert [stream.gone for stream in streams] == [["lost"]] * 3


async def test_a_connection_whose_numbers_end_is_retired(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend_link, "LAST_STREAM", 5)
    async with backend(silent) as there, connected(there, plain()) as link:
        assert [open_stream(link)[0] for _ in range(3)] == [1, 3, 5]
        assert not link.has_room
        assert len(await there.arrivals(3)) == 3


async def test_a_connection_that_is_closing_opens_nothing() -> None:
    async with backend(silent) as there, connected(there, plain()) as link:
        link.close()
        assert open_stream(link)[0] == 0
        assert link.retired
        await there.until(lambda: not there.standing)


async def test_a_connection_that_has_lost_its_window_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a caller has not consumed is not lost; what nobody owes and the engine has never given back is."""
    keeper = Keeper()
    monkeypatch.setattr(backend_link, "CONNECTION_WINDOW", 400_000)
    async with backend(silent) as there, connected(there, plain(), keeper) as link:
        number, _ = open_stream(link)
        link.hold(number)
        (request,) = await there.arrivals(1)
        request.head()
        await request.send(bytes(350_000))
        await news(lambda: link.unacknowledged == 350_000)
        link.tick(link.now)
        assert not link.retired
        link._held.clear()
        link.tick(link.now)
        assert link.retired
        assert keeper.said.count("retired") == 1
        assert not link.closed.done()
        link.reset(number, 8)
        await asyncio.wait_for(link.closed, PATIENCE)
