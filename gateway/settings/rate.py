"""How often: `100/second`, and where that is counted."""

import re

from gateway.settings.kind import Source, refuse

RATE_PATTERN = r"^[1-9][0-9]{0,8}/(second|minute|hour)$"
STORAGE_PATTERN = r"^(memory|rediss?://.+)$"


def read_rate(text: str, _source: Source) -> str:
    if not re.fullmatch(RATE_PATTERN, text):
        refuse("must be a rate like 100/second, 20/minute or 500/hour")
    return text


def read_storage(text: str, _source: Source) -> str:
    if not re.fullmatch(STORAGE_PATTERN, text):
        refuse("must be memory or a redis:// URL")  # the text is not repeated: it may hold a password
    return text
