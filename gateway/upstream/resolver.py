"""Where a target is: its addresses, asked for again while it runs.

`HOST:PORT` and `dns:HOST:PORT` (gRPC Name Resolution) go to the system's resolver, `unix:PATH` is where it says.
"""

import asyncio
import re
import socket
from dataclasses import dataclass

_DNS = re.compile(r"dns:(?:///)?(.+)")


@dataclass(frozen=True, slots=True)
class Address:
    """One place to connect to."""

    host: str  # numeric; empty for a Unix socket
    port: int
    path: str = ""  # of a Unix socket

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Target:
    """One entry of `targets`, taken apart."""

    text: str
    host: str  # empty for a Unix socket
    port: int
    path: str = ""

    @property
    def authority(self) -> str:
        """The backend's name on the wire (PROTOCOL-HTTP2.md, "Authority")."""
        if self.path:
            return "localhost"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse(text: str) -> Target:
    """`text`: an entry of `targets` that does not need grpcio (settings/target.py)."""
    if text.startswith("unix:"):
        return Target(text, "", 0, text.removeprefix("unix:"))
    match = _DNS.fullmatch(text)
    host, _, port = (match[1] if match else text).rpartition(":")
    return Target(text, host.removeprefix("[").removesuffix("]"), int(port))


async def resolve(target: Target) -> list[Address]:
    """At least one address, without repeats, as the resolver orders them. Raises OSError."""
    if target.path:
        return [Address("", 0, target.path)]
    try:
        found = await asyncio.get_running_loop().getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except UnicodeError:
        raise OSError(f"no name of a host: {target.host}") from None
    return list(dict.fromkeys(Address(str(place[0]), target.port) for *_, place in found))
