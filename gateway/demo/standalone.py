"""The backend and the issuer of the demonstration alone, for a proxy in another process or another container.

Rule: into the folder goes what whoever stands before the backend needs, tls/ and issuer/jwks.json, so that each can be
mounted by itself. What only the backend needs, its own key, is in a folder of its own, which is gone afterwards; the
keys of the authority and the issuer are in no file at all.
"""

import json
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self

from gateway.demo.backend import Backend
from gateway.demo.interceptors import JwtVerifier
from gateway.demo.issuer import LOOPBACK, Issuer
from gateway.demo.pki import Pki, write
from gateway.settings import Address

GRACE = 2.0  # seconds for calls that are going on at the end


@dataclass(frozen=True, slots=True, kw_only=True)
class Standalone:
    """Where to serve, and where the files go. A port of 0 takes a free one; `issuer_url`: by default its own address.

    `group_readable`: the keys are for the owner's group, too, so that other users of this group can be the proxy.
    """

    folder: Path
    host: str = LOOPBACK
    backend_port: int = 50051
    issuer_port: int = 8081
    issuer_url: str | None = None
    origins: Sequence[str] = ()
    group_readable: bool = False


class Running:
    """`async with Running(standalone) as running:` serves meanwhile. The backend is the last to take connections: when
    it does, all the rest is there. Raises OSError when a port is taken, or the folder cannot be written.
    """

    issuer: Issuer
    backend: Backend

    def __init__(self, asked: Standalone) -> None:
        self._asked = asked
        self._exit = AsyncExitStack()

    async def __aenter__(self) -> Self:
        asked = self._asked
        async with AsyncExitStack() as exits:
            own = exits.enter_context(TemporaryDirectory(prefix="grpcweb-gateway-demo-"))  # mode 0700
            pki = Pki(Path(own))
            self.issuer = Issuer(asked.origins)
            await self.issuer.start(asked.issuer_port, host=asked.host, url=asked.issuer_url)
            exits.push_async_callback(self.issuer.stop)
            # Only with the port: two of the same folder must not write over each other's files.
            _publish(asked, pki, self.issuer)
            verify = JwtVerifier(self.issuer.public_jwks, issuer=self.issuer.url, audience=self.issuer.audience)
            self.backend = Backend(pki, verify=verify, bind=str(Address(asked.host, asked.backend_port)))
            await self.backend.start()
            exits.push_async_callback(self.backend.stop, GRACE)
            self._exit = exits.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._exit.aclose()


def _publish(asked: Standalone, pki: Pki, issuer: Issuer) -> None:
    certificates, keys = asked.folder / "tls", asked.folder / "issuer"
    for folder in (certificates, keys):
        folder.mkdir(parents=True, exist_ok=True)
    pki.publish(certificates, group_readable=asked.group_readable)
    write(keys / "jwks.json", json.dumps(issuer.public_jwks()).encode(), 0o644)
