"""Calls that are held open: idle server streams.

Rule: a stream counts once its messages have come, and only if nothing else comes until all are let go.
"""

import select
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from bench.load.client import Client
from bench.load.traffic import printable
from bench.process import BenchError

AT_ONCE = 100  # calls that are begun and not answered
PATIENCE = 20.0  # seconds for those to be answered


@contextmanager
def held_open(clients: Sequence[Client], messages: bytes) -> Iterator[None]:
    """As many calls as the clients have room for, each with its `messages`, until the block is left.

    Raises BenchError.
    """
    step = max(1, AT_ONCE // clients[0].capacity)
    for first in range(0, len(clients), step):
        _begin(clients[first : first + step], messages)
    yield
    for client in clients:
        _hear(client)
        if any(body != messages for body in client.bodies()):
            raise BenchError("an idle stream went on")


def _begin(clients: Sequence[Client], messages: bytes) -> None:
    """Until all are open."""
    for client in clients:
        for _ in range(client.capacity):
            client.begin(0.0, None)
    give_up = time.monotonic() + PATIENCE
    waiting = {client.link.fileno(): client for client in clients}
    poll = select.poll()
    for number in waiting:
        poll.register(number, select.POLLIN)
    while waiting:
        if time.monotonic() > give_up:
            raise BenchError(f"streams have no message after {PATIENCE:g} s")
        for number, _ in poll.poll(PATIENCE * 1000):
            client = waiting[number]
            client.link.flush()
            _hear(client)
            bodies = list(client.bodies())
            if wrong := next((body for body in bodies if not messages.startswith(body)), None):
                raise BenchError(f"a stream began with {printable(wrong[:120])}")
            if all(body == messages for body in bodies):
                poll.unregister(number)
                del waiting[number]


def _hear(client: Client) -> None:
    if client.receive():
        raise BenchError("a stream ended that should be idle")
