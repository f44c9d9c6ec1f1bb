"""What is measured. A case makes the figures of one round of one subject."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from bench import streaming, unary
from bench.calls import Way
from bench.harness import Harness
from bench.report import Figures, Kind
from bench.subject import GATEWAY, SUBJECTS

PLAIN, TLS = Way(), Way(tls=True)
FEW, MANY = Way(http2=True, connections=4, streams=32), Way(http2=True)


@dataclass(frozen=True, slots=True)
class Case:
    """`measure` raises BenchError when there is no figure to be had. `quick`: belongs to the short run."""

    name: str
    title: str
    kind: Kind
    measure: Callable[[Harness, str], Figures]  # the name of the subject
    subjects: tuple[str, ...] = tuple(SUBJECTS)
    http2: bool = False
    quick: bool = False


def start(harness: Harness, name: str) -> Figures:
    """From the start of the process until it accepts calls."""
    with harness.subject(name, harness.fast_backend) as subject:
        return {"ready_ms": subject.start_seconds * 1000, "ready_cpu_ms": subject.process.cpu_seconds() * 1000}


def _unary(name: str, title: str, way: Way, *, quick: bool = False) -> Case:
    return Case(name, title, "calls", partial(unary.echo, way=way), http2=way.http2, quick=quick)


def _bridge(name: str, title: str, way: Way) -> Case:
    """Envoy knows no other way, so that it has nothing to compare."""
    return Case(name, title, "calls", partial(unary.echo, way=way, descriptors=False), subjects=(GATEWAY,))


CASES = (
    _unary("unary-http", "small unary calls, HTTP/1.1", PLAIN, quick=True),
    _unary("unary-tls", "small unary calls, HTTP/1.1 over TLS", TLS, quick=True),
    _unary("unary-h2-few", "small unary calls, HTTP/2, 4 connections", FEW),
    _unary("unary-h2-many", "small unary calls, HTTP/2, 64 connections", MANY),
    _bridge("bridge-http", "as unary-http, without descriptors", PLAIN),
    _bridge("bridge-tls", "as unary-tls, without descriptors", TLS),
    Case("large", "unary calls of 64 KiB", "calls", unary.large),
    Case("cold-token", "small unary calls, a new token each", "calls", unary.cold_token),
    Case("refused", "calls without a token", "calls", unary.refused, quick=True),
    Case("stream", "server streams of small messages", "stream", streaming.stream, quick=True),
    Case("bulk", "a server stream of 1 MiB messages", "bulk", streaming.bulk, quick=True),
    Case("idle", "memory with 1,000 idle streams", "memory", streaming.idle, quick=True),
    Case("start", "from process start to ready", "start", start, quick=True),
)
