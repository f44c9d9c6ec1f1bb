"""Origins (Fetch standard, section 3.2): who may call from a browser, and what the browser is told.

Rules
- The gateway enforces: a foreign origin is refused, not merely left without CORS headers.
- An origin is compared byte for byte with its canonical form; a pattern's `*` stands for exactly one host label.
- `null` (a sandboxed frame, a file) never matches.
- `Vary: Origin` stands on everything that depends on the origin, so that no cache mixes two of them up.
"""

import re
from functools import lru_cache

from gateway.protocol.metadata import Header, Headers
from gateway.settings import Cors

CLIENT_HEADERS = (  # what gRPC-Web clients send that is not CORS-safelisted
    "authorization",
    "content-type",
    "grpc-accept-encoding",
    "grpc-encoding",
    "grpc-timeout",
    "traceparent",
    "tracestate",
    "x-grpc-web",
    "x-user-agent",
)
STATUS_HEADERS = ("grpc-status", "grpc-message", "grpc-status-details-bin")
VARY: Header = (b"vary", b"Origin")
VARY_PREFLIGHT: Header = (b"vary", b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers")


class CorsPolicy:
    """The `cors` section, made ready."""

    def __init__(self, settings: Cors) -> None:
        self.require_origin = settings.require_origin
        self._any = "*" in settings.allow_origins
        self._exact = frozenset(origin.encode() for origin in settings.allow_origins if "*" not in origin)
        self._patterns = tuple(_split(origin) for origin in settings.allow_origins if "*" in origin and origin != "*")
        self._credentials = settings.allow_credentials
        self._expose = tuple(dict.fromkeys((*STATUS_HEADERS, *(name.lower() for name in settings.expose_headers))))
        allow_headers = dict.fromkeys((*CLIENT_HEADERS, *(name.lower() for name in settings.allow_headers)))
        self._allowed_headers = frozenset(name.encode() for name in allow_headers)
        self._preflight: tuple[Header, ...] = (
            (b"access-control-allow-methods", b"POST"),
            (b"access-control-allow-headers", ", ".join(allow_headers).encode()),
            (b"access-control-max-age", str(int(settings.max_age)).encode()),
        )
        self._exposing = lru_cache(maxsize=1024)(self._render_expose)

    def allows(self, origin: bytes | None) -> bool:
        """Whether a call with this Origin header (None: without one) may go on."""
        if origin is None:
            return not self.require_origin
        if origin in self._exact:
            return True
        if origin == b"null":
            return False
        return self._any or any(_matches(origin, *pattern) for pattern in self._patterns)

    def reply_headers(self, origin: bytes | None, metadata: Headers) -> list[Header]:
        """For an answer to an allowed origin. `metadata`: the response headers that the page shall be able to read."""
        if origin is None:
            return [VARY]
        headers = [VARY, *self._allow(origin)]
        headers.append(self._exposing(tuple([name for name, _ in metadata])))
        return headers

    def preflight_headers(self, origin: bytes) -> list[Header]:
        """For the 204 that answers an allowed origin's preflight."""
        return [VARY_PREFLIGHT, *self._allow(origin), *self._preflight]

    def refused_headers(self, requested: bytes) -> list[bytes]:
        """Names in Access-Control-Request-Headers that no page may send."""
        names = (name.strip() for name in requested.lower().split(b","))
        return [name for name in names if name and name not in self._allowed_headers]

    def _allow(self, origin: bytes) -> tuple[Header, ...]:
        if self._credentials:
            return (b"access-control-allow-origin", origin), (b"access-control-allow-credentials", b"true")
        return ((b"access-control-allow-origin", b"*" if self._any else origin),)

    def _render_expose(self, names: tuple[bytes, ...]) -> Header:
        shown = dict.fromkeys((*self._expose, *(name.decode("ascii") for name in names)))
        return b"access-control-expose-headers", ", ".join(shown).encode()


class LocalOrigins(CorsPolicy):
    """For development: pages of this machine, on any port."""

    def allows(self, origin: bytes | None) -> bool:
        return origin is None or _LOCAL.fullmatch(origin) is not None


_LOCAL = re.compile(rb"https?://(?:localhost|127\.0\.0\.1|\[::1\])(?::\d{1,5})?")


def _split(pattern: str) -> tuple[bytes, bytes]:
    scheme, host = pattern.split("*", 1)
    return scheme.encode(), host.encode()


def _matches(origin: bytes, scheme: bytes, host: bytes) -> bool:
    """`https://` + one label + `.example.com`: the part that `*` stands for is a label, so it holds no dot."""
    if not (origin.startswith(scheme) and origin.endswith(host) and len(origin) > len(scheme) + len(host)):
        return False
    label = origin[len(scheme) : len(origin) - len(host)]
    return label.replace(b"-", b"").isalnum() and label == label.lower()
