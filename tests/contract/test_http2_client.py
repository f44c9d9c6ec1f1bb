"""The tests' own HTTP/2 client: it shows what it is sent, and finds a peer out that breaks the protocol."""

import asyncio
import contextlib
import ssl
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.protocol.metadata import Header
from tests.support.certificates import authority, leaf, write_pair
from tests.support.frames_http2 import PREFACE, block, data, goaway, headers, ping, reset, settings
from tests.support.http2 import (
    ACK,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PING,
    SETTINGS,
    WINDOW_UPDATE,
    GoAway,
    SettingCodes,
    connect,
    head,
)

STATUS: Header = (b":status", b"200")
GRPC_HEAD = block([STATUS, (b"content-type", b"application/grpc")])
HEAD = headers(1, GRPC_HEAD)
TRAILERS = headers(1, block([(b"grpc-status", b"0")]), end=True)


class Peer:
    """Says what it is told when the first stream is opened, and keeps the frames that it is sent."""

    def __init__(self, *words: bytes, hello: bytes = settings(), leaves: bool = False) -> None:
        self.words, self.hello, self.leaves = words, hello, leaves
        self.frames: list[tuple[int, int, int, bytes]] = []
        self.news = asyncio.Event()

    @contextlib.asynccontextmanager
    async def serve(self, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            assert await reader.readexactly(len(PREFACE)) == PREFACE
            writer.write(self.hello)
            while True:
                start = await reader.readexactly(9)
                payload = await reader.readexactly(int.from_bytes(start[:3], "big"))
                self.frames.append((start[3], start[4], int.from_bytes(start[5:], "big"), payload))
                self.news.set()
                if start[3] == HEADERS:
                    writer.write(b"".join(self.words))
                    if self.leaves:
                        break
        writer.close()

    async def got(self, kind: int, count: int = 1) -> list[tuple[int, int, int, bytes]]:
        """The frames of that type, once there are `count` of them."""
        async with asyncio.timeout(5):
            while len(found := [each for each in self.frames if each[0] == kind]) < count:
                self.news.clear()
                await self.news.wait()
        return found


async def test_an_answer_is_shown_as_it_came() -> None:
    hint = headers(1, block([(b":status", b"103"), (b"link", b"</x>")]))
    peer = Peer(hint, HEAD, data(1, b"ab"), data(1), data(1, b"c"), TRAILERS)
    async with peer.serve() as port, connect(port) as client:
        stream = await client.request(head("/a/b"))
        await stream.response()
        assert stream.informational == [[(b":status", b"103"), (b"link", b"</x>")]]
        assert stream.headers == [(b":status", b"200"), (b"content-type", b"application/grpc")]
        assert (stream.status, stream.chunks, stream.data) == (200, [b"ab", b"", b"c"], b"abc")
        assert (stream.trailers, stream.reset) == ([(b"grpc-status", b"0")], None)


async def test_a_reset_and_a_goaway_are_shown_and_other_streams_go_on() -> None:
    peer = Peer(HEAD, goaway(last=1, text=b"bye"), data(1, b"x"), reset(1, 8))
    async with peer.serve() as port, connect(port) as client:
        stream = await client.request(head("/a/b"))
        await stream.response()
        assert client.goaway == GoAway(1, 0, b"bye")
        assert (stream.data, stream.ended, stream.reset) == (b"x", False, 8)


@pytest.mark.parametrize(
    "words",
    [
        [HEAD, TRAILERS, data(1, b"late")],
        [HEAD, TRAILERS, HEAD],
        [data(1, b"no head")],
        [HEAD, data(1, bytes(16_385))],
        [headers(3, GRPC_HEAD)],
        [headers(1, block([STATUS, (b"connection", b"close")]))],
        [headers(1, block([STATUS, (b"X-Upper", b"1")]))],
        [headers(1, GRPC_HEAD, more=True), ping()],
    ],
)
async def test_a_peer_that_breaks_the_protocol_fails_the_test(words: list[bytes]) -> None:
    async def meet() -> None:
        async with Peer(*words).serve() as port, connect(port) as client:
            await client.request(head("/a/b"))
            await client.until_closed()

    with pytest.raises(AssertionError, match="broke the protocol"):
        await meet()


async def test_no_wait_is_for_ever() -> None:
    async with Peer(HEAD).serve() as port, connect(port) as client:
        stream = await client.request(head("/a/b"))
        for wait in (stream.response(0.05), client.ping(seconds=0.05), client.until_closed(0.05)):
            with pytest.raises(TimeoutError, match="the last events"):
                await wait


async def test_a_connection_that_is_lost_ends_every_wait() -> None:
    async with Peer(HEAD, leaves=True).serve() as port, connect(port) as client:
        stream = await client.request(head("/a/b"), end=False)
        with pytest.raises(ConnectionError):
            await stream.response()
        assert stream.over


async def test_windows_open_when_a_test_opens_them() -> None:
    small = {SettingCodes.INITIAL_WINDOW_SIZE: 3}
    peer = Peer(HEAD, data(1, b"abc"))
    async with peer.serve() as port, connect(port, settings=small) as client:
        stream = await client.request(head("/a/b"))
        assert await stream.received(3) == b"abc"
        await stream.open_window(2)
        await client.open_window(1)
        updates = [each[2:] for each in await peer.got(WINDOW_UPDATE, 2)]
        assert updates == [(1, bytes([0, 0, 0, 2])), (0, bytes([0, 0, 0, 1]))]
        (_, _, _, first), *_ = await peer.got(SETTINGS)
        assert struct.pack(">HI", SettingCodes.INITIAL_WINDOW_SIZE, 3) in first


async def test_data_waits_for_the_peers_windows() -> None:
    peer = Peer(hello=settings((SettingCodes.INITIAL_WINDOW_SIZE, 3)))
    async with peer.serve() as port, connect(port) as client:
        stream = await client.request(head("/a/b"), end=False)
        sending = asyncio.create_task(stream.send(b"abcdef", end=True))
        assert [each[3] for each in await peer.got(DATA)] == [b"abc"]
        assert (stream.room, sending.done()) == (0, False)
        sending.cancel()


async def test_raw_bytes_and_streams_that_are_only_prepared() -> None:
    peer = Peer(HEAD, TRAILERS)
    async with peer.serve() as port, connect(port) as client:
        stream, opening = client.prepare(head("/a/b"))
        assert (opening[3], opening[4], peer.frames[-1][0]) == (HEADERS, END_HEADERS | END_STREAM, SETTINGS)
        for byte in opening:
            await client.send_raw(bytes((byte,)))
        await stream.response()
        await client.send_raw(ping(b"unasked!", ACK))
        assert (await peer.got(PING))[0][1:] == (ACK, 0, b"unasked!")


async def test_alpn_must_choose_h2(tmp_path: Path) -> None:
    signer = authority()
    certificate, key = write_pair(tmp_path, *leaf(signer, "localhost"))
    (tmp_path / "ca.pem").write_bytes(signer.pem)
    for protocol, chosen in (("h2", True), ("http/1.1", False)):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        context.set_alpn_protocols([protocol])
        async with Peer(HEAD, TRAILERS).serve(context) as port:
            if chosen:
                async with connect(port, tls=tmp_path / "ca.pem") as client:
                    await (await client.request(head("/a/b"))).response()
            else:
                with pytest.raises(AssertionError, match="ALPN"):
                    async with connect(port, tls=tmp_path / "ca.pem"):
                        pass
