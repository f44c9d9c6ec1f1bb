"""Log events: JSON for machines or a console for people, on standard output.

Rules
- An event is a code in snake_case with fields; a token, a cookie or a secret is never a field.
- One line per call costs a system call per call: while an event loop runs, lines are written together, `DELAY` late
  at most.
- The event that every call has takes a way of its own to the same line: 3 µs instead of structlog's 7.
"""

import atexit
import logging
import select
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import IO, Any, TextIO, cast

import orjson
import structlog

from gateway.settings import Settings

DELAY = 0.1  # seconds


class LineBuffer:
    """A text stream that gathers lines while an event loop can be asked to write them soon."""

    def __init__(self, stream: IO[str], later: Callable[[float, Callable[[], None]], object] | None = None) -> None:
        self._stream = stream
        self._later = later
        self._lines: list[str] = []
        self.most: int | None = None  # bytes in one write; a line is never cut

    def gather(self, later: Callable[[float, Callable[[], None]], object] | None) -> None:
        """`later`: an event loop's call_later; None: write at once."""
        self._later = later
        self.flush()

    def write(self, text: str) -> None:
        if self._later is not None and not self._lines:
            self._later(DELAY, self.write_out)
        self._lines.append(text)
        if self._later is None:
            self.write_out()

    def write_out(self) -> None:
        lines, self._lines = self._lines, []
        try:
            for piece in ["".join(lines)] if self.most is None else _pieces(lines, self.most):
                self._stream.write(piece)
                self._stream.flush()
        except (OSError, ValueError):
            self._lines.clear()  # nobody reads any more, or there is no room: that must not end a call

    def flush(self) -> None:
        """What structlog calls after each line: while lines are gathered, the timer does it."""
        if self._later is None and self._lines:
            self.write_out()


def _pieces(lines: list[str], most: int) -> Iterator[str]:
    """The lines put together, as many as have room."""
    piece, size = "", 0
    for line in lines:
        length = len(line.encode())
        if piece and size + length > most:
            yield piece
            piece, size = "", 0
        piece, size = piece + line, size + length
    yield piece


OUTPUT = LineBuffer(sys.stdout)


def configure(*, console: bool, level: str, worker: int | None = None) -> None:
    """Set structlog up for the process, and the libraries' own logging with it.

    `worker`: the number of this one where several write to the same place; it stands in every event.
    """
    _everywhere.clear()
    if worker is not None:
        _everywhere["worker"] = worker
        OUTPUT.most = select.PIPE_BUF  # bytes that do not mix with what others write (POSIX, `write` to a pipe)
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
    atexit.register(OUTPUT.gather, None)
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
    OUTPUT.write(orjson.dumps(event, default=repr, option=orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE).decode())


def _add_everywhere(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    event.update(_everywhere)
    return event


def _stamp(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    event["timestamp"] = datetime.now(UTC)
    return event


def _render(_logger: object, _method: str, event: structlog.typing.EventDict) -> str:
    return orjson.dumps(event, default=repr, option=orjson.OPT_UTC_Z).decode()
