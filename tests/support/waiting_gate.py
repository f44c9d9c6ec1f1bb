"""A gateway whose gate waits for an answer about a token, while the test does something else."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from tests.support.gateway import RunningGateway, eventually, running
from tests.support.key_server import KeyServer, key_server

PATH = "/introspect"


@contextlib.asynccontextmanager
async def waiting_gate() -> AsyncIterator[tuple[RunningGateway, KeyServer]]:
    """The answer comes at the end, when nobody may be there any more: no call reaches the backend."""
    async with key_server() as server:
        server.held[PATH] = asyncio.Event()
        server.pages[PATH] = b'{"active": true, "sub": "alice", "roles": ["reader"]}'

        def change(configuration: dict[str, Any]) -> None:
            configuration["auth"]["introspection"] = {
                "url": server.url + PATH, "client_id": "gateway", "client_secret": "secret",
            }  # fmt: skip

        async with running(change) as gateway:
            yield gateway, server
            server.held[PATH].set()
            await eventually(lambda: not gateway.gate._waiting)
            assert gateway.backend_calls == 0
