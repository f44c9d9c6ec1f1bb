"""So many calls a second, and how long each takes.

Rule: under full load a time says only how long the queue is; times are measured at a load that leaves some room.
"""

from dataclasses import replace

from bench.load import paced
from bench.load.traffic import Traffic
from bench.result import Figures
from bench.trial import Trial

PART = 0.7  # of the calls a second that a subject takes
OTHERS = 0.1  # of its core: what neighbours may take before times are theirs rather than the subject's
PROBE_CALLS, PROBE_RATE = 3, 100.0  # to see how an answer looks


def figures(trial: Trial, traffic: Traffic, rate: float) -> Figures:
    """Empty when the sender was late, or others had the core: these are not the subject's times. Raises BenchError."""
    with trial.harness.spent_by(trial.subject.process) as spent:
        times, _ = send(trial, traffic, rate, int(rate * trial.effort.seconds))
    if not times.in_time or spent.others > OTHERS:
        return {}
    return {
        "p50_ms": times.p50 * 1000,
        "p99_ms": times.p99 * 1000,
        "lag_ms": times.lag * 1000,
        "core_busy_then": spent.busy,
    }


def answer_size(trial: Trial, traffic: Traffic) -> int:
    """Bytes of the body of a right answer. Raises BenchError."""
    one = replace(trial, way=replace(trial.way, connections=1, streams=1))
    return send(one, traffic, PROBE_RATE, PROBE_CALLS)[1]


def send(trial: Trial, traffic: Traffic, rate: float, calls: int) -> tuple[paced.Times, int]:
    """The times, and how many bytes the body of an answer has. Raises BenchError."""
    with trial.clients(traffic) as clients:
        times = paced.send(clients, traffic.authorizations(), rate, calls)
        return times, max(client.size for client in clients)
