"""`observability`: what operators see."""

from typing import Annotated, Literal
from urllib.parse import urlsplit

from gateway.settings.kind import Source, Text, refuse
from gateway.settings.model import Section
from gateway.settings.quantity import Ratio
from gateway.settings.url import read_url

EXAMPLES = ("https://collector.internal:4318/v1/traces",)
COLLECTOR_PATTERN = r"^https?://[^/@?#]+/[^?#]+"


def read_collector(text: str, source: Source) -> str:
    """The whole address: `https://host[:port]/v1/traces`."""
    url = read_url(text, source)
    if "?" in url:
        refuse("must not have a query, since it is logged", "OTEL_EXPORTER_OTLP_HEADERS is for a collector's secrets")
    if urlsplit(url).path in ("", "/"):
        refuse("must have a path", f"OTLP over HTTP is at {url.rstrip('/')}/v1/traces on most collectors")
    return url


class Log(Section):
    """Log events, on standard output."""

    format: Literal["json", "console"] = "json"
    """json is for machines, console for people."""
    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least important events that are written."""
    access: bool = True
    """One event for each call."""


class Tracing(Section):
    """W3C trace context is always forwarded."""

    otlp: Annotated[str | None, Text(read_collector, COLLECTOR_PATTERN, EXAMPLES, none=True)] = None
    """Where an OpenTelemetry collector takes the gateway's own spans (OTLP over HTTP). Needs the extra `tracing`."""
    ratio: Annotated[float, Ratio()] = 1.0
    """How many of the calls that come without a trace are sampled; of the others their callers have decided."""


class Observability(Section):
    """Logs and traces; metrics are always on, at the admin address."""

    log: Log = Log()
    """Log events."""
    tracing: Tracing = Tracing()
    """Traces."""
