"""What is compared: an answer as named values, with the form undone.

Rule: header blocks and bodies stay raw bytes, in order. Text is decoded, and a trailer frame becomes the block that
native gRPC has in HTTP trailers: those two are what a form is. Nothing else is touched here; differences.py says what
may differ.
"""

import json
from collections.abc import Mapping
from typing import Any

from gateway.protocol import text
from gateway.protocol.metadata import Headers
from tests.contract.cells import Cell, Raw
from tests.support.wire import untext

Observation = Mapping[str, Any]  # field -> value

STATUS = (b"grpc-status", b"grpc-message")
HTTP = frozenset((b"vary", b"server", b"date", b"www-authenticate"))
TRAILER_FRAME = 0x80
BROKEN_OFF: Observation = {"http": 200, "grpc-status": "none: the answer is broken off"}


def observe(cell: Cell, raw: Raw, *, tells: bool = False) -> Observation:
    """`tells`: the reply is what the scripted method Tell says."""
    content_type = dict(raw.headers).get(b"content-type", b"")
    head = [header for header in raw.headers if header[0] != b"content-type"]
    seen: dict[str, Any] = {"http": raw.status, "content-type": content_type}
    if content_type.startswith(b"application/grpc-web"):
        assert raw.trailers is None, "HTTP trailers beside a trailer frame"
        assert all(header[0] not in STATUS for header in raw.headers), "a status in the headers"
        body, block = _split(_untext(cell, raw) if b"-text" in content_type else raw.body)
    elif content_type.startswith(b"application/grpc"):
        body, block = raw.body, raw.trailers if raw.trailers is not None else []
        if raw.trailers is None:  # Trailers-Only: the head is the end
            assert not body, "messages, and no trailers"
            block = [header for header in head if not _is_http(header[0])]
            head = [header for header in head if _is_http(header[0])]
    else:
        return seen | {"headers": head, "body": raw.body, "trailers": raw.trailers}
    seen |= {"headers": head, **_end(block)}
    return seen | (_told(body) if tells and body else {"body": body})


def _is_http(name: bytes) -> bool:
    """Whether a header of a Trailers-Only answer is of HTTP: all others are trailers."""
    return name in HTTP or name.startswith(b"access-control-")


def _untext(cell: Cell, raw: Raw) -> bytes:
    """Over HTTP/1.1 a chunk is a flush: each must be decodable on its own, or a page has to wait for the next."""
    if cell.front == "http1":
        return b"".join(map(untext, raw.chunks))
    decoder = text.TextDecoder()
    data = decoder.feed(raw.body)
    decoder.end()
    return data


def _split(body: bytes) -> tuple[bytes, Headers]:
    """The message frames, and the block of the one trailer frame, which is the last."""
    start = 0
    while start < len(body):
        end = start + 5 + int.from_bytes(body[start + 1 : start + 5], "big")
        assert end <= len(body), "the last frame is cut"
        if body[start] & TRAILER_FRAME:
            assert end == len(body), "bytes after the trailer frame"
            *lines, nothing = body[start + 5 :].split(b"\r\n")
            assert nothing == b"", "the trailer block has no end"
            return body[:start], [(name, value) for name, _, value in (line.partition(b":") for line in lines)]
        start = end
    raise AssertionError("no trailer frame")


def _end(block: Headers) -> dict[str, Any]:
    """grpc-status stands first and once, grpc-message next if there is one."""
    names = [name for name, _ in block]
    assert names[:1] == [b"grpc-status"], block
    assert names.count(b"grpc-status") == 1, block
    message = block[1][1] if names[1:2] == [b"grpc-message"] else None
    rest = block[1 if message is None else 2 :]
    assert all(name not in STATUS for name, _ in rest), block
    return {"grpc-status": int(block[0][1]), "grpc-message": message, "trailers": rest}


def _told(body: bytes) -> dict[str, Any]:
    told = json.loads(body[5:])
    return {
        "told messages": told["messages"],
        "told metadata": [(name.encode(), value) for name, value in told["metadata"]],
        "told deadline": told["left"],
    }
