"""Where to listen."""

import re

import pytest

from gateway.settings.address import BIND_PATTERN, Address, parse_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("0.0.0.0:8443", Address("0.0.0.0", 8443)),
        ("127.0.0.1:0", Address("127.0.0.1", 0)),
        ("[::1]:80", Address("::1", 80)),
        ("[0:0::0:1]:80", Address("::1", 80)),
        ("localhost:8080", Address("localhost", 8080)),
        ("Gateway.Internal:8080", Address("gateway.internal", 8080)),
    ],
)
def test_addresses(text: str, address: Address) -> None:
    assert parse_address(text) == address
    assert parse_address(str(address)) == address
    assert re.search(BIND_PATTERN, text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must be HOST:PORT or [V6]:PORT, like 127.0.0.1:8080"),
        ("8080", "must be HOST:PORT or [V6]:PORT, like 127.0.0.1:8080"),
        ("0.0.0.0", "must be HOST:PORT or [V6]:PORT, like 0.0.0.0:8080"),
        ("::1", "must be HOST:PORT or [V6]:PORT, like [::1]:8080"),
        (":8080", "needs a host, like 127.0.0.1:8080 (this machine) or 0.0.0.0:8080 (every interface)"),
        ("*:8080", "needs a host, like 127.0.0.1:8080 (this machine) or 0.0.0.0:8080 (every interface)"),
        ("http://localhost:8080", "must be HOST:PORT or [V6]:PORT, not a URL"),
        ("https://localhost", "must be HOST:PORT or [V6]:PORT, not a URL"),
        ("300.1.1.1:8080", "300.1.1.1 is not an IPv4 address, like 127.0.0.1"),
        ("127.0.0.01:8080", "127.0.0.01 is not an IPv4 address, like 127.0.0.1"),
        ("a b:8080", "'a b' is not a host name or an IP address"),
        ("[::g]:80", "[::g] is not an IPv6 address in brackets, like [::1]"),
        ("[127.0.0.1]:80", "[127.0.0.1] is not an IPv6 address in brackets, like [::1]"),
        ("localhost:65536", "port '65536' is not a number from 0 to 65535"),
        ("localhost:-1", "port '-1' is not a number from 0 to 65535"),
        ("localhost:http", "port 'http' is not a number from 0 to 65535"),
        ("localhost:", "port '' is not a number from 0 to 65535"),
        ("localhost:٨٠", "port '٨٠' is not a number from 0 to 65535"),
    ],
)
def test_no_addresses(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        parse_address(text)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_loopback(host: str) -> None:
    assert Address(host, 1).is_loopback


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "localhost.example.com", "gateway", "127.0.0.1.nip.io"])
def test_not_loopback(host: str) -> None:
    assert not Address(host, 1).is_loopback
