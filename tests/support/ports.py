"""Ports of 127.0.0.1 that nobody listens on, and nobody is given who asks for any.

Rule: they are below those that Linux gives away (/proc/sys/net/ipv4/ip_local_port_range), so that a server which stops
for a moment finds its own again, whatever else runs on this machine.
"""

import contextlib
import secrets
import socket

CHOICE = range(10_000, 32_768)


def free_ports(count: int) -> list[int]:
    """Different ones, since all are held until the last is found."""
    ports: list[int] = []
    with contextlib.ExitStack() as held:
        while len(ports) < count:
            tried = held.enter_context(socket.socket())
            with contextlib.suppress(OSError):
                tried.bind(("127.0.0.1", secrets.choice(CHOICE)))
                ports.append(tried.getsockname()[1])
    return ports


def free_port() -> int:
    return free_ports(1)[0]
