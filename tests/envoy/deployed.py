"""What envoy/ deploys, run without an engine: its files as they are committed, in a folder that stands for /etc/envoy.

Rule: nothing in them is changed but addresses, ports and folders.
"""

import asyncio
import contextlib
import os
import re
import signal
import ssl
import subprocess
import sys
from asyncio.subprocess import DEVNULL, STDOUT
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from tests.envoy.manifests import COMPOSE, FOLDER, GATEWAY
from tests.support.envoy import require_envoy
from tests.support.ports import free_ports
from tests.support.wire import Answer, connect, request

ISSUER = GATEWAY["auth"]["issuers"][0]["issuer"]
PATIENCE = 20.0  # seconds for a start
READY = re.compile(r"ready: backend \S+:(\d+), issuer \S+:(\d+) as (\S+),")


@dataclass(frozen=True, slots=True)
class Deployment:
    """`folder` stands for /etc/envoy, and for /etc/grpcweb-gateway as well. The ports are those of this machine."""

    folder: Path
    backend: int
    issuer: int
    https: int
    operator: int
    admin: int

    def here(self, text: str) -> str:
        """`text` with the places and ports as they are here. What tokens call their issuer stays."""
        replaced = {
            r"/etc/(?:envoy|grpcweb-gateway)\b": str(self.folder),
            r"\b0\.0\.0\.0\b": "127.0.0.1",
            r"\bbackend(:|, port_value: )50051\b": rf"localhost\g<1>{self.backend}",
            r"\b8081/token\b": f"{self.issuer}/token",
            r"\b8443\b": str(self.https),
            r"\b9901\b": str(self.operator),
            r"\b9902\b": str(self.admin),
        }
        for pattern, replacement in replaced.items():
            text = re.sub(pattern, replacement, text)
        return text

    def browser(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.folder / "tls" / "ca.pem"))

    async def token(self) -> str:
        """A reader's, by client credentials."""
        form = {"grant_type": "client_credentials", "client_id": "cli", "client_secret": "cli-secret"}
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"http://127.0.0.1:{self.issuer}/token", data=form) as response,
        ):
            return str((await response.json())["access_token"])

    async def call(self, method: str, body: bytes, *headers: tuple[str, str]) -> Answer:
        """One call on a connection of its own."""
        sent = [("content-type", "application/grpc-web+proto"), *headers]
        async with connect(self.https, context=self.browser()) as wire:
            return await wire.ask(request(f"/demo.v1.Demo/{method}", sent, body))

    async def page(self, path: str) -> tuple[int, str]:
        """One of the operator's."""
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{self.operator}{path}") as response,
        ):
            return response.status, await response.text()

    def shell(self, command: Sequence[str]) -> int:
        """The exit code of what a container is to run inside itself, as compose or Kubernetes writes it."""
        words = [self.here(word.replace("$$", "$")) for word in command]
        return subprocess.run(words, stdin=subprocess.DEVNULL, timeout=PATIENCE, check=False).returncode


@contextlib.contextmanager
def deployment(folder: Path) -> Iterator[Deployment]:
    """The backend and the issuer, as a process, and everything that a proxy is given."""
    command = [sys.executable, "-m", "gateway.demo", "--folder", str(folder), "--issuer-url", ISSUER]
    process = subprocess.Popen(
        [*command, "--backend-port", "0", "--issuer-port", "0"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        ready = READY.match(process.stdout.readline())
        assert ready is not None, "it has not started"
        https, operator, admin = free_ports(3)
        made = Deployment(folder, int(ready[1]), int(ready[2]), https, operator, admin)
        (folder / "envoy-secrets").mkdir()
        for path in (FOLDER / "gateway.yaml", FOLDER / "envoy.yaml", *(FOLDER / "envoy-secrets").iterdir()):
            (folder / path.relative_to(FOLDER)).write_text(made.here(path.read_text()))
        yield made
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.communicate()


@contextlib.asynccontextmanager
async def serving(made: Deployment, proxy: str) -> AsyncIterator[None]:
    """`proxy`: "envoy", as docker-compose.yaml starts it, or "gateway", as its image does; until it is ready."""
    program: list[str | Path] = [sys.executable, "-m", "gateway"]
    words = ["serve", "-c", "/etc/grpcweb-gateway/gateway.yaml"]
    if proxy == "envoy":
        program, words = [require_envoy()], COMPOSE["services"]["envoy"]["command"][1:]
    log = made.folder.with_name(f"{made.folder.name}-{proxy}.log")
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *program,
            *map(made.here, words),
            stdin=DEVNULL,
            stdout=output,
            stderr=STDOUT,
            env=os.environ | {"GRPC_VERBOSITY": "NONE"},
        )
    try:
        async with asyncio.timeout(PATIENCE):
            while not await _is_ready(made):
                assert process.returncode is None, log.read_text(errors="replace")[-2000:]
                await asyncio.sleep(0.05)
        yield
    finally:
        if process.returncode is None:
            process.terminate()
        await asyncio.wait_for(process.wait(), PATIENCE)


async def _is_ready(made: Deployment) -> bool:
    with contextlib.suppress(aiohttp.ClientConnectionError):
        return (await made.page("/readyz"))[0] == 200
    return False
