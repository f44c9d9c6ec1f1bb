"""Where to listen: `HOST:PORT` or `[V6]:PORT`.

Rule: the host is always said. `:8080` would mean every interface to some and this machine to others.
"""

import ipaddress
import re
from dataclasses import dataclass
from typing import NoReturn

from gateway.settings.kind import JsonSchema, Kind, Source, refuse

BIND_PATTERN = r"^(\[[0-9A-Fa-f:.%]+\]|[0-9A-Za-z._-]+):[0-9]{1,5}$"

_PORT = re.compile(r"[0-9]{1,5}")
_HOST = re.compile(r"[0-9A-Za-z](?:[0-9A-Za-z._-]*[0-9A-Za-z])?")


@dataclass(frozen=True, slots=True)
class Address:
    """A host (name or IP, IPv6 without brackets) and a port; as text it is `HOST:PORT` or `[V6]:PORT`."""

    host: str
    port: int  # 0: any free one (only where the gateway listens)

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can connect; a name other than `localhost` counts as public."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def overlaps(self, other: "Address") -> bool:
        """Whether no two sockets can listen on both: `0.0.0.0` is every IPv4 address, `::` every IPv6 one and no other.
        Names are not looked up, save that `localhost` is 127.0.0.1.
        """
        if self.port != other.port or self.port == 0:
            return False
        if self.host == other.host:
            return True
        ours, theirs = self._ip, other._ip
        if ours is None or theirs is None or ours.version != theirs.version:
            return False
        return ours == theirs or ours.is_unspecified or theirs.is_unspecified

    @property
    def _ip(self) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
        try:
            return ipaddress.ip_address("127.0.0.1" if self.host == "localhost" else self.host)
        except ValueError:
            return None

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str, *, lowest_port: int = 0) -> Address:
    """Raises ValueError with a text fit to show."""
    host, colon, port = text.rpartition(":")
    if "://" in text:
        raise ValueError("must be HOST:PORT or [V6]:PORT, not a URL")
    if not colon or host.endswith(":") or (":" in host and not host.startswith("[")):
        example = f"[{text}]:8080" if ":" in text else f"{text or '127.0.0.1'}:8080"
        if text.isdecimal():
            example = f"127.0.0.1:{text}"
        raise ValueError(f"must be HOST:PORT or [V6]:PORT, like {example}")
    if not _PORT.fullmatch(port) or not lowest_port <= int(port) <= 65535:
        raise ValueError(f"port {port!r} is not a number from {lowest_port} to 65535")
    if host in ("", "*"):
        raise ValueError(f"needs a host, like 127.0.0.1:{port} (this machine) or 0.0.0.0:{port} (every interface)")
    return Address(_host(host), int(port))


@dataclass(frozen=True)
class Bind(Kind):
    """An address to listen on."""

    native: type = Address

    def read(self, text: str, _source: Source, /) -> Address:
        try:
            return parse_address(text)
        except ValueError as error:
            refuse(str(error))

    def shape(self) -> JsonSchema:
        return {"type": "string", "pattern": BIND_PATTERN, "examples": ["0.0.0.0:8443", "[::1]:8080"]}

    def refuse_type(self, _value: object, /) -> NoReturn:
        refuse("must be HOST:PORT, like 127.0.0.1:8080")


def _host(text: str) -> str:
    if text.startswith("["):
        try:
            return str(ipaddress.IPv6Address(text.removeprefix("[").removesuffix("]")))
        except ValueError:
            raise ValueError(f"{text} is not an IPv6 address in brackets, like [::1]") from None
    if not _HOST.fullmatch(text):
        raise ValueError(f"{text!r} is not a host name or an IP address")
    if re.fullmatch(r"[0-9]+(\.[0-9]+){3}", text):
        try:
            return str(ipaddress.IPv4Address(text))
        except ValueError:
            raise ValueError(f"{text} is not an IPv4 address, like 127.0.0.1") from None
    return text.lower()
