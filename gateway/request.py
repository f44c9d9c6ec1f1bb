"""A request before it is known to be a call, and the plain HTTP answer to one that is none."""

from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.protocol.metadata import Headers

MAX_SHOWN = 200  # characters


@dataclass(slots=True)
class RequestHead:
    """A request line and its headers, as received; names lower-case."""

    method: str
    target: bytes  # raw request target, query included
    headers: Headers
    peer: str  # address of the client
    scheme: bytes  # b"http" or b"https"
    identities: tuple[str, ...] = ()  # of a verified client certificate: "DNS:ops.internal", "CN:batch"
    takes_trailers: bool = False  # the answer can end with trailers of HTTP, so that native gRPC may come this way


@dataclass(slots=True)
class Answer:
    """A plain HTTP answer."""

    status: int
    headers: Headers = field(default_factory=list)
    body: bytes = b""
    reason: str = ""  # a code for log and metric where the answer is a refusal


def shown(value: bytes) -> str:
    """What a stranger has sent, for a log: printable ASCII, of bounded length."""
    return value[:MAX_SHOWN].decode("latin-1").encode("unicode_escape").decode("ascii")[:MAX_SHOWN]


Pages = Callable[[RequestHead], Answer | None]  # None: no page there
