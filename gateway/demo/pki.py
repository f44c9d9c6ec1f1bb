"""A throw-away authority and the certificates of everyone in the demonstration, as PEM files in one directory.

Rule: the authority's key is never written, so that nobody can use the authority once the process is gone. Private keys
are never open to more than they shall be; a file is replaced in one step, so that a watcher never reads half of it.
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
        write(self.ca, self._authority.cert_pem.bytes(), 0o644)
        self.server = self.issue("server", "localhost", "127.0.0.1", "::1")  # the gateway's, towards browsers
        self.backend = self.issue("backend", "backend.demo.internal", "localhost")
        self.gateway = self.issue("gateway", "gateway.demo.internal")  # the gateway's, towards the backend
        self.stranger = self.issue("stranger", "stranger.demo.internal")  # same authority, not the gateway

    def issue(self, name: str, *identities: str) -> Pair:
        """A new pair for `identities` (host names, addresses) in NAME.pem and NAME.key, in place of any there."""
        now = datetime.now(UTC)
        leaf = self._authority.issue_cert(*identities, not_before=now - CLOCK_SKEW, not_after=now + LIFETIME)
        pair = Pair(self.directory / f"{name}.pem", self.directory / f"{name}.key")
        write(pair.private_key, leaf.private_key_pem.bytes(), 0o600)
        write(pair.certificate, b"".join(blob.bytes() for blob in leaf.cert_chain_pems), 0o644)
        return pair

    def publish(self, folder: Path, *, group_readable: bool = False) -> None:
        """Copies what whoever stands before the backend needs: ca.pem, and the pairs `server` and `gateway`.

        Keys are for the owner alone, or for the folder's readers of the same group, too. Raises OSError.
        """
        key_mode = 0o640 if group_readable else 0o600
        write(folder / self.ca.name, self.ca.read_bytes(), 0o644)
        for pair in (self.server, self.gateway):
            write(folder / pair.private_key.name, pair.private_key.read_bytes(), key_mode)
            write(folder / pair.certificate.name, pair.certificate.read_bytes(), 0o644)


def write(path: Path, content: bytes, mode: int) -> None:
    """In one step, in place of what is there. `mode` is what the file gets, whatever the umask. Raises OSError."""
    unfinished = path.with_name(f".{path.name}.new")
    unfinished.unlink(missing_ok=True)  # of a process that was killed
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        os.fchmod(file.fileno(), mode)
        file.write(content)
    unfinished.replace(path)
