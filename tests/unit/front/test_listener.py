"""Sockets that stay while what serves them changes, and the TLS that is met there."""

import asyncio
import socket
import ssl
from pathlib import Path
from typing import Any, cast

import pytest
import trustme
from structlog.testing import capture_logs

from gateway.errors import StartError
from gateway.front.listener import Bound, bind, naming, tls_context
from gateway.settings import Address, ListenerTls
from tests.support.gateway import eventually


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
    await bound.serve(lambda: Speaker(b"first"), None)
    there = {"host": "127.0.0.1", "port": port_of(bound)}
    assert await hear(**there) == b"first"
    waiting = socket.create_connection(("127.0.0.1", port_of(bound)))  # accepted by nobody: the loop stands
    await bound.serve(lambda: Speaker(b"second"), None)
    assert await hear(sock=waiting) in (b"first", b"second")
    assert await hear(**there) == b"second"
    bound.close()


async def test_closed_is_closed() -> None:
    bound = Bound(bind(Address("127.0.0.1", 0)))
    await bound.serve(lambda: Speaker(b"x"), None)
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


async def test_a_handshake_that_fails_is_told(tls: ListenerTls) -> None:
    bound = Bound(bind(Address("127.0.0.1", 0)))
    await bound.serve(lambda: Speaker(b"x"), tls_context(tls, http2=True))
    assert bound.url.startswith("https://")
    with capture_logs() as events:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(bound))
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        await reader.read()
        writer.close()
        await writer.wait_closed()
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncio.to_thread(distrust, port_of(bound))
        await eventually(lambda: len(events) == 2)
    assert [event["problem"] for event in events] == ["HTTP_REQUEST", "TLSV1_ALERT_UNKNOWN_CA"]
    bound.close()
