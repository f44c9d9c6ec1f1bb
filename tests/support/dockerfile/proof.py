"""That what was made of the Dockerfile works: it says its version, serves, is healthy, ends on SIGTERM.

Rule: nothing in the image may change while it runs, whatever this machine allows to be closed to it.
"""

import http.client
import re
import signal
import stat
import subprocess
import time
from pathlib import Path

from tests.support.dockerfile.container import PATIENCE, Container
from tests.support.dockerfile.instruction import ReplayError
from tests.support.dockerfile.replay import Image, Replay

ADMIN = 9901  # where HEALTHCHECK asks
CONFIGURATION = """\
listeners: [{{bind: '0.0.0.0:{port}', allow_plaintext: true}}]
admin: {{bind: '127.0.0.1:{admin}'}}
upstreams: {{any: {{services: ['*'], targets: ['127.0.0.1:1'], tls: {{}}}}}}
"""


def prove(replay: Replay) -> list[str]:
    """Start the image; what was seen, a line each. Raises ReplayError."""
    image, container = replay.image, Container(replay, [*replay.image.ports, ADMIN])
    _judge_modes(replay.root)
    version = container.run([*image.entrypoint, "--version"])
    if version.returncode:
        raise ReplayError(f"--version: exit code {version.returncode}\n{version.stdout}{version.stderr}")
    public = container.ports[image.ports[0]]
    folder = replay.root / "etc" / "grpcweb-gateway"
    folder.mkdir(parents=True)
    (folder / "gateway.yaml").write_text(CONFIGURATION.format(port=public, admin=container.ports[ADMIN]))
    before = _state(replay.root)
    if container.run(image.health).returncode != 1:
        raise ReplayError("HEALTHCHECK finds a gateway healthy that does not run")
    served = _serve(container, image, public, replay.folder / "log")
    if changed := _state(replay.root) ^ before:
        raise ReplayError(f"files of the image changed while it ran: {sorted(changed)[:5]}")
    return [version.stdout.strip(), served, *container.notes]


def _judge_modes(root: Path) -> None:
    """All must be readable for a user who owns nothing, and writable for nobody else."""
    for path in (root, *root.rglob("*")):
        mode = path.lstat().st_mode
        wanted = stat.S_IROTH | (stat.S_IXOTH if path.is_dir() else 0)
        if not path.is_symlink() and (mode & wanted != wanted or mode & stat.S_IWOTH):
            raise ReplayError(f"/{path.relative_to(root)} has mode {stat.filemode(mode)}")


def _state(root: Path) -> set[tuple[str, int, int]]:
    return {(str(path), path.lstat().st_mtime_ns, path.lstat().st_size) for path in root.rglob("*")}


def _serve(container: Container, image: Image, port: int, log: Path) -> str:
    """Start, ask for health, call, stop; what was seen."""
    process = container.start([*image.entrypoint, *image.command], log)
    try:
        _wait_ready(process, log)
        healthy = container.run(image.health)
        if healthy.returncode:
            raise ReplayError(f"HEALTHCHECK: exit code {healthy.returncode}\n{healthy.stderr}")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", "/")
        answer = connection.getresponse().status
        if answer != 404:
            raise ReplayError(f"GET / on the port of EXPOSE: {answer} instead of the gateway's 404")
        process.send_signal(signal.SIGTERM)
        if code := process.wait(PATIENCE):
            raise ReplayError(f"SIGTERM: exit code {code}")
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    return "served, was healthy by HEALTHCHECK, ended by SIGTERM with exit code 0"


def _wait_ready(process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not re.search(r'"event": ?"ready"', log.read_text()):
        if process.poll() is not None or time.monotonic() > deadline:
            raise ReplayError(f"no event `ready` in its log:\n{log.read_text()}")
        time.sleep(0.05)
