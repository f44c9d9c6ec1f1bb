"""Sockets that stay while what serves them changes, and the TLS that is met there."""

import asyncio
import contextlib
import errno
import os
import socket
import ssl
from pathlib import Path
from typing import Any, Self, cast

import pytest
import trustme
from structlog.testing import capture_logs

from gateway.errors import StartError
from gateway.front import listener
from gateway.front.listener import Bound, Protocols, bind, naming, tls_context
from gateway.seldom import EVERY, Seldom
from gateway.settings import Address, ListenerTls
from tests.support.gateway import eventually
from tests.support.memory import MemoryTransport


class Speaker(asyncio.Protocol):
    """Says its name to whoever connects, and hangs up."""

    def __init__(self, name: bytes) -> None:
        self._name = name

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)
        transport.write(self._name)
        transport.close()


@pytest.fixture
def tls(tmp_path: Path) -> ListenerTls:
    trustme.CA().issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "pair.pem"))
    return ListenerTls(certificate=tmp_path / "pair.pem", private_key=tmp_path / "pair.pem")


async def serve(bound: Bound, protocols: Protocols, context: ssl.SSLContext | None) -> None:
    await bound.serve(await bound.prepare(protocols, context))


def port_of(bound: Bound) -> int:
    return int(bound.url.rpartition(":")[2])


async def hear(**where: Any) -> bytes:
    """All that is said to who connects."""
    reader, writer = await asyncio.open_connection(**where)
    said = await reader.read()
    writer.close()
    await writer.wait_closed()
    return said


async def test_who_connects_between_two_servers_is_served_by_the_second() -> None:
    """The queue of connections is the socket's, which stays."""
    bound = Bound(bind(Address("127.0.0.1", 0)))
    await serve(bound, lambda: Speaker(b"first"), None)
    there = {"host": "127.0.0.1", "port": port_of(bound)}
    assert await hear(**there) == b"first"
    waiting = socket.create_connection(("127.0.0.1", port_of(bound)))  # accepted by nobody: the loop stands
    await serve(bound, lambda: Speaker(b"second"), None)
    assert await hear(sock=waiting) in (b"first", b"second")
    assert await hear(**there) == b"second"
    bound.close()


class Socket(socket.socket):
    """Of a process whose descriptors may be used up."""

    used_up = False

    def dup(self) -> Self:
        if self.used_up:
            raise OSError(errno.EMFILE, "Too many open files")
        return super().dup()


async def test_what_cannot_be_prepared_leaves_nothing_and_what_serves_serves() -> None:
    last = Socket()
    last.bind(("127.0.0.2", 0))
    bound = Bound([*bind(Address("127.0.0.1", 0)), last])
    await serve(bound, lambda: Speaker(b"first"), None)
    last.used_up = True
    descriptors = len(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match="Too many open files"):
        await bound.prepare(lambda: Speaker(b"second"), None)
    with pytest.raises(TypeError):
        await bound.prepare(lambda: Speaker(b"second"), cast(ssl.SSLContext, "none of OpenSSL's"))
    await eventually(lambda: len(os.listdir("/proc/self/fd")) == descriptors)
    assert await hear(host="127.0.0.1", port=port_of(bound)) == b"first"
    bound.close()


async def test_what_is_prepared_accepts_nothing_yet(tls: ListenerTls) -> None:
    bound = Bound(bind(Address("127.0.0.1", 0)))
    await serve(bound, lambda: Speaker(b"first"), None)
    there = {"host": "127.0.0.1", "port": port_of(bound)}
    service = await bound.prepare(lambda: Speaker(b"second"), tls_context(tls, http2=True))
    for _ in range(10):
        assert await hear(**there) == b"first"
    assert bound.url.startswith("http://")
    service.close()
    assert await hear(**there) == b"first"
    bound.close()


@pytest.mark.parametrize(
    ("host", "reached", "is_here"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "127.0.0.2", False),
        ("0.0.0.0", "127.0.0.2", True),
        ("0.0.0.0", "::1", False),
        ("::", "::1", True),
        ("::", "127.0.0.1", False),
    ],
)
def test_whose_connection_it_is_an_address_tells_with_its_port(host: str, reached: str, is_here: bool) -> None:
    bound = Bound(bind(Address(host, 0)))
    here: tuple[object, ...] = (reached, port_of(bound), *((0, 0) if ":" in reached else ()))
    assert bound.took_in_plaintext(MemoryTransport(sockname=here)) == is_here
    assert not bound.took_in_plaintext(MemoryTransport(sockname=(reached, port_of(bound) + 1)))
    assert not bound.took_in_plaintext(MemoryTransport(sockname=here, sslcontext=object()))
    bound.close()


async def test_closed_is_closed() -> None:
    bound = Bound(bind(Address("127.0.0.1", 0)))
    await serve(bound, lambda: Speaker(b"x"), None)
    url, port = bound.url, port_of(bound)
    bound.close()
    await asyncio.sleep(0)
    assert bound.url == url  # whoever drains is still asked
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


def test_an_address_is_shared_only_by_those_who_all_say_so() -> None:
    (first,) = bind(Address("127.0.0.1", 0), shared=True)
    address = Address("127.0.0.1", first.getsockname()[1])
    (second,) = bind(address, shared=True)
    first.listen()
    second.listen()
    refusal = r"listeners\[0\].bind: cannot listen on 127.0.0.1:\d+: it is in use"
    with pytest.raises(StartError, match=refusal), naming("listeners[0].bind", address):
        bind(address)
    for one in (first, second):
        one.close()


def test_a_name_may_be_several_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    def both(*_arguments: object, **_options: object) -> list[object]:
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.2", 0)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0)),
        ]

    monkeypatch.setattr(socket, "getaddrinfo", both)
    sockets = bind(Address("localhost", 0))
    assert [one.getsockname()[0] for one in sockets] == ["127.0.0.1", "127.0.0.2"]
    for one in sockets:
        one.close()


def distrust(port: int) -> None:
    """By OpenSSL's sockets: event loops hang up without saying why."""
    context = ssl.create_default_context()
    with socket.create_connection(("127.0.0.1", port), 5) as plain:
        context.wrap_socket(plain, server_hostname="localhost")


async def speak_plainly(port: int) -> None:
    """Until the listener hangs up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\n\r\n")
    await reader.read()
    writer.close()
    await writer.wait_closed()


async def test_a_handshake_that_fails_is_told(tls: ListenerTls) -> None:
    with contextlib.closing(Bound(bind(Address("127.0.0.1", 0)))) as bound, capture_logs() as events:
        await serve(bound, lambda: Speaker(b"x"), tls_context(tls, http2=True))
        assert bound.url.startswith("https://")
        await speak_plainly(port_of(bound))
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncio.to_thread(distrust, port_of(bound))
        await eventually(lambda: len(events) == 2)
    assert [event["problem"] for event in events] == ["HTTP_REQUEST", "TLSV1_ALERT_UNKNOWN_CA"]


async def test_a_flood_of_handshakes_that_fail_does_not_fill_the_log(
    tls: ListenerTls, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(listener, "Seldom", lambda: Seldom(lambda: now[0]))
    with contextlib.closing(Bound(bind(Address("127.0.0.1", 0)))) as bound, capture_logs() as events:
        await serve(bound, lambda: Speaker(b"x"), tls_context(tls, http2=True))
        for _ in range(5):
            await speak_plainly(port_of(bound))
        with pytest.raises(ssl.SSLCertVerificationError):  # for another reason: told all the same
            await asyncio.to_thread(distrust, port_of(bound))
        await eventually(lambda: len(events) == 2)
        now[0] += EVERY
        await speak_plainly(port_of(bound))
        await eventually(lambda: len(events) == 3)
    assert [(event["problem"], event["failures"]) for event in events] == [
        ("HTTP_REQUEST", 1),
        ("TLSV1_ALERT_UNKNOWN_CA", 1),
        ("HTTP_REQUEST", 5),
    ]
