"""Who is at the other end of a connection, and how: worked out once for each connection."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PREFIXES = {"DNS": "DNS:", "IP Address": "IP:", "email": "email:"}


@dataclass(frozen=True, slots=True)
class Peer:
    """The same for every request of a connection."""

    address: str  # empty at a Unix socket
    scheme: bytes  # b"https" over TLS, else b"http"
    identities: tuple[str, ...]  # that its verified certificate proves: "DNS:ops.internal", "CN:batch"

    @classmethod
    def of(cls, transport: asyncio.BaseTransport) -> "Peer":
        name = transport.get_extra_info("peername")
        address = str(name[0]) if isinstance(name, tuple) else ""
        if transport.get_extra_info("sslcontext") is None:
            return cls(address, b"http", ())
        return cls(address, b"https", identities_of(transport.get_extra_info("peercert")))


def identities_of(certificate: Mapping[str, Any] | None) -> tuple[str, ...]:
    """The names that a certificate proves, as rules spell them.

    `certificate` is what `SSLSocket.getpeercert()` gives: empty or None unless it was verified.
    A URI stands as it is (`spiffe://…`), other names with their kind (`DNS:ops.internal`, `CN:batch`). A URI without
    `://` proves nothing here: as `CN:batch` it would pass for a name of another kind.
    """
    if not certificate:
        return ()
    names = []
    for kind, value in certificate.get("subjectAltName", ()):
        if kind in PREFIXES:
            names.append(PREFIXES[kind] + value)
        elif kind == "URI" and "://" in value:
            names.append(value)
    for relative_name in certificate.get("subject", ()):
        names += ["CN:" + value for kind, value in relative_name if kind == "commonName"]
    return tuple(names)
