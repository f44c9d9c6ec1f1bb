"""What a request is, before anybody reads its body: a preflight, a page, a refusal, or a call. For every front alike.

Rules
- Two phases of error. Here, before a request is known to be a gRPC-Web call: plain HTTP. After that: a gRPC status.
- The path is compared as raw bytes; nothing is decoded or normalised, so there is one spelling of each method.
- A foreign origin is told nothing: 403 without CORS headers, before anything is looked at or dialled.
"""

import logging
import re
from typing import Protocol

import structlog

from gateway.ends import CallHead
from gateway.policy.cors import VARY, CorsPolicy
from gateway.protocol import content_type
from gateway.protocol.metadata import Header, Headers
from gateway.request import Answer, Pages, RequestHead, shown

log = structlog.get_logger("gateway.front")

METHOD_PATH = re.compile(rb"/[A-Za-z0-9_.\-~]+/[A-Za-z0-9_.\-~]+")
DOT_SEGMENT = re.compile(rb"/\.{1,2}(?:/|$)")
HOST = re.compile(rb"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
ONCE = (b"origin", b"host", b"content-type", b"content-encoding")  # they decide something, so they may stand once
LISTS = (b"accept", b"grpc-timeout")  # a list is one value (RFC 9110, section 5.3)
PLAIN_TEXT: Header = (b"content-type", b"text/plain; charset=utf-8")
NO_STORE: Header = (b"cache-control", b"no-store")
NOT_FOUND = "not found: a call is a POST to /package.Service/Method"
NATIVE_OVER_HTTP1 = "native gRPC (application/grpc) needs HTTP/2, for its trailers; gRPC-Web is application/grpc-web"
WEB_ONLY = "the content type is not application/grpc-web or application/grpc-web-text"
NATIVE_OR_WEB = "the content type is not application/grpc-web, application/grpc-web-text or application/grpc"


class RefusalObserver(Protocol):
    """Sees requests that were refused before they were calls, and alters nothing."""

    def refused(self, head: RequestHead, answer: Answer) -> None: ...


class Reception:
    """Tells what requests are, by one configuration."""

    def __init__(self, cors: CorsPolicy, observer: RefusalObserver, pages: Pages | None = None) -> None:
        self._cors = cors
        self._observer = observer
        self._pages = pages

    def receive(self, head: RequestHead) -> CallHead | Answer:
        fields = dict(head.headers)
        repeated = _repeated(head.headers, fields) if len(fields) != len(head.headers) else []
        found = self._classify(head, fields, repeated)
        if isinstance(found, Answer) and found.reason:
            self._observer.refused(head, found)
        return found

    def reply_head(self, call: CallHead, metadata: Headers) -> Headers:
        """The response headers of a call: type, CORS, then what the backend sent."""
        return [(b"content-type", call.type.reply), *self._cors.reply_headers(call.origin, metadata), *metadata]

    def _classify(self, head: RequestHead, fields: dict[bytes, bytes], repeated: list[bytes]) -> CallHead | Answer:
        if b"origin" in repeated:
            return _refuse(400, "the request has more than one origin", "repeated_header", VARY)
        origin = fields.get(b"origin")
        if head.method == "OPTIONS" and origin is not None and b"access-control-request-method" in fields:
            return self._preflight(origin, fields.get(b"access-control-request-headers", b""))
        if head.method in ("GET", "HEAD") and self._pages is not None and (page := self._pages(head)) is not None:
            return page
        if not self._cors.allows(origin):
            return _foreign("origin_missing" if origin is None else "origin_foreign")
        found = _malformed(fields, repeated) or self._call(head, fields, origin)
        if isinstance(found, Answer):
            found.headers += self._cors.reply_headers(origin, [])
        return found

    def _preflight(self, origin: bytes, requested: bytes) -> Answer:
        if not self._cors.allows(origin):
            return _foreign("preflight_foreign")
        if log.is_enabled_for(logging.DEBUG) and (refused := self._cors.refused_headers(requested)):
            log.debug("preflight_header", origin=shown(origin), headers=shown(b", ".join(refused)))
        return Answer(204, self._cors.preflight_headers(origin))

    def _call(self, head: RequestHead, fields: dict[bytes, bytes], origin: bytes | None) -> CallHead | Answer:
        target = head.target
        if METHOD_PATH.fullmatch(target) is None or DOT_SEGMENT.search(target) is not None:
            path, mark, _ = target.partition(b"?")
            if (mark or b"#" in target) and METHOD_PATH.fullmatch(path.partition(b"#")[0]):
                return _refuse(400, "a gRPC method path takes no query", "query")
            return _refuse(404, NOT_FOUND, "path")
        if head.method != "POST":
            return _refuse(405, "gRPC-Web calls are POST requests", "method", (b"allow", b"POST, OPTIONS"))
        raw_type = fields.get(b"content-type")
        call_type = None
        if raw_type is not None:
            call_type = content_type.parse(raw_type, fields.get(b"accept"), trailers=head.takes_trailers)
        if call_type is None:
            return _refuse(415, _wanted_type(head, raw_type), "content_type")
        if fields.get(b"content-encoding", b"identity").lower() != b"identity":
            return _refuse(415, "a gRPC-Web request takes no content-encoding", "content_encoding")
        authorization = fields.get(b"authorization")
        return CallHead(
            path=target,
            type=call_type,
            headers=head.headers,
            authorizations=[] if authorization is None else [h for h in head.headers if h[0] == b"authorization"],
            timeout=fields.get(b"grpc-timeout"),
            peer=head.peer,
            scheme=head.scheme,
            host=fields.get(b"host", b""),
            origin=origin,
            encoding=fields.get(b"grpc-encoding", b"identity"),
            names_encodings=b"grpc-accept-encoding" in fields,
            identities=head.identities,
            http2=head.takes_trailers,
            traceparent=fields.get(b"traceparent"),
        )


def _wanted_type(head: RequestHead, raw_type: bytes | None) -> str:
    if head.takes_trailers:
        return NATIVE_OR_WEB
    is_native = raw_type is not None and content_type.parse(raw_type, None, trailers=True) is not None
    return NATIVE_OVER_HTTP1 if is_native else WEB_ONLY


def _repeated(headers: Headers, fields: dict[bytes, bytes]) -> list[bytes]:
    """Names of ONCE that stand more than once. Lists are put together in `fields`; what else repeats is metadata."""
    names = [name for name, _ in headers]
    for name in LISTS:
        if names.count(name) > 1:
            fields[name] = b", ".join(value for each, value in headers if each == name)
    return [name for name in ONCE if names.count(name) > 1]


def _malformed(fields: dict[bytes, bytes], repeated: list[bytes]) -> Answer | None:
    if repeated:
        return _refuse(400, "the request repeats a header that may stand once", "repeated_header")
    host = fields.get(b"host")
    if host is not None and HOST.fullmatch(host) is None:  # it goes to the backend as x-forwarded-host
        return _refuse(400, "the Host header is not a host", "bad_host")
    return None


def _foreign(reason: str) -> Answer:
    return _refuse(403, "this origin may not call here", reason, VARY)


def _refuse(status: int, text: str, reason: str, *headers: Header) -> Answer:
    """A plain HTTP refusal; the text is ours, never the input. Without CORS headers to follow, it needs VARY."""
    return Answer(status, [PLAIN_TEXT, NO_STORE, *headers], text.encode() + b"\n", reason)
