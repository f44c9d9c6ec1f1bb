"""A throw-away authority and the certificates of everyone in the demonstration, as PEM files in one directory.

Rule: the authority's key is never written, so that nobody can use the authority once the process is gone. Private keys
have mode 0600 from the first byte on; a file is replaced in one step, so that a watcher never reads half of it.
"""

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme

LIFETIME = timedelta(days=30)
CLOCK_SKEW = timedelta(hours=1)  # a virtual machine's clock may lag behind its host's


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate with its private key, both PEM."""

    certificate: Path
    private_key: Path


class Pki:
    """The files: ca.pem, and NAME.pem with NAME.key for each pair below."""

    def __init__(self, directory: Path) -> None:
        """Takes about 20 ms. Raises OSError when `directory` cannot be written."""
        self.directory = directory
        self._authority = trustme.CA(organization_name="grpcweb-gateway demo", path_length=0)
        self.ca = directory / "ca.pem"
        _write(self.ca, self._authority.cert_pem.bytes(), 0o644)
        self.server = self.issue("server", "localhost", "127.0.0.1", "::1")  # the gateway's, towards browsers
        self.backend = self.issue("backend", "backend.demo.internal", "localhost")
        self.gateway = self.issue("gateway", "gateway.demo.internal")  # the gateway's, towards the backend
        self.stranger = self.issue("stranger", "stranger.demo.internal")  # same authority, not the gateway

    def issue(self, name: str, *identities: str) -> Pair:
        """A new pair for `identities` (host names, addresses) in NAME.pem and NAME.key, in place of any there."""
        now = datetime.now(UTC)
        leaf = self._authority.issue_cert(*identities, not_before=now - CLOCK_SKEW, not_after=now + LIFETIME)
        pair = Pair(self.directory / f"{name}.pem", self.directory / f"{name}.key")
        _write(pair.private_key, leaf.private_key_pem.bytes(), 0o600)
        _write(pair.certificate, b"".join(blob.bytes() for blob in leaf.cert_chain_pems), 0o644)
        return pair


def _write(path: Path, content: bytes, mode: int) -> None:
    unfinished = path.with_name(f".{path.name}.new")
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
    unfinished.replace(path)
