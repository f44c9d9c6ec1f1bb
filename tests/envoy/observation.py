"""What is compared: an exchange and what the backend saw of it, as named values that do not change from run to run.

Rule: what is left out is in a list here, with the reason; everything else counts.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence

from gateway.protocol import text
from gateway.protocol.metadata import Header, Headers
from gateway.protocol.status import WireError
from tests.envoy.backend import Arrival
from tests.envoy.corpus.case import Case
from tests.envoy.exchange import Exchange
from tests.support.wire import Answer

Observation = Mapping[str, str]  # field -> value; a field that is not there was not seen

# Of an answer: they change from run to run, name the proxy, or frame the body, which `ended` and `connection` tell of.
VOLATILE = frozenset(
    b"date server x-request-id x-envoy-upstream-service-time "
    b"content-length transfer-encoding connection keep-alive".split()
)
# Of a request at the backend: random, or the name of the proxy.
VOLATILE_AT_BACKEND = frozenset(b"x-request-id user-agent".split())
# An address that no client made up: loopback, in place of which Envoy puts another of this machine.
PEER = re.compile(rb"\b(?!203\.0\.113\.)[0-9]+(?:\.[0-9]+){3}")

CORS_LISTS = (b"access-control-allow-methods", b"access-control-allow-headers", b"access-control-expose-headers")
STATUS = (b"grpc-status", b"grpc-message", b"grpc-status-details-bin")
FIELDS_OF_THEIR_OWN = frozenset(b"content-type vary www-authenticate allow location cache-control".split())
AT_BACKEND = frozenset(
    b":method :path :scheme :authority te content-type authorization grpc-timeout grpc-accept-encoding".split()
)
LONGEST = 80  # characters of a value that are compared as they are
UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}


def observe(case: Case, exchange: Exchange, arrivals: Sequence[Arrival]) -> Observation:
    if case.races == "whether the backend is called":
        arrivals = []
    seen: dict[str, str] = {"backend calls": str(len(arrivals)), "ended": exchange.how}
    if case.is_http2:
        if exchange.connection != "kept" and exchange.how in ("whole", "no answer"):
            seen["connection"] = exchange.connection
    elif exchange.how == "whole":
        seen["connection"] = exchange.connection
    if exchange.reset:
        seen["reset"] = exchange.reset
    if exchange.continued:
        seen["100 Continue"] = "said"
    if exchange.more:
        seen["more answers"] = ", ".join(map(str, exchange.more))
    if exchange.answer is not None:
        seen |= _answer(exchange.answer, exchange.trailers, exact=any(each.speaks for each in arrivals))
    if case.races != "what the backend sees":
        for arrival in arrivals[:1]:
            seen |= _arrival(arrival)
    return seen


# -- the answer ----------------------------------------------------------------------------------------------------


def _answer(answer: Answer, trailers: Headers, *, exact: bool) -> dict[str, str]:
    """`exact`: a grpc-message is the backend's. A proxy's own is in words of its own: only that it is there counts."""
    version, _, _ = answer.raw.partition(b" ")
    kind = answer.value("content-type") or "none"
    is_grpc = kind.startswith("application/grpc")
    seen = {"http": str(answer.status), "content-type": kind if is_grpc else kind.partition(";")[0]}
    if version not in (b"HTTP/1.1", b"HTTP/2"):
        seen["version"] = _readable(version)
    seen |= _cors(answer)
    for name in sorted(FIELDS_OF_THEIR_OWN - {b"content-type", b"vary"}):
        if values := answer.values(name.decode()):
            seen[name.decode()] = ", ".join(values)
    if metadata := [header for header in answer.headers if _is_metadata(header[0])]:
        seen["metadata"] = _fields(metadata)
    block: Headers = []
    if kind.startswith("application/grpc-web"):
        body, block = _body(answer.body, "-text" in kind)
        seen |= body
        if trailers:
            seen["trailers of HTTP"] = _fields(trailers)
    elif is_grpc:
        body, _ = _body(answer.body, is_text=False)
        seen |= body
        block = trailers
    if others := [header for header in block if header[0] not in STATUS]:
        seen["trailers"] = _fields(others)
    if is_grpc or any(name in STATUS for name, _ in answer.headers):
        seen |= _status(answer.headers, block, exact=exact)
    return seen


def _is_metadata(name: bytes) -> bool:
    return not (name in VOLATILE | FIELDS_OF_THEIR_OWN or name in STATUS or name.startswith(b"access-control-"))


def _cors(answer: Answer) -> dict[str, str]:
    seen = {}
    for name in sorted({name for name, _ in answer.headers if name.startswith(b"access-control-") or name == b"vary"}):
        values = answer.values(name.decode())
        if name in CORS_LISTS or name == b"vary":
            members = {each.strip().lower() for value in values for each in value.split(",")}
            if name == b"access-control-expose-headers":
                there = {each for each, _ in answer.headers if each not in STATUS}
                if readable := members & {each.decode("latin-1") for each in there}:
                    seen["the page may read"] = ", ".join(sorted(readable))
                members -= readable
            seen[name.decode()] = ", ".join(sorted(members))
        else:
            seen[name.decode()] = " | ".join(values)
    return seen


def _body(body: bytes, is_text: bool) -> tuple[dict[str, str], Headers]:
    """The messages, and the block of the last trailer frame."""
    if is_text:
        try:
            body = _untext(body)
        except WireError:
            return {"frames": "not base64"}, []
    seen: dict[str, str] = {}
    frames, rest = _frames(body)
    messages = [data if not flags else b"flag %d: " % flags + data for flags, data in frames if not flags & 0x80]
    ends = [data for flags, data in frames if flags & 0x80]
    if messages:
        seen["messages"] = _short(" | ".join(_readable(each) or "(empty)" for each in messages))
    if rest:
        seen["frames"] = "cut off"
    elif ends and not frames[-1][0] & 0x80:
        seen["frames"] = "messages after the trailer frame"
    if len(ends) > 1:
        seen["trailer frames"] = str(len(ends))
    lines = (line.partition(b":") for line in (ends[-1] if ends else b"").split(b"\r\n") if line)
    return seen, [(name, value) for name, _, value in lines]


def _status(head: Iterable[Header], block: Iterable[Header], *, exact: bool) -> dict[str, str]:
    """What stands in the trailer frame as it is; what stands among the response headers says so."""
    seen = {"grpc-status": "none"}
    for name in STATUS:
        shown = exact or name == b"grpc-status"
        found = [_short(_readable(value)) if shown else "there" for each, value in block if each == name]
        found += [
            f"{_short(_readable(value)) if shown else 'there'} (in the headers)" for each, value in head if each == name
        ]
        if found:
            seen[name.decode()] = ", ".join(found)
    return seen


def _untext(body: bytes) -> bytes:
    decoder = text.TextDecoder()
    data = decoder.feed(body)
    decoder.end()
    return data


def _frames(body: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    """Flags and data of each whole frame, and the bytes after the last."""
    frames = []
    while len(body) >= 5 and len(body) - 5 >= (length := int.from_bytes(body[1:5], "big")):
        frames.append((body[0], body[5 : 5 + length]))
        body = body[5 + length :]
    return frames, body


# -- the backend ---------------------------------------------------------------------------------------------------


def _arrival(arrival: Arrival) -> dict[str, str]:
    seen = {
        "backend path": _readable(arrival.value(b":path") or b""),
        "backend method": _readable(arrival.value(b":method") or b""),
        "backend content-type": _readable(arrival.value(b"content-type") or b"none"),
        "backend grpc-accept-encoding": _readable(arrival.value(b"grpc-accept-encoding") or b"none"),
        "backend te": _readable(arrival.value(b"te") or b"none"),
        "backend authorization": "forwarded" if arrival.value(b"authorization") else "none",
        "backend deadline": _deadline(arrival.value(b"grpc-timeout")),
        "backend stream": arrival.ended,
    }
    groups: dict[str, list[Header]] = {}
    for name, value in arrival.headers:
        if name in AT_BACKEND or name in VOLATILE_AT_BACKEND:
            continue
        groups.setdefault(_group(name), []).append((name, PEER.sub(b"the peer", value)))
    for group, headers in groups.items():
        seen[f"backend {group}"] = _fields(headers)
    frames, rest = _frames(bytes(arrival.body))
    if frames:
        packed = (
            f"flag {flags}: {_readable(data)}" if flags else _readable(data) or "(empty)" for flags, data in frames
        )
        seen["backend messages"] = _short(" | ".join(packed))
    if rest:
        seen["backend bytes of no frame"] = _short(_readable(rest))
    if arrival.trailers:
        seen["backend trailers"] = _fields(arrival.trailers)
    return seen


def _group(name: bytes) -> str:
    for prefix in ("x-forwarded-", "x-envoy-", "grpc-"):
        if name.startswith(prefix.encode()):
            return prefix + "*"
    return "x-user-agent" if name == b"x-user-agent" else "metadata"


def _deadline(timeout: bytes | None) -> str:
    """Two digits of it: the call has taken some of the time by now, and grpc-core rounds."""
    if timeout is None:
        return "none"
    word = timeout.decode("latin-1")
    if not word[:-1].isdigit() or word[-1:] not in UNITS:
        return f"malformed: {word}"
    seconds = int(word[:-1]) * UNITS[word[-1]]
    return f"{float(f'{seconds:.1e}'):g} s" if seconds >= 1 else "under 1 s"


# -- values --------------------------------------------------------------------------------------------------------


def _fields(headers: Iterable[Header]) -> str:
    """By name, values of one name in order."""
    ordered = sorted(headers, key=lambda header: header[0])
    return _short("; ".join(f"{_readable(name)}: {_readable(value)}" for name, value in ordered))


def _readable(raw: bytes) -> str:
    return "".join(chr(byte) if 0x20 <= byte < 0x7F else f"\\x{byte:02x}" for byte in raw)


def _short(value: str) -> str:
    """A long value by its beginning and a digest."""
    if len(value) <= LONGEST * 4:
        return value
    return f"{value[:LONGEST]}… ({len(value)} characters, {hashlib.sha256(value.encode()).hexdigest()[:8]})"
