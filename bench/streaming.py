"""Cases of server streams."""

from dataclasses import replace

from bench import full_load, part_load
from bench.harness import Harness
from bench.load.held import held_open
from bench.load.traffic import Traffic
from bench.methods import BULK, MANY, SMALL, WAIT, Method, frame
from bench.result import Figures
from bench.trial import Trial
from bench.way import Way
from bench.world import browser_headers

NEW_CALLS, NEW_RATE = 50, 50.0  # beside idle streams: how many, and how many a second


def stream(harness: Harness, name: str, way: Way) -> Figures:
    """Small messages as fast as they come, in a few long streams. Raises BenchError, as all of them do."""
    with harness.subject(name, harness.stream_backend) as subject:
        return _as_fast_as_they_come(Trial(harness, subject, way), MANY, "messages")


def bulk(harness: Harness, name: str, way: Way) -> Figures:
    """Messages of 1 MiB."""
    with harness.subject(name, harness.file_backend) as subject:
        return _as_fast_as_they_come(Trial(harness, subject, way), BULK, "mib")


def _as_fast_as_they_come(trial: Trial, method: Method, unit: str) -> Figures:
    """`unit`: what a message counts as."""
    load = full_load.by_h2load(trial, _traffic(trial.harness, method))
    return {
        f"{unit}_per_cpu_second": method.count * load.calls_per_cpu_second,
        f"{unit}_per_second": method.count * load.outcome.rate,
        **load.core,
        "rss_mib": trial.resident_mib,
    }


def idle(harness: Harness, name: str, way: Way) -> Figures:
    """Memory with nothing to do, and with idle streams; and how long a call takes beside them.

    The call has a connection of its own, which is there before it.
    """
    with harness.subject(name, harness.stream_backend) as subject:
        trial = Trial(harness, subject, way)
        beside = replace(trial, way=replace(way, connections=1, streams=1))
        streams = way.connections * way.streams
        alone = trial.resident_mib
        with trial.clients(_traffic(harness, WAIT)) as clients, held_open(clients, WAIT.reply):
            full = trial.resident_mib
            times, _ = part_load.send(beside, _traffic(harness, SMALL), NEW_RATE, NEW_CALLS)
        return {
            "rss_idle_mib": alone,
            "idle_streams": streams,
            "rss_streams_mib": full,
            "kib_per_stream": (full - alone) * 1024 / streams,
            "new_call_ms": times.p50 * 1000,
            "worst_new_call_ms": times.worst * 1000,
        }


def _traffic(harness: Harness, method: Method) -> Traffic:
    return Traffic(method.path, frame(SMALL.message), browser_headers(harness.token), reply=method.reply)
