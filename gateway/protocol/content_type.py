"""Which form a call has: binary or text, in and out, and the codec of its messages.

Rule: the essence decides, letter for letter (PROTOCOL-WEB.md, "Content-Type"; RFC 9110, section 8.3.1). The request's
type says how the request is written, `Accept` how the reply shall be. Native gRPC (PROTOCOL-HTTP2.md) needs HTTP
trailers, so it is one only where the connection has them.
"""

import re
from dataclasses import dataclass, field
from functools import lru_cache

_ESSENCE = re.compile(rb"application/grpc-web(-text)?(\+[0-9a-z!#$&^_.+-]+)?")
_NATIVE = re.compile(rb"application/grpc(\+[0-9a-z!#$&^_.+-]+)?")
_REFUSED = re.compile(rb"[ \t]*q=0(?:\.0{0,3})?[ \t]*")  # RFC 9110, section 12.4.2: not acceptable


@dataclass(frozen=True, slots=True)
class CallType:
    """The form of one call."""

    request_text: bool  # the request body is base64
    reply_text: bool  # the reply body is base64
    codec: bytes  # b"+proto", another b"+codec", or b""
    native: bool = False  # gRPC itself: the status comes in HTTP trailers, not in a frame
    upstream: bytes = field(
        init=False, repr=False, compare=False
    )  # the backend's content type: b"application/grpc+proto"
    reply: bytes = field(init=False, repr=False, compare=False)  # the reply's: b"application/grpc-web-text+proto"

    def __post_init__(self) -> None:
        native = b"application/grpc" + self.codec
        essence = b"application/grpc-web-text" if self.reply_text else b"application/grpc-web"
        object.__setattr__(self, "upstream", native)
        object.__setattr__(self, "reply", native if self.native else essence + self.codec)


# A deployment sees a handful of pairs. The bound keeps a hostile client from filling the memory with others.
@lru_cache(maxsize=128)
def parse(content_type: bytes, accept: bytes | None, *, trailers: bool = False) -> CallType | None:
    """The form of the call, or None when this is not one (answer 415). `trailers`: the answer can end with them.

    `accept` is the Accept header, repeats joined by a comma: the first gRPC-Web type in it that is not refused by `q=0`
    chooses text or binary. Without one the reply mirrors the request.
    """
    if b"," in content_type:  # two headers joined: which one holds would depend on who reads them
        return None
    essence = _essence(content_type)
    if trailers and (native := _NATIVE.fullmatch(essence)) is not None:
        return CallType(request_text=False, reply_text=False, codec=native[1] or b"", native=True)
    match = _ESSENCE.fullmatch(essence)
    if match is None:
        return None
    request_text = match[1] is not None
    reply_text = _accepts_text(accept) if accept else None
    return CallType(request_text, request_text if reply_text is None else reply_text, match[2] or b"")


def _essence(media_type: bytes) -> bytes:
    return media_type.partition(b";")[0].strip(b" \t").lower()


def _accepts_text(accept: bytes) -> bool | None:
    for media_type in accept.split(b","):
        match = _ESSENCE.fullmatch(_essence(media_type))
        if match is not None and not any(map(_REFUSED.fullmatch, media_type.lower().split(b";")[1:])):
            return match[1] is not None
    return None
