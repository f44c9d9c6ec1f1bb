"""Log events: JSON for machines or a console for people, on standard output.

Rules
- An event is a code in snake_case with fields; a token, a cookie or a secret is never a field.
- Lines are written by output.py.
- The event that every call has takes a way of its own to the same line: 3 µs instead of structlog's 7.
"""

import atexit
import logging
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TextIO, cast

import orjson
import structlog

from gateway.observe.output import LineBuffer, unbuffered
from gateway.settings import Settings


def _lines_lost(lines: int) -> bytes:
    """The line of an event which nobody can log as others: it stands where `lines` are missing."""
    log = structlog.wrap_logger(structlog.ReturnLogger())
    text: str | None = log.error("log_lines_lost", lines=lines)
    return b"" if text is None else f"{text}\n".encode()


OUTPUT = LineBuffer(unbuffered(sys.stdout), _lines_lost)
atexit.register(OUTPUT.gather, None)


def configure(*, console: bool, level: str, worker: int | None = None) -> None:
    """Set structlog up for the process, and the libraries' own logging with it.

    `worker`: the number of this one where several write to the same place; it stands in every event.
    """
    _everywhere.clear()
    if worker is not None:
        _everywhere["worker"] = worker
        OUTPUT.share()
    number = logging.getLevelNamesMapping()[level.upper()]
    stamp: Any = structlog.processors.TimeStamper("%H:%M:%S.%f", utc=False) if console else _stamp
    renderer: Any = structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty()) if console else _render
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            _add_everywhere,
            stamp,
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(cast(TextIO, OUTPUT)),
        cache_logger_on_first_use=False,
    )
    global _line_of_call  # noqa: PLW0603 - structlog's configuration is the process's, too
    _line_of_call = _write_line if not console and number <= logging.INFO else None
    # Libraries log input and tracebacks; what matters of theirs is translated into events of ours.
    logging.basicConfig(level=logging.CRITICAL)


def configure_log(settings: Settings, *, debug: bool, worker: int | None = None) -> None:
    """As `configure`, by the configuration; `debug`: everything."""
    log = settings.observability.log
    configure(console=log.format == "console", level="debug" if debug else log.level, worker=worker)


def call_event(fields: dict[str, Any]) -> None:
    """The event `call`, at level info. `fields` begins with `event`, as the line does, and is used up."""
    if _line_of_call is not None:
        _line_of_call(fields)
    else:
        del fields["event"]
        structlog.get_logger("gateway.access").info("call", **fields)


_everywhere: dict[str, object] = {}
_line_of_call: Callable[[dict[str, object]], None] | None = None


def _write_line(event: dict[str, object]) -> None:
    if _everywhere:
        event.update(_everywhere)
    event["level"] = "info"
    event["timestamp"] = datetime.now(UTC)
    OUTPUT.add(orjson.dumps(event, default=repr, option=orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE))


def _add_everywhere(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    event.update(_everywhere)
    return event


def _stamp(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    event["timestamp"] = datetime.now(UTC)
    return event


def _render(_logger: object, _method: str, event: structlog.typing.EventDict) -> str:
    return orjson.dumps(event, default=repr, option=orjson.OPT_UTC_Z).decode()
