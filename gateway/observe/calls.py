"""What is seen of calls: one log event and some counts for each, and for each request refused before it was one.

Rules
- Observers see and alter nothing; they run when a call is over.
- Of a request that was refused the log has the origin and the path, never a query or another header.
- A subject is logged as a hash: a log tells callers apart without naming them. A client certificate is logged by the
  name that let it in: the configuration names it, too.
- A label's values are bounded: a method becomes one only when it was permitted, and only the first `MAX_METHODS` do.
  Of those that have never answered with a message only `MAX_UNPROVEN`: who may call a whole service can make up names.
- Calls are counted in plain dictionaries and rendered when somebody scrapes (a collector of prometheus_client): a
  metric object takes a lock for each of five increments, 4 µs a call.
"""

import hashlib
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from itertools import accumulate

import structlog
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from gateway.call import Call
from gateway.observe.log import call_event
from gateway.permit import NOBODY
from gateway.protocol import trace_context
from gateway.protocol.status import Code
from gateway.request import Answer, RequestHead, shown

log = structlog.get_logger("gateway.access")

MAX_METHODS = 1000
MAX_UNPROVEN = 100
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)
REFUSED, OTHER = "(refused)", "(other)"  # what stands for methods that are no label
CODE_NAMES = {int(code): code.name for code in Code}
USERINFO = re.compile(rb"//[^/]*@")  # in the target of a request that is meant for a proxy


class Durations:
    """How long the calls of one method took."""

    __slots__ = ("buckets", "sum")

    def __init__(self) -> None:
        self.buckets = [0] * (len(SECONDS) + 1)  # the last one: longer than all of SECONDS
        self.sum = 0.0

    def add(self, seconds: float) -> None:
        self.buckets[bisect_left(SECONDS, seconds)] += 1
        self.sum += seconds


class CallObserver(Collector):
    """Logs and counts the calls of one gateway."""

    def __init__(self, registry: CollectorRegistry, *, access_log: bool) -> None:
        self.access_log = access_log
        self._calls: Counter[tuple[str, int]] = Counter()
        self._refusals: Counter[str] = Counter()
        self._durations: dict[str, Durations] = {}  # by what stands for the method in labels
        self._unproven: set[str] = set()  # of these, the methods that have never answered
        self._messages = [0, 0]  # of requests, of replies
        registry.register(self)

    def settled(self, call: Call) -> None:
        """A call is over."""
        status = call.status
        assert status is not None
        path = call.head.path.decode("ascii")
        seconds = call.ended - call.started
        method = self._label(path, proven=call.reply_messages > 0) if call.permitted else REFUSED
        self._calls[method, status.code] += 1
        if method not in self._durations:
            self._durations[method] = Durations()
        self._durations[method].add(seconds)
        self._messages[0] += call.request_messages
        self._messages[1] += call.reply_messages
        if call.reason:
            self._refusals[call.reason] += 1
        if self.access_log or call.reason:
            call_event(_fields(call, path, status.code))
        if call.span is not None:
            call.span.end(call)

    def refused(self, head: RequestHead, answer: Answer) -> None:
        """A request got a plain HTTP refusal."""
        self._refusals[answer.reason] += 1
        log.info(
            "refused",
            status=answer.status,
            reason=answer.reason,
            peer=head.peer,
            origin=shown(b", ".join(value for name, value in head.headers if name == b"origin")),
            path=_path(head.target),
        )

    def collect(self) -> Iterable[Metric]:
        """The metrics as they are now, for prometheus_client."""
        calls = CounterMetricFamily(
            "gateway_calls", "Calls that are over, by method and gRPC status", labels=("method", "code")
        )
        for (method, code), count in self._calls.items():
            calls.add_metric((method, CODE_NAMES.get(code, str(code))), count)
        seconds = HistogramMetricFamily("gateway_call_seconds", "From the request head to the end", labels=("method",))
        bounds = [*map(str, SECONDS), "+Inf"]
        for method, durations in self._durations.items():
            cumulative = list(zip(bounds, accumulate(durations.buckets), strict=True))
            seconds.add_metric((method,), buckets=cumulative, sum_value=durations.sum)
        messages = CounterMetricFamily("gateway_messages", "gRPC messages relayed", labels=("direction",))
        for direction, count in zip(("request", "reply"), self._messages, strict=True):
            messages.add_metric((direction,), count)
        refusals = CounterMetricFamily(
            "gateway_refusals", "Requests and calls that the gateway itself ended, by reason", labels=("reason",)
        )
        for reason, count in self._refusals.items():
            refusals.add_metric((reason,), count)
        return calls, seconds, messages, refusals

    def _label(self, method: str, *, proven: bool) -> str:
        """What stands for a method. `proven`: a call of it was answered."""
        if proven:
            self._unproven.discard(method)
        if method not in self._durations:
            if len(self._durations) >= MAX_METHODS or (not proven and len(self._unproven) >= MAX_UNPROVEN):
                return OTHER
            if not proven:
                self._unproven.add(method)
        return method


def _fields(call: Call, path: str, code: int) -> dict[str, object]:
    """Of the event `call`. Times in ms: all of the call, at the gate, and from there until the backend's first word."""
    head = call.head
    decided = call.decided or call.ended
    fields: dict[str, object] = {
        "event": "call",
        "method": path,
        "code": CODE_NAMES.get(code) or str(code),
        "reason": call.reason,
        "peer": head.peer,
        "subject": _hash(call.subject.id) if call.subject is not NOBODY else "",
        "ms": int((call.ended - call.started) * 1e5) / 100,
        "gate_ms": int((decided - call.started) * 1e5) / 100,
        "messages": (call.request_messages, call.reply_messages),
        "bytes": (call.request_bytes_seen, call.reply_bytes_seen),
        "protocol": "http2" if head.http2 else "http1",
        "form": "native" if head.type.native else "text" if head.type.reply_text else "binary",
    }
    if call.permitted:
        fields["upstream"] = call.road.opener.name_of(head.path)
        fields["upstream_ms"] = int(((call.answered or call.ended) - decided) * 1e5) / 100
    if call.identity:
        fields["identity"] = call.identity
    if call.span is not None:
        fields["trace"] = call.span.trace_id
    elif head.traceparent is not None and (parent := trace_context.parse(head.traceparent)) is not None:
        fields["trace"] = parent.trace_id
    return fields


def _path(target: bytes) -> str:
    """Without what may be secret."""
    return shown(USERINFO.sub(b"//", target).partition(b"?")[0].partition(b"#")[0])


@lru_cache(maxsize=4096)
def _hash(subject: str) -> str:
    return hashlib.sha256(subject.encode()).hexdigest()[:12]
