"""What is measured. A case makes the figures of one round of one subject."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

from bench import streaming, unary, workers
from bench.full_load import Supply
from bench.harness import Harness
from bench.result import Figures, Kind
from bench.subject import GATEWAY, SUBJECTS
from bench.way import Way

PLAIN, TLS = Way(), Way(tls=True)
FEW, MANY = Way(http2=True, connections=8, streams=10), Way(http2=True)
# Streams of a page share its connection. Envoy closes one on which 10,000 frames wait for their reader: its window has
# room for fewer messages than that.
EIGHT_STREAMS = Way(connections=8)
EIGHT_STREAMS_H2 = Way(http2=True, connections=2, streams=4, windows=(17, 17))
FOUR_STREAMS = Way(connections=4)
FOUR_STREAMS_H2 = Way(http2=True, connections=2, streams=2)
IDLE, IDLE_H2 = Way(connections=1000), Way(http2=True, connections=100, streams=100)

Tool = Literal["wrk", "h2load", "nghttpd"]
BY_WRK: tuple[Tool, ...] = ("wrk", "nghttpd")
BY_H2LOAD: tuple[Tool, ...] = ("h2load", "nghttpd")


@dataclass(frozen=True, slots=True)
class Case:
    """`measure` raises BenchError when there is no figure to be had. `quick`: belongs to the short run."""

    name: str
    title: str
    kind: Kind
    measure: Callable[[Harness, str], Figures]  # the name of the subject
    subjects: tuple[str, ...] = tuple(SUBJECTS)
    tools: tuple[Tool, ...] = ()  # without which it cannot be measured
    quick: bool = False
    after: str = ""  # the case whose figures of the same round it needs


def start(harness: Harness, name: str) -> Figures:
    """From the start of the process until it accepts calls."""
    with harness.subject(name, harness.stream_backend) as subject:
        return {"ready_ms": subject.start_seconds * 1000, "ready_cpu_ms": subject.process.cpu_seconds() * 1000}


def _unary(name: str, title: str, way: Way, *, quick: bool = False) -> Case:
    def measure(harness: Harness, subject: str) -> Figures:
        return unary.echo(harness, subject, way=way)

    return Case(name, title, "calls", measure, tools=BY_H2LOAD if way.http2 else BY_WRK, quick=quick)


def _streams(name: str, title: str, kind: Literal["stream", "bulk"], way: Way) -> Case:
    def measure(harness: Harness, subject: str) -> Figures:
        return (streaming.stream if kind == "stream" else streaming.bulk)(harness, subject, way)

    tools: tuple[Tool, ...] = ("h2load",) if kind == "stream" else BY_H2LOAD
    return Case(name, title, kind, measure, tools=tools, quick=way.http2 and kind == "stream")


def _idle(name: str, title: str, way: Way) -> Case:
    def measure(harness: Harness, subject: str) -> Figures:
        return streaming.idle(harness, subject, way)

    return Case(name, title, "memory", measure, quick=way.http2)


def _workers(name: str, title: str, way: Way, supplied: Callable[[Harness], Supply] = unary.one_token) -> Case:
    def measure(harness: Harness, subject: str) -> Figures:
        return workers.beside_one(harness, subject, way, supplied(harness))

    return Case(name, title, "workers", measure, subjects=(GATEWAY,), tools=BY_H2LOAD if way.http2 else BY_WRK)


CASES = (
    _unary("unary-http", "small unary calls, HTTP/1.1", PLAIN, quick=True),
    _unary("unary-tls", "small unary calls, HTTP/1.1 over TLS", TLS),
    _unary("unary-h2-few", "small unary calls, HTTP/2, 8 connections", FEW, quick=True),
    Case(
        "latency-h2",
        "small unary calls, HTTP/2, at 70 % of Envoy's peak",
        "times",
        partial(unary.same_load, way=FEW, peak_of="unary-h2-few"),
        tools=BY_H2LOAD,
        quick=True,
        after="unary-h2-few",
    ),
    _unary("unary-h2-many", "small unary calls, HTTP/2, 64 connections", MANY),
    Case(
        "unary-grpcio",
        "as unary-http, with grpcio towards the backend",
        "calls",
        partial(unary.echo, transport="grpcio"),
        subjects=(GATEWAY,),
        tools=BY_WRK,
    ),
    Case("large", "unary calls of 64 KiB", "calls", unary.large, tools=BY_WRK),
    Case("cold-token", "small unary calls, a new token each", "calls", unary.cold_token, tools=BY_WRK),
    Case("refused", "calls without a token", "calls", unary.refused, tools=BY_WRK),
    _streams("stream", "server streams of small messages", "stream", EIGHT_STREAMS),
    _streams("stream-h2", "server streams of small messages, HTTP/2", "stream", EIGHT_STREAMS_H2),
    _streams("bulk", "server streams of 1 MiB messages", "bulk", FOUR_STREAMS),
    _streams("bulk-h2", "server streams of 1 MiB messages, HTTP/2", "bulk", FOUR_STREAMS_H2),
    _idle("idle", "memory with 1,000 idle streams", IDLE),
    _idle("idle-h2", "memory with 10,000 idle streams, HTTP/2", IDLE_H2),
    _workers("workers-http", "two workers beside one, HTTP/1.1", PLAIN),
    _workers("workers-h2", "two workers beside one, HTTP/2, 64 connections", MANY),
    _workers("workers-cold", "two workers beside one, a new token each call", PLAIN, unary.new_tokens),
    Case("start", "from process start to ready", "start", start, quick=True),
)
