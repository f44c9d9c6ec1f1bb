"""How often: `100/second`, and where that is counted."""

import re
from urllib.parse import urlsplit

from gateway.settings.kind import Source, refuse

RATE_PATTERN = r"^[1-9][0-9]{0,8}/(second|minute|hour)$"
STORAGE_PATTERN = r"^(memory|rediss?://.+)$"

SECONDS = {"second": 1, "minute": 60, "hour": 3600}


def read_rate(text: str, _source: Source) -> str:
    if not re.fullmatch(RATE_PATTERN, text):
        refuse("must be a rate like 100/second, 20/minute or 500/hour")
    return text


def parse_rate(text: str) -> tuple[int, int]:
    """Calls, and in how many seconds: `20/minute` -> (20, 60)."""
    calls, _, unit = text.partition("/")
    return int(calls), SECONDS[unit]


def read_storage(text: str, _source: Source) -> str:
    """`memory` or `redis[s]://[user:password@]host[:port][/database]`. Never repeated: it may hold a password."""
    if not re.fullmatch(STORAGE_PATTERN, text):
        refuse("must be memory or a redis:// URL")
    if text == "memory":
        return text
    try:
        url = urlsplit(text)
        host, _port = url.hostname, url.port
    except ValueError:
        host, url = None, urlsplit("")
    if not host or any(char <= " " or char > "~" for char in text):
        refuse("is not a URL", "write redis://HOST:PORT, or rediss:// for TLS; %XX for signs in a password")
    if not re.fullmatch(r"(/[0-9]{0,5})?", url.path):
        refuse("must name a database by its number", "write redis://HOST:PORT/0")
    if "?" in text or "#" in text:
        refuse("must not have a query or fragment", "write ? and # in a password as %3F and %23")
    return text
