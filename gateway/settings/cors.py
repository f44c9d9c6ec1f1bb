"""`cors`: which web pages may call."""

from typing import Annotated

from gateway.settings.header import HEADER_PATTERN, read_header
from gateway.settings.kind import Text
from gateway.settings.model import Section
from gateway.settings.origin import ORIGIN_PATTERN, read_origin
from gateway.settings.quantity import Duration


class Cors(Section):
    """Cross-origin resource sharing (Fetch standard, section 3.3)."""

    allow_origins: tuple[
        Annotated[str, Text(read_origin, ORIGIN_PATTERN, ("https://app.example.com", "https://*.preview.example.com"))],
        ...,
    ] = ()
    """Exact origins, or with one * label: https://*.preview.example.com. "*" is any, only without credentials."""
    allow_headers: tuple[Annotated[str, Text(read_header, HEADER_PATTERN)], ...] = ()
    """Request headers that pages may send, besides those that gRPC-Web clients need."""
    expose_headers: tuple[Annotated[str, Text(read_header, HEADER_PATTERN)], ...] = ()
    """Reply headers that pages may read, besides grpc-status, grpc-message, grpc-status-details-bin and the reply's
    own metadata."""
    allow_credentials: bool = False
    """Whether pages may send cookies and client certificates."""
    max_age: Annotated[float, Duration(minimum=0.0, maximum=86400.0)] = 600.0
    """How long a browser may remember the answer to a preflight."""
    require_origin: bool = False
    """Refuse calls without an Origin: they do not come from a browser."""
