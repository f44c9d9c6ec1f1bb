"""What is seen of calls: one log event and some counts for each, and for each request refused before it was one.

Rules
- Observers see and alter nothing; they run when a call is over.
- A subject is logged as a hash: a log tells callers apart without naming them.
- A label's values are bounded: a method becomes one only when it was permitted, and only the first `MAX_METHODS` do.
"""

import hashlib
from functools import lru_cache

import structlog
from prometheus_client import CollectorRegistry, Counter, Histogram

from gateway.call import Call
from gateway.permit import NOBODY
from gateway.protocol.status import Code
from gateway.request import Answer, RequestHead

log = structlog.get_logger("gateway.access")

MAX_METHODS = 1000
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)
CODE_NAMES = {int(code): code.name for code in Code}


class CallObserver:
    """Logs and counts the calls of one gateway."""

    def __init__(self, registry: CollectorRegistry, *, access_log: bool) -> None:
        self._access_log = access_log
        self._calls = Counter(
            "gateway_calls", "Calls that are over, by method and gRPC status", ("method", "code"), registry=registry
        )
        self._seconds = Histogram(
            "gateway_call_seconds", "From the request head to the end", ("method",), buckets=SECONDS, registry=registry
        )
        self._messages = Counter("gateway_messages", "gRPC messages relayed", ("direction",), registry=registry)
        self._refusals = Counter(
            "gateway_refusals",
            "Requests and calls that the gateway itself ended, by reason",
            ("reason",),
            registry=registry,
        )
        self._received = self._messages.labels("request")
        self._sent = self._messages.labels("reply")
        self._methods: dict[bytes, str] = {}
        self._counters: dict[tuple[str, int], Counter] = {}
        self._timers: dict[str, Histogram] = {}

    def settled(self, call: Call) -> None:
        """A call is over."""
        status = call.status
        assert status is not None
        duration = call.ended - call.started
        method = self._method(call)
        self._count(method, status.code, duration)
        if call.request_messages:
            self._received.inc(call.request_messages)
        if call.reply_messages:
            self._sent.inc(call.reply_messages)
        if call.reason:
            self._refusals.labels(call.reason).inc()
        if self._access_log or call.reason:
            log.info(
                "call",
                method=call.head.path.decode("ascii"),
                code=CODE_NAMES.get(status.code, str(status.code)),
                reason=call.reason,
                peer=call.head.peer,
                subject=_hash(call.subject.id) if call.subject is not NOBODY else "",
                ms=round(duration * 1000, 2),
                messages=[call.request_messages, call.reply_messages],
                bytes=[call.request_bytes_seen, call.reply_bytes_seen],
            )

    def refused(self, head: RequestHead, answer: Answer) -> None:
        """A request got a plain HTTP refusal."""
        self._refusals.labels(answer.reason).inc()
        log.info("refused", status=answer.status, reason=answer.reason, peer=head.peer)

    def _method(self, call: Call) -> str:
        path = call.head.path
        method = self._methods.get(path)
        if method is None:
            if not call.permitted:
                return "(refused)"
            if len(self._methods) >= MAX_METHODS:
                return "(other)"
            method = self._methods[path] = path.decode("ascii")
        return method

    def _count(self, method: str, code: int, duration: float) -> None:
        counter = self._counters.get((method, code))
        if counter is None:
            counter = self._counters[method, code] = self._calls.labels(method, CODE_NAMES.get(code, str(code)))
            self._timers[method] = self._seconds.labels(method)
        counter.inc()
        self._timers[method].observe(duration)


@lru_cache(maxsize=4096)
def _hash(subject: str) -> str:
    return hashlib.sha256(subject.encode()).hexdigest()[:12]
