"""Addresses as limits count them, and how many calls there are at once: in all, and of each.

Rule: one customer's line is one peer. That is an IPv4 address, and the /64 of an IPv6 address: every host may choose
among the 2**64 addresses of its own (RFC 4291, section 2.5.1), so a count of each would bound nobody.
"""

import socket


def peer_name(address: str) -> str:
    """The peer of an address: `192.0.2.1`, `2001:db8:0:1::/64`; the clients of a Unix socket are one, `unix`."""
    if ":" not in address:
        return address or "unix"
    try:
        packed = socket.inet_pton(socket.AF_INET6, address.partition("%")[0])
    except OSError:
        return address
    if packed.startswith(b"\0" * 10 + b"\xff\xff"):  # an IPv4 address on a dual-stack socket (RFC 4291, 2.5.5.2)
        return socket.inet_ntoa(packed[12:])
    return socket.inet_ntop(socket.AF_INET6, packed[:8] + bytes(8)) + "/64"


class PeerCalls:
    """Calls at once of each peer. It remembers only those with a call going on, so `max_calls` bounds it, too."""

    def __init__(self) -> None:
        self._calls: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._calls)

    def enter(self, address: str, most: int) -> bool:
        """Count one more; whether there is room for it among `most`. `leave` follows either way."""
        peer = peer_name(address)
        calls = self._calls.get(peer, 0) + 1
        self._calls[peer] = calls
        return calls <= most

    def leave(self, address: str) -> None:
        peer = peer_name(address)
        calls = self._calls[peer] - 1
        if calls:
            self._calls[peer] = calls
        else:
            del self._calls[peer]


class Occupancy:
    """Calls at once. The gates that follow each other, as the configuration changes, count the same."""

    __slots__ = ("calls", "peers")

    def __init__(self) -> None:
        self.calls = 0
        self.peers = PeerCalls()
