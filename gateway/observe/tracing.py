"""Whether calls have spans of the gateway's own: `observability.tracing`.

Rule: without the key a call pays for nothing, and nothing is imported for it; the libraries are an extra.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from gateway import extras
from gateway.settings import Problem, Settings

if TYPE_CHECKING:
    from gateway.observe.spans import SpanTracer

NEEDED = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")


def tracing_problems(settings: Settings) -> Iterator[Problem]:
    """What keeps spans from being made, if they are wanted."""
    if settings.observability.tracing.otlp is not None and extras.missing(NEEDED):
        key = ("observability", "tracing", "otlp")
        yield settings.problem(key, "the libraries of OpenTelemetry are not installed", extras.to_install("tracing"))


def tracer(settings: Settings) -> "SpanTracer | None":
    """None: no spans are wanted. There must be no `tracing_problems`."""
    tracing = settings.observability.tracing
    if tracing.otlp is None:
        return None
    from gateway.observe.spans import SpanTracer  # noqa: PLC0415 - its libraries are an extra

    return SpanTracer(tracing.otlp, tracing.ratio)
