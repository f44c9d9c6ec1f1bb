"""`listeners` and `admin`: where the gateway listens."""

from pathlib import Path
from typing import Annotated, Literal

from gateway.settings.address import Address, Bind
from gateway.settings.file import File
from gateway.settings.model import Section


class ListenerTls(Section):
    """What a listener shows to clients, and whom it asks for a certificate."""

    certificate: Annotated[Path, File()]
    """PEM: the certificate, then its intermediates."""
    private_key: Annotated[Path, File()]
    """PEM: the private key of the certificate, without a passphrase."""
    minimum_version: Literal["TLSv1.2", "TLSv1.3"] = "TLSv1.2"
    """The oldest TLS that is spoken."""
    client_ca: Annotated[Path | None, File(none=True)] = None
    """PEM: who may sign client certificates, for native clients and services (browsers use tokens)."""
    client_auth: Literal["none", "optional", "required"] = "none"
    """Whether clients are asked for a certificate, and whether they must have one."""

    @property
    def files(self) -> tuple[Path, ...]:
        return tuple(file for file in (self.certificate, self.private_key, self.client_ca) if file is not None)


class Listener(Section):
    """One address on which browsers are served."""

    bind: Annotated[Address, Bind()]
    """HOST:PORT or [V6]:PORT; port 0 takes a free one, named in the ready event."""
    tls: ListenerTls | None = None
    """Without it the listener is plaintext."""
    allow_plaintext: bool = False
    """Accept plaintext on an address that other machines can reach: something in front of it must do TLS."""
    http2: bool = True
    """HTTP/2 too, by ALPN (TLS) or by preface (plaintext)."""


class Admin(Section):
    """The operator's pages; never show them to the public."""

    bind: Annotated[Address, Bind()] = Address("127.0.0.1", 9901)
    """Serves GET /healthz, /readyz, /metrics and /config (redacted)."""
