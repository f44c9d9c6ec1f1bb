"""What README.md says of backends that cannot be reached is what the log and `check` say."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.demo.world import DemoWorld
from tests.integration.readme.page import codes, rows, section
from tests.integration.readme.shell import run
from tests.support.backends import scripted
from tests.support.certificates import authority, leaf, write_pair
from tests.support.gateway import running


@pytest.mark.parametrize(("column", "transport", "field"), [(0, "h2", "problem"), (1, "grpcio", "details")])
async def test_the_table_of_unreachable_backends(tmp_path: Path, column: int, transport: str, field: str) -> None:
    told = [codes(row[column])[0] for row in rows(section("Troubleshooting"))]
    foreign = authority()
    (tmp_path / "ca.pem").write_bytes(foreign.pem)
    certificate, key = write_pair(tmp_path, *leaf(foreign, "gateway.demo.internal"))

    async def said(targets: list[str] | None = None, *, plain: bool = False, **tls: str) -> str:
        def change(configuration: dict[str, Any]) -> None:
            upstream = configuration["upstreams"]["demo"]
            upstream["transport"] = transport
            upstream["tls"] |= tls
            upstream["targets"] = targets or upstream["targets"]
            if plain:
                del upstream["tls"]
                upstream |= {"plaintext": True, "allow_insecure_tokens": True}

        with capture_logs() as events:
            async with running(change) as gateway:
                reply = await gateway.echo()
        assert (reply.code, reply.status and reply.status.message) == (14, "the backend cannot be reached")
        return next(str(event[field]) for event in events if event["event"] == "backend_unreachable")

    async with scripted() as plaintext, old_server(tmp_path) as old:
        found = [
            await said(["127.0.0.1:1"]),
            await said(server_name="other.internal"),
            await said(ca=str(tmp_path / "ca.pem")),
            await said(certificate=str(certificate), private_key=str(key)),
            await said(plain=True),
            await said([f"127.0.0.1:{plaintext.port}"]),
            await said([f"127.0.0.1:{old}"], ca=str(tmp_path / "old.pem"), server_name="old.internal"),
        ]
    assert [phrase in one for phrase, one in zip(told, found, strict=True)] == [True] * len(told), found


@contextlib.asynccontextmanager
async def old_server(folder: Path) -> AsyncIterator[int]:
    """The port of a server with TLS that has never heard of HTTP/2; `old.pem` is who signed its certificate."""

    async def leave(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    signer = authority()
    (folder / "old.pem").write_bytes(signer.pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*write_pair(folder, *leaf(signer, "old.internal"), stem="old-server"))
    async with await asyncio.start_server(leave, "127.0.0.1", 0, ssl=context) as server:
        yield server.sockets[0].getsockname()[1]


async def test_check_tells_why_a_backend_cannot_be_reached(world: DemoWorld, tmp_path: Path) -> None:
    text = world.config_path.read_text()
    assert text.count("server_name: backend.demo.internal") == 1
    (world.config_path.parent / "other.yaml").write_text(text.replace("backend.demo.internal", "other.internal"))
    code, _, errors = await run("grpcweb-gateway check -c other.yaml", world.config_path.parent)
    assert code == 1
    assert "upstreams.demo.targets: no target can be reached" in errors
    assert codes(rows(section("Troubleshooting"))[1][0])[0] in errors
