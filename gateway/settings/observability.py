"""`observability`: what operators see."""

from typing import Annotated, Literal

from gateway.settings.kind import NotYet, Text
from gateway.settings.model import Section
from gateway.settings.url import URL_PATTERN, read_url


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

    otlp: Annotated[str | None, Text(read_url, URL_PATTERN, none=True), NotYet(None)] = None
    """An OpenTelemetry collector for the gateway's own spans. Not supported yet."""


class Observability(Section):
    """Logs and traces; metrics are always on, at the admin address."""

    log: Log = Log()
    """Log events."""
    tracing: Tracing = Tracing()
    """Traces."""
