"""Static pages from a folder, as one plain function from request head to answer that any front can mount.

Rules
- The folder is read once, at the start: a request names a file or it does not, and no path is ever joined to another.
- Every page forbids inline script, framing by others, sniffing and referrers.
"""

import hashlib
import json
import mimetypes
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gateway.protocol.metadata import Header, Headers
from gateway.request import Answer, Pages, RequestHead

FRAMED = "foreign.html"  # the page's own sandboxed frame: calls from an origin that nobody allowed


def static_pages(folder: Path, *, connect: tuple[str, ...] = (), data: Mapping[str, Any] | None = None) -> Pages:
    """Serve the files of `folder` (flat) at /, index.html at the root, and `data` as JSON by file name.

    `connect`: origins that scripts may also call, besides the page's own.
    """
    files = {
        path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file() and path.name[0] != "."
    }
    files |= {name: json.dumps(value).encode() for name, value in (data or {}).items()}
    answers = {b"/" + name.encode(): _answer(name, body, connect) for name, body in files.items()}
    if (index := answers.get(b"/index.html")) is not None:
        answers[b"/"] = index

    def page(head: RequestHead) -> Answer | None:
        answer = answers.get(head.target.partition(b"?")[0])
        if answer is None:
            return None
        etag = dict(answer.headers)[b"etag"]
        if (b"if-none-match", etag) in head.headers:
            return Answer(304, list(answer.headers))
        return Answer(200, list(answer.headers), answer.body)

    return page


def _answer(name: str, body: bytes, connect: tuple[str, ...]) -> Answer:
    kind, _ = mimetypes.guess_type(name)
    if name.endswith((".js", ".mjs")):
        kind = "text/javascript"
    etag = b'"' + hashlib.sha256(body).hexdigest()[:16].encode() + b'"'
    headers: Headers = [
        (b"content-type", f"{kind or 'application/octet-stream'}; charset=utf-8".encode()),
        (b"cache-control", b"no-cache"),
        (b"etag", etag),
        *_protection(name, connect),
    ]
    return Answer(200, headers, body)


def _protection(name: str, connect: tuple[str, ...]) -> list[Header]:
    others = " ".join(connect)
    ancestors = "'self'" if name == FRAMED else "'none'"
    policy = (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        f"connect-src 'self' {others}; frame-src 'self'; base-uri 'none'; form-action 'self' {others}; "
        f"frame-ancestors {ancestors}"
    )
    return [
        (b"content-security-policy", policy.replace("  ", " ").encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
        (b"cross-origin-opener-policy", b"same-origin"),
        (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
    ]
