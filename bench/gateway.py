"""The gateway under measurement: `grpcweb-gateway serve -c gateway.yaml`, in its own process, on its own core."""

import json
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.process import BenchError, Process


class Gateway:
    """A gateway that accepts calls. `with Gateway(...)` ends it."""

    def __init__(self, configuration: Path, cores: set[int]) -> None:
        """Takes as long as the start does. Raises BenchError."""
        program = Path(sys.executable).with_name("grpcweb-gateway")
        if not program.exists():
            raise BenchError(f"{program} is not there: `make bench`, or pip install -e . first")
        self.log = configuration.with_name("gateway.log")
        self.process = Process([program, "serve", "-c", configuration], self.log, cores)
        try:
            urls = self.process.wait_for(_listeners)
        except BaseException:
            self.process.stop()
            raise
        self.start_seconds = time.perf_counter() - self.process.started
        self.http_url = next(url for url in urls if url.startswith("http:"))
        self.https_url = next(url for url in urls if url.startswith("https:"))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.stop()


def _listeners(line: str) -> list[str] | None:
    """The addresses in the `ready` event; None: the line is another one."""
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return [str(url) for url in event["listeners"]] if event.get("event") == "ready" else None
