"""One case: a request as it goes over the wire, and what its client does besides.

Rule: a case is data. What only the day knows, tokens, is filled in when it is played.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from gateway.protocol.metadata import Header
from tests.envoy.configurations import ORIGIN
from tests.envoy.script import message
from tests.support.tokens import KeyWorld, authorization

BINARY, TEXT = "application/grpc-web+proto", "application/grpc-web-text+proto"
SCRIPT = "/test.v1.Script/"
HELLO = message(b"hello")
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
    """`lines` are the request line and the header lines, joined by `eol`; the credentials follow them."""

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
    section: str = ""

    def __str__(self) -> str:
        return f"{self.section}/{self.name}"

    @property
    def method(self) -> bytes:
        return self.lines[0].partition(b" ")[0]

    @property
    def unfinished(self) -> bool:
        """Whether more of the body is announced than is sent."""
        lengths = [line.partition(b":")[2].strip() for line in self.lines if line.startswith(b"content-length:")]
        return len(lengths) == 1 and lengths[0].isdigit() and int(lengths[0]) > len(self.body)

    def request(self, keys: KeyWorld) -> tuple[bytes, bytes]:
        """Head and body."""
        credentials = (name + b": " + value for name, value in self.credentials(keys))
        return self.eol.join((*self.lines, *credentials, b"", b"")), self.body


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
