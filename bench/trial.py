"""One round of one subject: what it is, and how calls reach it."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from bench.harness import Effort, Harness
from bench.load.client import Client
from bench.load.http1 import Http1
from bench.load.http2 import Http2
from bench.load.traffic import Traffic
from bench.subject import Running
from bench.way import Way


@dataclass(frozen=True, slots=True)
class Trial:
    """What measures it begins with one."""

    harness: Harness
    subject: Running
    way: Way

    @property
    def url(self) -> str:
        return self.subject.https_url if self.way.tls or self.way.http2 else self.subject.http_url

    @property
    def effort(self) -> Effort:
        return self.harness.effort

    @property
    def resident_mib(self) -> float:
        return self.subject.process.resident() / 1024**2

    @contextmanager
    def clients(self, traffic: Traffic) -> Iterator[Sequence[Client]]:
        """One for each connection; they are closed in the end. Raises BenchError, OSError."""
        url, ca, way = self.url, self.harness.world.pki.ca, self.way
        with ExitStack() as stack:
            clients: list[Client] = []
            for _ in range(way.connections):
                client = Http2(url, traffic, ca, way.streams) if way.http2 else Http1(url, traffic, ca)
                stack.callback(lambda each: each.link.close(), client)  # it may be another one by then
                clients.append(client)
            yield clients
