"""An issuer whose signing key changes: metadata and key set over HTTP, for the gateway; a file, for the backends.

Rule: the key before stays in the set, for its tokens are still in use. A private key lives in memory only.
"""

import json
import secrets
import time
from pathlib import Path

from aiohttp import web

from gateway.demo.pki import write
from gateway.demo.signer import Signer

AUDIENCE = "soak"
LIFETIME = 3600  # seconds of a token: longer than a run
TOKEN_USES = 20  # calls with the same token: some come out of the gateway's cache, and new ones go in


class Issuer:
    """`async with Issuer(file)` serves."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.url = ""
        self._signers = [Signer()]
        self._kept: dict[str, tuple[str, int]] = {}  # by role: a token and how often it may still be used
        application = web.Application()
        application.router.add_get("/.well-known/openid-configuration", self._metadata)
        application.router.add_get("/jwks", self._key_set)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.5)

    async def __aenter__(self) -> "Issuer":
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        self._publish()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self._runner.cleanup()

    def rotate(self) -> None:
        """A new key signs from now on."""
        self._signers = [Signer(), self._signers[0]]
        self._kept.clear()
        self._publish()

    def token(self, role: str) -> str:
        """One that is good."""
        token, uses = self._kept.get(role, ("", 0))
        if not uses:
            token, uses = self._signed(role, LIFETIME), TOKEN_USES
        self._kept[role] = token, uses - 1
        return token

    def expired(self, role: str) -> str:
        return self._signed(role, -60)

    def _signed(self, role: str, lifetime: int) -> str:
        now = int(time.time())
        claims = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": f"{role}-1",
            "roles": [role],
            "iat": now + min(0, 2 * lifetime),
            "exp": now + lifetime,
            "jti": secrets.token_hex(8),
        }
        return self._signers[0].sign(claims)

    def _jwks(self) -> dict[str, list[object]]:
        return {"keys": [key for signer in self._signers for key in signer.jwks()["keys"]]}

    def _publish(self) -> None:
        write(self.file, json.dumps(self._jwks()).encode(), 0o644)

    async def _metadata(self, _request: web.Request) -> web.Response:
        return web.json_response({"issuer": self.url, "jwks_uri": f"{self.url}/jwks"})

    async def _key_set(self, _request: web.Request) -> web.Response:
        return web.json_response(self._jwks())
