"""What is measured. A case makes the figures of one round, with a gateway of its own.

Rule: the part that is measured begins after a warm-up, in which the gateway connects to its backend and fills its
caches. Connections of clients are opened inside it.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import product

from bench import streams
from bench.gateway import Gateway
from bench.harness import Harness, Spent
from bench.load import Outcome, Traffic
from bench.process import BenchError
from bench.report import Figures, Kind
from bench.world import (
    DEMO_SERVICE,
    LARGE,
    LARGE_MESSAGE,
    SERVICE,
    SMALL,
    SMALL_MESSAGE,
    browser_headers,
    frame,
)
from gateway.demo.pb.demo_pb2 import CountRequest

COUNT = f"/{DEMO_SERVICE}/Count"
UNAUTHENTICATED = 16
CONNECTIONS = 16
WARM_UP_TOKENS = 5_000  # they may be used again
RESERVE = 1.5  # how much faster than its warm-up a round may be
STREAMS = 8
STREAM_PAYLOAD = 16  # bytes
WARM_UP_MESSAGES = 500
AN_HOUR = 3_600_000  # milliseconds


@dataclass(frozen=True, slots=True)
class Case:
    """`measure` raises BenchError when there is no figure to be had. `quick`: belongs to the short run."""

    name: str
    title: str
    kind: Kind
    measure: Callable[[Harness], Figures]
    quick: bool = True


def unary(
    harness: Harness,
    *,
    tls: bool = False,
    connections: int = CONNECTIONS,
    descriptors: bool = True,
    method: str = SMALL,
    message: bytes = SMALL_MESSAGE,
) -> Figures:
    """One message there, one back."""
    traffic = Traffic(f"/{SERVICE}/{method}", frame(message), browser_headers(harness.token))
    with harness.gateway(harness.fast_backend, descriptors=descriptors) as gateway:
        return _calls(harness, gateway, traffic, url=gateway.https_url if tls else None, connections=connections)


def refused(harness: Harness) -> Figures:
    """Calls without a token: they end at the gate."""
    headers = browser_headers(None)
    traffic = Traffic(f"/{SERVICE}/{SMALL}", frame(SMALL_MESSAGE), headers, status=UNAUTHENTICATED)
    with harness.gateway(harness.fast_backend) as gateway:
        return _calls(harness, gateway, traffic)


def cold_token(harness: Harness) -> Figures:
    """Each call with a token that the gateway has never seen: a signature to check for every one."""

    def traffic(tokens: float) -> Traffic:
        fresh = harness.world.tokens(int(tokens))
        return Traffic(f"/{SERVICE}/{SMALL}", frame(SMALL_MESSAGE), browser_headers(None), tokens=fresh)

    with harness.gateway(harness.fast_backend) as gateway:
        url, effort, before = gateway.http_url, harness.effort, gateway.process.cpu_seconds()
        warm_up = harness.send(url, traffic(WARM_UP_TOKENS), connections=CONNECTIONS, seconds=effort.warm_up)
        per_second = warm_up.calls / (gateway.process.cpu_seconds() - before)  # at most: there is one core
        return _measured_calls(harness, gateway, url, traffic(per_second * effort.seconds * RESERVE), CONNECTIONS)


def stream(harness: Harness) -> Figures:
    """Small messages as fast as they come, in a few long streams."""
    with harness.gateway(harness.streaming_backend) as gateway:

        def read(messages: int) -> None:
            request = CountRequest(count=messages, payload_bytes=STREAM_PAYLOAD).SerializeToString()
            sent = streams.request(COUNT, request, browser_headers(harness.token), keep=False)
            asyncio.run(streams.read_to_end(gateway.http_url, sent, STREAMS))

        started = time.perf_counter()
        read(WARM_UP_MESSAGES)
        each = int(WARM_UP_MESSAGES / (time.perf_counter() - started) * harness.effort.seconds)
        with harness.measured(gateway) as spent:
            read(each)
        messages = each * STREAMS
        return {
            "messages_per_cpu_second": messages / spent.cpu,
            "cpu_us_per_message": spent.cpu / messages * 1e6,
            "messages_per_second": messages / spent.wall,
            "core_busy": spent.cpu / spent.wall,
            "rss_mib": _resident(gateway),
        }


def idle(harness: Harness) -> Figures:
    """Memory: with nothing to do, and with idle streams."""
    request = CountRequest(count=0, interval_ms=AN_HOUR).SerializeToString()
    sent = streams.request(COUNT, request, browser_headers(harness.token), keep=True)
    count = harness.effort.streams
    with harness.gateway(harness.streaming_backend) as gateway:

        async def with_streams() -> float:
            async with streams.held_open(gateway.http_url, sent, count):
                return _resident(gateway)

        alone = _resident(gateway)
        full = asyncio.run(with_streams())
        return {
            "rss_idle_mib": alone,
            "idle_streams": count,
            "rss_streams_mib": full,
            "kib_per_stream": (full - alone) * 1024 / count,
        }


def start(harness: Harness) -> Figures:
    """From the start of the process to its `ready` event."""
    with harness.gateway(harness.fast_backend) as gateway:
        return {"ready_ms": gateway.start_seconds * 1000, "ready_cpu_ms": gateway.process.cpu_seconds() * 1000}


def _calls(
    harness: Harness, gateway: Gateway, traffic: Traffic, *, url: str | None = None, connections: int = CONNECTIONS
) -> Figures:
    url = url or gateway.http_url
    harness.send(url, traffic, connections=connections, seconds=harness.effort.warm_up)
    return _measured_calls(harness, gateway, url, traffic, connections)


def _measured_calls(
    harness: Harness, gateway: Gateway, url: str, traffic: Traffic, connections: int = CONNECTIONS
) -> Figures:
    with harness.measured(gateway) as spent:
        outcome = harness.send(url, traffic, connections=connections, seconds=harness.effort.seconds)
    if outcome.overdrawn:
        raise BenchError(f"tokens ran out: {outcome.overdrawn} calls used one again")
    return _call_figures(outcome, spent) | {"rss_mib": _resident(gateway)}


def _call_figures(outcome: Outcome, spent: Spent) -> Figures:
    return {
        "calls_per_cpu_second": outcome.calls / spent.cpu,
        "cpu_us_per_call": spent.cpu / outcome.calls * 1e6,
        "calls_per_second": outcome.calls / outcome.seconds,
        "p50_ms": outcome.p50 * 1000,
        "p99_ms": outcome.p99 * 1000,
        "core_busy": spent.cpu / spent.wall,
    }


def _resident(gateway: Gateway) -> float:
    return gateway.process.resident() / 1024**2


def _all() -> Iterator[Case]:
    for descriptors, tls, connections in product((True, False), (False, True), (16, 64)):
        yield Case(
            f"{'unary' if descriptors else 'bridge'}-{'tls' if tls else 'http'}-{connections}",
            f"small calls, {'TLS' if tls else 'plaintext'}, {connections} connections"
            + ("" if descriptors else ", without descriptors"),
            "calls",
            partial(unary, tls=tls, connections=connections, descriptors=descriptors),
            quick=connections == CONNECTIONS and (descriptors or not tls),
        )
    large = partial(unary, method=LARGE, message=LARGE_MESSAGE)
    yield Case("large", "64 KiB there and back, plaintext, 16 connections", "calls", large)
    yield Case("cold-token", "small calls, each with a new token", "calls", cold_token)
    yield Case("refused", "calls without a token", "calls", refused)
    yield Case("stream", f"server streams of small messages, {STREAMS} at once", "stream", stream)
    yield Case("idle", "memory", "memory", idle)
    yield Case("start", "from process start to the ready event", "start", start)


CASES = tuple(_all())
