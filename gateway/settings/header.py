"""Names of HTTP headers (RFC 9110, section 5.1; gRPC metadata, PROTOCOL-HTTP2).

Rule: the gateway never sets a header for which the protocol, the browser or a proxy has a meaning.
"""

import re

from gateway.settings.kind import Source, refuse

HEADER_PATTERN = r"^[!#$%&'+.^_`|~0-9A-Za-z-]+$"  # a token without `*`
CLAIM_HEADER_PATTERN = r"^[0-9a-z.-]+$"

# fmt: off
RESERVED = frozenset((
    "authorization", "connection", "content-encoding", "content-length", "content-type", "cookie", "date",
    "expect", "forwarded", "host", "keep-alive", "origin", "proxy-authenticate", "proxy-authorization",
    "proxy-connection", "referer", "server", "set-cookie", "te", "traceparent", "tracestate", "trailer",
    "transfer-encoding", "upgrade", "user-agent", "via", "x-grpc-web", "x-real-ip", "x-user-agent",
))
# fmt: on
RESERVED_PREFIXES = ("grpc-", "sec-", "accept", "access-control-", "x-envoy-", "x-forwarded-")


def read_header(text: str, _source: Source) -> str:
    """A header that pages may send or read; lower case, since HTTP compares without case."""
    if "*" in text:
        refuse("* does not cover authorization and is not supported", "name each header")
    if not re.fullmatch(HEADER_PATTERN, text):
        refuse(f"is not the name of a header: {text!r}")
    return text.lower()


def read_claim_header(text: str, _source: Source) -> str:
    """A header that the gateway sets for backends."""
    if text != text.lower():
        refuse("names of metadata are lower case", f"write {text.lower()}")
    if not re.fullmatch(CLAIM_HEADER_PATTERN, text):
        refuse("must be of a-z, 0-9, dots and dashes", f"write {text.replace('_', '-')}" if "_" in text else None)
    if text.endswith("-bin"):
        refuse("names in -bin carry binary values, claims are text", f"write {text.removesuffix('-bin')}")
    if text in RESERVED or text.startswith(RESERVED_PREFIXES):
        refuse("has a meaning of its own and cannot carry a claim", "choose a name like x-user-id")
    return text
