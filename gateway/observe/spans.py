"""Spans: each call in a trace, for an OpenTelemetry collector (OTLP over HTTP).

    call ── begin ──▶ span ── end ──▶ queue (bounded) ──▶ a thread ──▶ collector

Rules
- No call waits for a collector. Spans are sent in batches by a thread of the SDK; when its queue is full the oldest go.
- A call has one span (kind SERVER). The backend is told that span as its parent, in place of the caller's.
- Whether a call is sampled its caller has decided, if it is in a trace; else chance does (`ratio`), and the backend is
  told either way.
- A collector that cannot be reached is logged once, and once more when it is back.
- Of a call's headers nothing but its trace context is in a span.

The environment variables of OpenTelemetry hold for what the configuration does not say: OTEL_EXPORTER_OTLP_HEADERS
(the collector's secrets), OTEL_RESOURCE_ATTRIBUTES, OTEL_BSP_*.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from uuid import uuid4

import requests
import structlog
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, StatusCode, TraceFlags, TraceState
from opentelemetry.util.types import AttributeValue

from gateway.call import Call
from gateway.ends import CallHead
from gateway.protocol import trace_context
from gateway.protocol.metadata import Headers
from gateway.protocol.status import Code
from gateway.protocol.trace_context import TraceParent
from gateway.version import VERSION

log = structlog.get_logger("gateway.tracing")

EXPORT_TIMEOUT = 5.0  # seconds for one batch, tried again within them
GOODBYE = 2.0  # seconds for the last spans
NOT_PERMITTED = "(refused)"  # in place of a name that a stranger has made up
OF_CONTEXT = (b"traceparent", b"tracestate")
# A server's span is an error when the server is at fault (OpenTelemetry, "Semantic Conventions for gRPC").
AT_FAULT = (Code.UNKNOWN, Code.DEADLINE_EXCEEDED, Code.UNIMPLEMENTED, Code.INTERNAL, Code.UNAVAILABLE, Code.DATA_LOSS)
ERRORS = frozenset(map(int, AT_FAULT))


class CallSpan:
    """Of one call."""

    __slots__ = ("_context", "_keeps_state", "_span", "trace_id")

    def __init__(self, span: trace.Span, *, keeps_state: bool) -> None:
        """`keeps_state`: the caller is in the same trace, so what its `tracestate` says holds."""
        context = span.get_span_context()
        self.trace_id = f"{context.trace_id:032x}"
        self._context = context
        self._span = span
        self._keeps_state = keeps_state

    def carried(self, metadata: Headers) -> Headers:
        context = self._context
        parent = TraceParent(self.trace_id, f"{context.span_id:016x}", context.trace_flags)
        dropped = OF_CONTEXT[:1] if self._keeps_state else OF_CONTEXT
        kept = [header for header in metadata if header[0] not in dropped]
        return [*kept, (b"traceparent", str(parent).encode())]

    def end(self, call: Call) -> None:
        span = self._span
        if span.is_recording():
            status = call.status
            assert status is not None
            span.set_attributes(_attributes(call, status.code))
            if not call.permitted:
                span.update_name(NOT_PERMITTED)
            if status.code in ERRORS:
                span.set_status(StatusCode.ERROR)
        span.end()


class SpanTracer:
    """Of one configuration. Needs a running loop."""

    def __init__(self, url: str, ratio: float) -> None:
        """`url`: where a collector takes spans, path included."""
        self._url = url
        self._in_loop = _in_this_loop()
        self._exporter: _Exporter | None = None  # until it starts, for the SDK forgets no processor (fork)
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(ratio)), resource=_resource(), shutdown_on_exit=False
        )
        self._tracer = self._provider.get_tracer("gateway", VERSION)

    def begin(self, head: CallHead) -> CallSpan | None:
        parent = trace_context.parse(head.traceparent)
        if parent is not None and not parent.sampled:
            return None  # as it would be with a span that nobody records, at a tenth of the cost
        context = None if parent is None else trace.set_span_in_context(NonRecordingSpan(_remote(parent, head)))
        name = head.path[1:].decode("ascii")
        span = self._tracer.start_span(name, context, SpanKind.SERVER)
        if not span.get_span_context().is_valid:
            return None  # OTEL_SDK_DISABLED
        return CallSpan(span, keeps_state=parent is not None)

    async def start(self) -> None:
        """A collector may be late."""
        self._exporter = _Exporter(self._url, self._in_loop)
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))

    async def close(self) -> None:
        """Send what is left, for `GOODBYE` seconds at most."""
        if self._exporter is None:
            return
        done = asyncio.Event()

        def shut_down() -> None:
            self._provider.shutdown()
            self._in_loop(done.set)

        self._exporter.last = True
        # A daemon, unlike the threads of asyncio: a collector that does not answer must not keep the process.
        threading.Thread(target=shut_down, name="spans-goodbye", daemon=True).start()
        try:
            async with asyncio.timeout(GOODBYE):
                await done.wait()
        except TimeoutError:
            self._exporter.shutdown()


class _Exporter(SpanExporter):
    """Sends batches, in the SDK's thread, and tells when that begins to fail and when it works again."""

    def __init__(self, url: str, soon: Callable[[Callable[[], object]], None]) -> None:
        """`soon` runs something in the event loop."""
        self.last = False  # nothing is tried any more that has just failed
        self._url = url
        self._soon = soon
        self._session = _Session()
        self._sender: SpanExporter = OTLPSpanExporter(endpoint=url, timeout=EXPORT_TIMEOUT, session=self._session)
        self._failing = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if self.last and self._failing:
            return SpanExportResult.FAILURE
        result = self._sender.export(spans)
        failing = result is not SpanExportResult.SUCCESS
        if failing != self._failing:
            self._failing = failing
            self._soon(partial(self._tell, self._session.problem if failing else None))
        return result

    def shutdown(self) -> None:
        self._sender.shutdown()

    def _tell(self, problem: str | None) -> None:
        if problem is None:
            log.info("tracing_up", collector=self._url)
        else:
            log.warning("tracing_down", collector=self._url, reason=problem)


class _Session(requests.Session):
    """Remembers why the last request failed, which the exporter tells nobody."""

    problem = ""

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        try:
            response = super().send(request, **kwargs)
        except requests.RequestException as error:
            self.problem = _reason(error)
            raise
        self.problem = f"HTTP status {response.status_code}"
        return response


def _reason(error: BaseException) -> str:
    """The operating system's or OpenSSL's word, which is below those of two libraries."""
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    return type(error).__name__


def _in_this_loop() -> Callable[[Callable[[], object]], None]:
    """Runs something in the loop that runs now, from any thread; nothing once it is closed."""
    loop = asyncio.get_running_loop()

    def soon(callback: Callable[[], object]) -> None:
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(callback)

    return soon


def _resource() -> Resource:
    """The gateway; what the environment says of it comes first."""
    own = {"service.name": "grpcweb-gateway", "service.version": VERSION, "service.instance.id": str(uuid4())}
    return Resource.create(Resource(own).merge(OTELResourceDetector().detect()).attributes)


def _remote(parent: TraceParent, head: CallHead) -> SpanContext:
    state = [value.decode("latin-1") for name, value in head.headers if name == b"tracestate"]
    return SpanContext(
        int(parent.trace_id, 16),
        int(parent.span_id, 16),
        is_remote=True,
        trace_flags=TraceFlags(parent.flags),
        trace_state=TraceState.from_header(state),
    )


def _attributes(call: Call, code: int) -> dict[str, AttributeValue]:
    service, _, method = call.head.path[1:].decode("ascii").partition("/")
    attributes: dict[str, AttributeValue] = {
        "rpc.system": "grpc",
        "rpc.service": service,
        "rpc.method": method,
        "rpc.grpc.status_code": code,
        "client.address": call.head.peer,
        "network.protocol.name": "http",
        "network.protocol.version": "2" if call.head.http2 else "1.1",
    }
    if call.permitted:
        attributes["gateway.upstream"] = call.road.opener.name_of(call.head.path)
    if call.reason:
        attributes["gateway.reason"] = call.reason
    return attributes
