"""A round of unary calls: as many as the subject takes, and then 70 % of that.

Rule: the first part gives calls per CPU-second, the second the times of calls at a load that leaves some room; under
full load a time says only how long the queue is. Both parts begin after a warm-up, in which the subject connects to its
backend and fills its caches.
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

from bench.harness import Harness
from bench.load import h2load, paced, wrk
from bench.load.http1 import Http1
from bench.load.http2 import Http2
from bench.load.traffic import Outcome, Traffic
from bench.process import BenchError
from bench.report import Figures
from bench.subject import Running

PART = 0.7  # of the calls a second that a subject takes
SATURATED = 0.85  # how busy its core is at least, if it was the subject that could not take more
OTHERS = 0.1  # of its core: what neighbours may take before times are theirs rather than the subject's
RESERVE = 1.5  # how much faster than its warm-up a subject may be
WARM_UP_TOKENS = 5_000  # they may be used again
PROBE_CALLS, PROBE_RATE = 20, 100.0  # to see how an answer looks

Supply = Callable[[int], Traffic]  # for so many calls


@dataclass(frozen=True, slots=True)
class Way:
    """How calls reach the subject."""

    tls: bool = False
    http2: bool = False  # over TLS
    connections: int = 64
    streams: int = 1  # calls at a time on each

    def url(self, subject: Running) -> str:
        return subject.https_url if self.tls or self.http2 else subject.http_url


PLAIN = Way()


class Round:
    """Of one subject."""

    def __init__(self, harness: Harness, subject: Running, way: Way, supply: Supply) -> None:
        self._harness = harness
        self._subject = subject
        self._way = way
        self._url = way.url(subject)
        self._supply = supply

    def figures(self) -> Figures:
        """Raises BenchError."""
        figures = self._at_full_load()
        # A subject that was not the bottleneck could take more, and nobody knows what 70 % of that is.
        if figures["core_busy"] >= SATURATED:
            figures |= self._at_part_load(PART * figures["calls_per_second"])
        return figures | {"rss_mib": self._subject.process.resident() / 1024**2}

    def _at_full_load(self) -> Figures:
        seconds = self._harness.effort.seconds
        send = self._over_http2() if self._way.http2 else self._over_http1
        with self._harness.spent_by(self._subject.process) as spent:
            calls = send(self._harness.effort.warm_up, WARM_UP_TOKENS).calls
        enough = int(calls / spent.cpu * seconds * RESERVE)  # it has one core
        with self._harness.measured(self._subject.process) as spent:
            outcome = send(seconds, enough)
        if outcome.overdrawn:
            raise BenchError(f"tokens ran out: {outcome.overdrawn} calls used one again")
        return {
            "calls_per_cpu_second": outcome.calls / spent.cpu,
            "calls_per_second": outcome.rate,
            "core_busy": spent.cpu / outcome.seconds,  # without the time in which the load generator starts
            "core_of_others": spent.others,
        }

    def _over_http1(self, seconds: int, enough: int) -> Outcome:
        way, folder = self._way, self._harness.scratch
        return wrk.send(self._url, self._supply(enough), connections=way.connections, seconds=seconds, folder=folder)

    def _over_http2(self) -> Callable[[int, int], Outcome]:
        """h2load counts calls exactly when it is told their number, which follows from the run before."""
        size = self._paced(PROBE_RATE, PROBE_CALLS)[1]
        rate = 1000.0

        def send(seconds: int, enough: int) -> Outcome:
            nonlocal rate
            outcome = h2load.send(
                self._url,
                self._supply(enough),
                connections=self._way.connections,
                streams=self._way.streams,
                calls=int(rate * seconds),
                size=size,
                folder=self._harness.scratch,
            )
            rate = outcome.rate
            return outcome

        return send

    def _at_part_load(self, rate: float) -> Figures:
        with self._harness.spent_by(self._subject.process) as spent:
            times, _ = self._paced(rate, int(rate * self._harness.effort.seconds))
        if not times.in_time or spent.others > OTHERS:
            return {}
        return {
            "p50_ms": times.p50 * 1000,
            "p99_ms": times.p99 * 1000,
            "lag_ms": times.lag * 1000,
            "core_busy_then": spent.busy,
        }

    def _paced(self, rate: float, calls: int) -> tuple[paced.Times, int]:
        """The times, and how many bytes the body of an answer has."""
        way, traffic, ca = self._way, self._supply(calls), self._harness.world.pki.ca
        with ExitStack() as stack:
            clients: list[paced.Client] = []
            for _ in range(way.connections):
                client = Http2(self._url, traffic, ca, way.streams) if way.http2 else Http1(self._url, traffic, ca)
                stack.callback(lambda each: each.link.close(), client)
                clients.append(client)
            times = paced.send(clients, traffic.authorizations(), rate, calls)
            return times, max(client.size for client in clients)
