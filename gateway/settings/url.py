"""URLs that the gateway fetches or compares.

Rule: https, or http to this machine; never a user or password inside, since URLs are logged.
"""

import ipaddress
from pathlib import Path
from urllib.parse import urlsplit

from gateway.settings.file import existing_file
from gateway.settings.kind import Source, refuse

DISCOVER = "discover"  # OpenID Connect Discovery 1.0, RFC 8414

URL_PATTERN = r"^https?://[^/@?#]+"
KEYS_PATTERN = r"^[^#]+$"


def read_url(text: str, _source: Source) -> str:
    """An endpoint: `https://host[:port]/path[?query]`."""
    _judge(text, query=True)
    return text


def read_issuer(text: str, _source: Source) -> str:
    """The issuer's identifier, compared byte for byte with `iss` (RFC 8414, section 2: no query, no fragment)."""
    _judge(text, query=False)
    return text


def read_keys(text: str, source: Source) -> str | Path:
    """Where the key set is: `discover`, a URL, or a file."""
    if text == DISCOVER:
        return text
    return read_url(text, source) if "://" in text else existing_file(text, source)


def _judge(text: str, *, query: bool) -> None:
    try:
        url = urlsplit(text)
        host, _port = url.hostname, url.port
    except ValueError:
        refuse("is not a URL", "write https://host/path")
    if any(char <= " " or char > "~" for char in text):
        refuse("is not a URL: it has spaces or characters outside ASCII")
    if url.scheme not in ("https", "http") or not host:
        refuse("must be a URL like https://login.example.com/")
    if "@" in url.netloc:
        refuse("must not hold a user or password")
    if url.scheme == "http" and not is_loopback(host):
        refuse("must be https", "http is accepted for this machine only")
    if "#" in text or ("?" in text and not query):
        refuse("must not have a fragment" if query else "must not have a query or fragment")


def is_loopback(host: str) -> bool:
    """Whether nobody on the way can read or change what is said to that host."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
