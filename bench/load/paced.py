"""So many calls a second, whatever the subject makes of them, and how long each took.

Rule: a call's time counts from the moment it was due, not from the moment there was a connection free to send it on.
Who waits for an answer before sending the next call leaves out the very calls that a slow subject delays ("coordinated
omission"). Calls are due at random, as those of people who do not know each other are (a Poisson process), and at the
same moments for every subject, stretched by its rate.
"""

import gc
import random
import select
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate, repeat
from statistics import median, quantiles

from bench.load.client import Client
from bench.process import BenchError

SEED = 1
HEAD_START = 0.01  # seconds before the first call is due
PATIENCE = 10.0  # seconds after which a call is given up
MOST_LAG = 0.25  # of the median time: what the sender's own delay may be


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds, for each call. `lags`: from the moment it was due until the sender saw that it was."""

    taken: Sequence[float]
    lags: Sequence[float]

    @property
    def p50(self) -> float:
        return median(self.taken)

    @property
    def p99(self) -> float:
        return quantiles(self.taken, n=100)[98]

    @property
    def worst(self) -> float:
        return max(self.taken)

    @property
    def lag(self) -> float:
        return median(self.lags)

    @property
    def in_time(self) -> bool:
        """False: these are times of the sender rather than of the subject; its cores were too busy."""
        return self.lag <= MOST_LAG * self.p50


def moments(rate: float, calls: int) -> list[float]:
    """When calls are due, in seconds from the start."""
    chance = random.Random(SEED)
    return list(accumulate(chance.expovariate(rate) for _ in range(calls)))


def send(clients: Sequence[Client], authorizations: Iterator[str | None], rate: float, calls: int) -> Times:
    """Raises BenchError when a call fails or is not answered, or authorizations run out."""
    free = deque(client for client in clients for _ in range(client.capacity))
    by_number: dict[int, Client] = {}
    waiting: deque[float] = deque()
    taken: list[float] = []
    lags: list[float] = []
    with select.epoll() as poll, _uncollected():
        for client in clients:
            _watch(client, poll, by_number)
        start = time.perf_counter() + HEAD_START
        due = deque(start + moment for moment in moments(rate, calls))
        give_up = due[-1] + PATIENCE
        while len(taken) < calls:
            now = time.perf_counter()
            if now > give_up:
                raise BenchError(f"{calls - len(taken)} of {calls} calls had no answer after {PATIENCE:g} s")
            while due and due[0] <= now:
                waiting.append(due.popleft())
                lags.append(now - waiting[-1])
            while waiting and free:
                free.popleft().begin(waiting.popleft(), _next(authorizations))
            # The poll itself knows milliseconds only, which are long here.
            select.select([poll], [], [], max(0.0, (due[0] if due else give_up) - time.perf_counter()))
            for number, _ in poll.poll(0):
                client = by_number[number]
                client.link.flush()
                ended = client.receive()
                now = time.perf_counter()
                taken += [now - moment for moment in ended]
                free.extend(repeat(client, len(ended)))
                if client.over:
                    poll.unregister(number)
                    client.reopen()
                    _watch(client, poll, by_number)
    return Times(taken, lags)


def _watch(client: Client, poll: select.epoll, by_number: dict[int, Client]) -> None:
    number = client.link.fileno()
    by_number[number] = client
    poll.register(number, select.EPOLLIN | select.EPOLLOUT | select.EPOLLET)


def _next(authorizations: Iterator[str | None]) -> str | None:
    try:
        return next(authorizations)
    except StopIteration:
        raise BenchError("tokens ran out") from None


@contextmanager
def _uncollected() -> Iterator[None]:
    """A garbage collection would be a delay of the sender."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
