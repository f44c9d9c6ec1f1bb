"""Certificates of the gateway and of a test's backend."""

import ssl
from dataclasses import dataclass
from pathlib import Path

from tests.support.certificates import Authority, authority, leaf, write_pair


@dataclass(frozen=True)
class Papers:
    """Certificates of one authority: the backend's for `backend.test`, the gateway's for `gateway.test`."""

    folder: Path
    signer: Authority
    ca: Path
    backend: tuple[Path, Path]
    gateway: tuple[Path, Path]

    def issue(self, name: str, stem: str) -> tuple[Path, Path]:
        """A new pair in STEM.pem and STEM.key, in place of any there."""
        return write_pair(self.folder, *leaf(self.signer, name), stem=stem)

    def context(self, *, alpn: tuple[str, ...] = ("h2",)) -> ssl.SSLContext:
        """The backend's: who has no certificate of the same authority is refused."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_verify_locations(self.ca)
        context.load_cert_chain(*self.backend)
        context.verify_mode = ssl.CERT_REQUIRED
        if alpn:
            context.set_alpn_protocols(list(alpn))
        return context

    def tls(self, **changes: object) -> dict[str, str]:
        """For `tls` of an upstream; None leaves a key out."""
        section = {
            "ca": self.ca,
            "certificate": self.gateway[0],
            "private_key": self.gateway[1],
            "server_name": "backend.test",
        }
        return {key: str(value) for key, value in (section | changes).items() if value is not None}


def papers(folder: Path) -> Papers:
    signer = authority()
    ca = folder / "authority.pem"
    ca.write_bytes(signer.pem)
    pairs = [write_pair(folder, *leaf(signer, f"{name}.test"), stem=name) for name in ("backend", "gateway")]
    return Papers(folder, signer, ca, *pairs)
