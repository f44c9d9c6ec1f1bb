"""The header `traceparent`: which trace a caller is in (W3C Trace Context, section 3.2). Sans-IO.

Rule: what cannot be read is as if it were not there; a call is never refused for it.
"""

import re
from typing import NamedTuple

# A later version may have more after a dash; ff is none (section 3.2.2.1, "Versioning of traceparent").
_TRACEPARENT = re.compile("([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_NO_TRACE, _NO_SPAN = "0" * 32, "0" * 16
_SAMPLED = 1


class TraceParent(NamedTuple):
    """Where in which trace the caller is."""

    trace_id: str  # 32 hexadecimal digits
    span_id: str  # 16
    flags: int  # 8 bits

    @property
    def sampled(self) -> bool:
        """The caller may have recorded it."""
        return bool(self.flags & _SAMPLED)

    def __str__(self) -> str:
        """As a header, of version 00."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags:02x}"


def parse(value: bytes | None) -> TraceParent | None:
    """What a raw header says; None: nothing."""
    match = None if value is None else _TRACEPARENT.fullmatch(value.decode("latin-1"))
    if match is None:
        return None
    version, trace_id, span_id, flags, more = match.groups()
    if trace_id == _NO_TRACE or span_id == _NO_SPAN or version == "ff" or (version == "00" and more):
        return None
    return TraceParent(trace_id, span_id, int(flags, 16))
