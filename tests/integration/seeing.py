"""What operators see with: the access log, the admin pages, a collector of traces."""

from typing import Any

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.support.gateway import Change, eventually

TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{CALLER}-01", f"00-{TRACE}-{CALLER}-00"


def seen(configuration: dict[str, Any]) -> None:
    configuration["observability"]["log"]["access"] = True
    configuration["admin"] = {"bind": "127.0.0.1:0"}


class Collector:
    """An OpenTelemetry collector: takes spans over HTTP."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.resources: list[dict[str, str]] = []
        self.status = 200
        self.asked = 0
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        self.asked += 1
        assert request.content_type == "application/x-protobuf"
        if self.status == 200:
            taken = ExportTraceServiceRequest.FromString(await request.read())
            for of_resource in taken.resource_spans:
                attributes = of_resource.resource.attributes
                self.resources.append({one.key: one.value.string_value for one in attributes})
                for of_scope in of_resource.scope_spans:
                    self.spans += of_scope.spans
        return web.Response(status=self.status)

    async def span(self) -> Span:
        """The next one."""
        await eventually(lambda: bool(self.spans), seconds=10)
        return self.spans.pop(0)

    def traced(self, **more: object) -> Change:
        def change(configuration: dict[str, Any]) -> None:
            seen(configuration)
            configuration["observability"]["tracing"] = {"otlp": self.url, **more}

        return change
