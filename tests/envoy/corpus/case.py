"""One case: a request as it goes over the wire, and what its client does besides.

Rule: a case is data. What only the day knows, tokens, is filled in when it is played.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from gateway.protocol.metadata import Header, Headers
from tests.envoy.configurations import ORIGIN
from tests.envoy.script import message
from tests.support.tokens import KeyWorld, authorization

BINARY, TEXT = "application/grpc-web+proto", "application/grpc-web-text+proto"
SCRIPT = "/test.v1.Script/"
HELLO = message(b"hello")
OVER_HTTP2 = " over HTTP/2"  # ends the name of a case that repeats another over HTTP/2
BROWSER: Mapping[str, str] = {
    "host": "gateway.test",
    "user-agent": "Browser/1.0",
    "origin": ORIGIN,
    "content-type": BINARY,
    "x-grpc-web": "1",
}
# Clients of text mode ask for it by Accept, too.
IN_TEXT: Mapping[str, str] = {"content-type": TEXT, "accept": TEXT}

Credentials = Callable[[KeyWorld], Sequence[Header]]
Leave = Literal["", "when the backend has the call", "after the first message", "in mid-body"]
Race = Literal["", "whether the backend is called", "what the backend sees"]  # a matter of microseconds: not compared
Pairs = Sequence[tuple[str, str]]


def reader(keys: KeyWorld) -> Sequence[Header]:
    """A good token, with the roles `orders.read` and `admin.readonly`."""
    return authorization(keys.es256())


def nobody(_: KeyWorld) -> Sequence[Header]:
    return ()


def subject(**claims: object) -> Credentials:
    """A good token with these claims changed."""
    return lambda keys: authorization(keys.token(keys.claims(**claims)))


@dataclass(frozen=True, slots=True)
class Case:
    """`lines` are the request line and the header lines, joined by `eol`; over HTTP/2 `fields` stand in their place,
    pseudo-headers first. The credentials follow them.
    """

    name: str
    lines: tuple[bytes, ...]
    body: bytes = b""
    credentials: Credentials = reader
    configuration: str = "usual"
    tls: bool = False
    eol: bytes = b"\r\n"
    awaits_continue: bool = False
    leaves: Leave = ""
    races: Race = ""
    fields: tuple[Header, ...] = ()
    pieces: tuple[bytes, ...] = ()  # of the body, over HTTP/2
    ended: bool = True  # over HTTP/2: END_STREAM comes last
    trailers: tuple[Header, ...] = ()  # of the request, over HTTP/2
    section: str = ""

    def __str__(self) -> str:
        return f"{self.section}/{self.name}"

    @property
    def is_http2(self) -> bool:
        return bool(self.fields)

    @property
    def method(self) -> bytes:
        return self.lines[0].partition(b" ")[0]

    @property
    def unfinished(self) -> bool:
        """Whether more of the body is announced than is sent."""
        lengths = [value for name, value in map(_field, self.lines[1:]) if name == b"content-length"]
        return len(lengths) == 1 and lengths[0].isdigit() and int(lengths[0]) > len(self.body)

    def request(self, keys: KeyWorld) -> tuple[bytes, bytes]:
        """Head and body."""
        credentials = (name + b": " + value for name, value in self.credentials(keys))
        return self.eol.join((*self.lines, *credentials, b"", b"")), self.body

    def block(self, keys: KeyWorld) -> Headers:
        """Over HTTP/2: the request's header block."""
        return [*self.fields, *self.credentials(keys)]


def call(
    name: str,
    method: str = "Echo",
    body: bytes = HELLO,
    *,
    add: Pairs = (),
    change: Mapping[str, str | None] | None = None,
    verb: str = "POST",
    version: str = "HTTP/1.1",
    framed: bool = True,
    credentials: Credentials = reader,
    configuration: str = "usual",
    tls: bool = False,
    awaits_continue: bool = False,
    leaves: Leave = "",
    races: Race = "",
) -> Case:
    """A browser's request. `method` is of test.v1.Script, or a whole target when it begins with a slash.

    `change` replaces browser's headers, None takes one away; `add` are more of them; `framed` adds a Content-Length.
    """
    target = method if method.startswith(("/", "http", "*")) else SCRIPT + method
    fields = dict(BROWSER) | dict(change or {})
    pairs = [(field, value) for field, value in fields.items() if value is not None]
    lines = [f"{verb} {target} {version}", *(f"{field}: {value}" for field, value in (*pairs, *add))]
    if framed:
        lines.append(f"content-length: {len(body)}")
    return Case(
        name,
        tuple(line.encode("latin-1") for line in lines),
        body,
        credentials,
        configuration,
        tls,
        awaits_continue=awaits_continue,
        leaves=leaves,
        races=races,
    )


def preflight(
    name: str,
    origin: str | None = ORIGIN,
    *,
    method: str | None = "POST",
    headers: str | None = "authorization,content-type,x-grpc-web",
    target: str = "Echo",
    add: Pairs = (),
    configuration: str = "usual",
) -> Case:
    """What a browser asks before a call (Fetch, section 4.8); it never sends credentials with that."""
    asked = {"access-control-request-method": method, "access-control-request-headers": headers}
    pairs = [(field, value) for field, value in asked.items() if value is not None]
    return call(
        name,
        target,
        b"",
        verb="OPTIONS",
        change={"origin": origin, "content-type": None, "x-grpc-web": None},
        add=(*pairs, *add),
        framed=False,
        credentials=nobody,
        configuration=configuration,
    )


def chunks(*parts: bytes) -> bytes:
    """A whole body in chunks (RFC 9112, section 7.1)."""
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (*parts, b""))


def over_http2(case: Case) -> Case:
    """The same request over HTTP/2 (RFC 9113, section 8.3.1), its chunks as DATA frames."""
    verb, target, _ = case.lines[0].split(b" ")
    fields = [(name.lower(), value) for name, value in map(_field, case.lines[1:])]
    chunked = (b"transfer-encoding", b"chunked")
    pieces = _unchunked(case.body) if chunked in fields else [case.body]
    pseudo = [(b":method", verb), (b":scheme", b"https" if case.tls else b"http"), (b":path", target)]
    pseudo += [(b":authority", value) for name, value in fields if name == b"host"]
    own = [field for field in fields if field != chunked and field[0] != b"host"]
    return replace(
        case,
        name=case.name + OVER_HTTP2,
        fields=(*pseudo, *own),
        pieces=tuple(piece for piece in pieces if piece),
        ended=not case.unfinished,
    )


def _field(line: bytes) -> Header:
    name, _, value = line.partition(b":")
    return name, value.strip()


def _unchunked(body: bytes) -> list[bytes]:
    pieces = []
    while body:
        size, _, rest = body.partition(b"\r\n")
        pieces.append(rest[: int(size, 16)])
        body = rest[int(size, 16) + 2 :]
    return pieces
