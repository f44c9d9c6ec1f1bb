"""One gateway for each upstream, for the whole matrix; both before the same backends."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.contract.backends import KINDS, LISTENER, ODD, descriptors, install
from tests.contract.cases import MAX_MESSAGE
from tests.contract.cells import Stage
from tests.contract.odd import ODDITIES
from tests.envoy.backend import Backend as Listener
from tests.envoy.script import ECHO, head, trailers
from tests.support.backends import SCRIPT, raw_http2, scripted
from tests.support.gateway import Change, running

PLAINTEXT = {"plaintext": True, "allow_insecure_tokens": True}
UPSTREAMS = ("grpcio", "h2")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    declared = tmp_path_factory.mktemp("contract") / "descriptors.binpb"
    declared.write_bytes(descriptors(odd.name for odd in ODDITIES))
    async with AsyncExitStack() as exits:
        backend = await exits.enter_async_context(scripted())
        witness = install(backend)
        sections = {"script": backend.section()}
        for odd in ODDITIES:
            section = await exits.enter_async_context(raw_http2(*odd.frames))
            sections[odd.name.lower()] = {"services": [ODD + odd.name], **section}
        listener = Listener({"Echo": (head(), ECHO, trailers())})
        port = await exits.enter_async_context(listener.door(None))
        sections["listener"] = {"services": [LISTENER], **PLAINTEXT, "targets": [f"127.0.0.1:{port}"]}
        gateways = {
            upstream: await exits.enter_async_context(running(_through(upstream, sections, declared)))
            for upstream in UPSTREAMS
        }
        yield Stage(gateways, backend, witness, listener, port)


def _through(upstream: str, sections: dict[str, Any], declared: Path) -> Change:
    def change(configuration: dict[str, Any]) -> None:
        configuration["upstreams"] |= {name: dict(section) for name, section in sections.items()}
        for section in configuration["upstreams"].values():
            section["transport"] = upstream
        admins = {"methods": [f"{SCRIPT}{kind}Admin" for kind in KINDS], "roles": ["admin"]}
        configuration["authorization"]["rules"].append(admins)
        configuration["authorization"] |= {"default": "authenticated", "descriptors": str(declared)}
        configuration["limits"] = dict.fromkeys(("max_request_message", "max_response_message"), f"{MAX_MESSAGE}B")

    return change
