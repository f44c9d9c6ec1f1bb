"""What all subjects have."""

import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.process import BenchError, Process


class Running(ABC):
    """A subject that accepts calls. `with Running(...)` ends it."""

    def __init__(self, configuration: Path, cores: set[int]) -> None:
        """Serves the gateway.yaml `configuration`. Takes as long as the start does. Raises BenchError."""
        arguments = self._arguments(configuration)
        self.process = Process(arguments, configuration.with_suffix(f".{type(self).__name__.lower()}.log"), cores)
        try:
            urls = self._wait(self.process)
            self.start_seconds = time.perf_counter() - self.process.started
            self.http_url = next(url for url in urls if url.startswith("http:"))
            self.https_url = next(url for url in urls if url.startswith("https:"))
        except BaseException:
            self.process.stop()
            raise

    @abstractmethod
    def _arguments(self, configuration: Path) -> Sequence[str | Path]:
        """The command line. Raises BenchError."""

    @abstractmethod
    def _wait(self, process: Process) -> Sequence[str]:
        """Until it accepts calls; the addresses of its listeners. Raises BenchError."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.stop()


def command() -> Path:
    """The `grpcweb-gateway` beside this interpreter. Raises BenchError."""
    program = Path(sys.executable).with_name("grpcweb-gateway")
    if not program.exists():
        raise BenchError(f"{program} is not there: `make bench`, or pip install -e . first")
    return program
