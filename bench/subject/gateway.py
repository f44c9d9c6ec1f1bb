"""The gateway, as its users run it: `grpcweb-gateway serve -c gateway.yaml`."""

import json
from collections.abc import Sequence
from pathlib import Path

from bench.process import Process
from bench.subject.running import Running, command


class Gateway(Running):
    """It says in its log when it is ready."""

    def _arguments(self, configuration: Path) -> Sequence[str | Path]:
        return command(), "serve", "-c", configuration

    def _wait(self, process: Process) -> Sequence[str]:
        return process.wait_for(_listeners)


def _listeners(line: str) -> list[str] | None:
    """The addresses in the `ready` event; None: the line is another one."""
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return [str(url) for url in event["listeners"]] if event.get("event") == "ready" else None
