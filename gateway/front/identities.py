"""The names that a verified client certificate proves, as rules spell them."""

from collections.abc import Mapping
from typing import Any

PREFIXES = {"DNS": "DNS:", "IP Address": "IP:", "email": "email:"}


def identities_of(certificate: Mapping[str, Any] | None) -> tuple[str, ...]:
    """`certificate` is what `SSLSocket.getpeercert()` gives: empty or None unless it was verified.

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
