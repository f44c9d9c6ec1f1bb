"""The names that a verified client certificate proves, as rules spell them."""

from collections.abc import Mapping
from typing import Any

PREFIXES = {"DNS": "DNS:", "URI": "", "IP Address": "IP:", "email": "email:"}


def identities_of(certificate: Mapping[str, Any] | None) -> tuple[str, ...]:
    """`certificate` is what `SSLSocket.getpeercert()` gives: empty or None unless it was verified.

    A URI stands as it is (`spiffe://…`), other names with their kind (`DNS:ops.internal`, `CN:batch`).
    """
    if not certificate:
        return ()
    names = [PREFIXES[kind] + value for kind, value in certificate.get("subjectAltName", ()) if kind in PREFIXES]
    for relative_name in certificate.get("subject", ()):
        names += ["CN:" + value for kind, value in relative_name if kind == "commonName"]
    return tuple(names)
