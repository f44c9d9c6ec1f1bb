"""One HTTP/2 connection over an asyncio transport, either end of it (RFC 9113): libnghttp2's engine, driven.

    transport ── bytes ──▶ Wire ── events ──▶ Link ── headers, data, trailers, closed ──▶ Stream
    transport ◀── bytes ── Wire ◀──────────── Link ◀── send, end, reset, hold, release ── Stream

limits.py   how much a peer may ask for, and what we announce
errors.py   error codes
wire.py     the connection: bytes in turns, liveness, the end
link.py     its streams: events to them, and their bytes, within the peer's windows

Rule: only this room imports ngh2, and its exceptions end here.
"""

from gateway.http2.errors import CANCEL, INTERNAL_ERROR, NO_ERROR, PROTOCOL_ERROR, REFUSED_STREAM, error_name
from gateway.http2.limits import MAX_STREAMS, SEND_BUFFER, STREAM_WINDOW, WRITE_BUFFER
from gateway.http2.link import Link, Stream

__all__ = [
    "CANCEL",
    "INTERNAL_ERROR",
    "MAX_STREAMS",
    "NO_ERROR",
    "PROTOCOL_ERROR",
    "REFUSED_STREAM",
    "SEND_BUFFER",
    "STREAM_WINDOW",
    "WRITE_BUFFER",
    "Link",
    "Stream",
    "error_name",
]
