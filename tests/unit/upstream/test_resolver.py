"""Targets taken apart, and their addresses."""

import socket
from typing import Any

import pytest

from gateway.upstream.resolver import Address, Target, parse, resolve


@pytest.mark.parametrize(
    ("text", "host", "port", "authority"),
    [
        ("127.0.0.1:50051", "127.0.0.1", 50051, "127.0.0.1:50051"),
        ("shop.internal:443", "shop.internal", 443, "shop.internal:443"),
        ("dns:shop.internal:443", "shop.internal", 443, "shop.internal:443"),
        ("dns:///shop.internal:443", "shop.internal", 443, "shop.internal:443"),
        ("[::1]:50051", "::1", 50051, "[::1]:50051"),
        ("dns:///[2001:db8::1]:443", "2001:db8::1", 443, "[2001:db8::1]:443"),
    ],
)
def test_a_host_and_its_port(text: str, host: str, port: int, authority: str) -> None:
    target = parse(text)
    assert target == Target(text, host, port)
    assert target.authority == authority


def test_a_unix_socket() -> None:
    target = parse("unix:/run/shop:1.sock")
    assert (target.path, target.host) == ("/run/shop:1.sock", "")
    assert target.authority == "localhost"
    assert str(Address("", 0, target.path)) == "unix:/run/shop:1.sock"


@pytest.mark.parametrize(("host", "text"), [("127.0.0.1", "127.0.0.1:1"), ("::1", "[::1]:1")])
def test_an_address_is_written_as_operators_do(host: str, text: str) -> None:
    assert str(Address(host, 1)) == text


async def test_literals_and_sockets_are_where_they_say() -> None:
    assert await resolve(parse("127.0.0.1:5")) == [Address("127.0.0.1", 5)]
    assert await resolve(parse("[::1]:5")) == [Address("::1", 5)]
    assert await resolve(parse("unix:/s")) == [Address("", 0, "/s")]


async def test_a_name_has_the_addresses_that_the_system_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    def system(*asked: Any, **_more: Any) -> list[Any]:
        assert asked[0] == "shop.internal"
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("2001:db8::1", 443, 0, 0)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 443)),
            (socket.AF_INET, socket.SOCK_DGRAM, 17, "", ("192.0.2.1", 443)),
        ]

    class Loop:
        async def getaddrinfo(self, *asked: Any, **more: Any) -> list[Any]:
            return system(*asked, **more)

    monkeypatch.setattr("gateway.upstream.resolver.asyncio.get_running_loop", Loop)
    assert await resolve(parse("dns:///shop.internal:443")) == [Address("2001:db8::1", 443), Address("192.0.2.1", 443)]


@pytest.mark.parametrize("host", ["nobody.invalid", "a..b", "x" * 80 + ".test"])
async def test_a_name_that_nobody_knows_is_an_oserror(host: str) -> None:
    with pytest.raises(OSError, match=r".+"):
        await resolve(parse(f"{host}:1"))
