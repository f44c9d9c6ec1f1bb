"""What may differ between two cells of the matrix: everything else is the same, byte for byte.

Rule: one table, a reason in each line. Where a line knows what the other value is, it says so (`becomes`, `alike`).
`test_a_listed_difference_is_one` sees each line at work, so none outlives its reason; the lines with `always=False` are
about moments, which show themselves now and then.
"""

import gzip
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from operator import itemgetter
from typing import Any

from gateway.protocol.frames import COMPRESSED, FrameSplitter, frame
from gateway.protocol.metadata import Headers
from tests.contract.cells import Cell
from tests.contract.observation import Observation
from tests.contract.odd import ONE


@dataclass(frozen=True, slots=True)
class Difference:
    """A `field` of an observation differs in some cells from what it is in the others."""

    field: str
    reason: str
    name: bytes | None = None  # of a list of headers only this one, which may be anything
    front: str | None = None  # None: any
    upstream: str | None = None
    form: str | None = None
    case: str = "*"  # of these names
    becomes: Callable[[Any], Any] | None = None  # the others' value in, the value in these cells out
    alike: Callable[[Any], Any] | None = None  # makes both the same
    when: Callable[[Observation], bool] | None = None  # only where one of the two is so
    example: str = "success.Unary"  # a case that shows it
    always: bool = True  # False: a matter of moments

    def __str__(self) -> str:
        return f"{self.field} {(self.name or b'').decode()} {self.example}"

    def holds(self, cell: Cell, case: str) -> bool:
        return (
            self.front in (None, cell.front)
            and self.upstream in (None, cell.upstream)
            and self.form in (None, cell.form)
            and fnmatchcase(case, self.case)
        )

    @property
    def is_free(self) -> bool:
        """The field may be anything."""
        return self.name is None and self.becomes is None and self.alike is None

    def apply(self, expected: Any, found: Any) -> tuple[Any, Any]:
        """Both values as they have to be equal."""
        if self.name is not None:
            expected, found = ([pair for pair in pairs or () if pair[0] != self.name] for pairs in (expected, found))
        if self.becomes is not None:
            expected = self.becomes(expected)
        if self.alike is not None:
            expected, found = self.alike(expected), self.alike(found)
        return expected, found


def _text(content_type: bytes) -> bytes:
    return content_type.replace(b"application/grpc-web", b"application/grpc-web-text")


def _native(content_type: bytes) -> bytes:
    return content_type.replace(b"application/grpc-web", b"application/grpc")


def _constant(value: object) -> Callable[[Any], Any]:
    return lambda _: value


def _grouped(headers: Headers) -> Headers:
    """By name; values of one name in order."""
    return sorted(headers, key=itemgetter(0))


def _opened(body: bytes) -> list[bytes]:
    """The messages, unpacked."""
    splitter = FrameSplitter(len(body))
    return [gzip.decompress(data) if flags & COMPRESSED else data for flags, data in splitter.feed(body)]


def _forgotten(body: bytes) -> bytes:
    """One message, or an empty one, is as good as none."""
    return b"" if body in (ONE, frame(b"")) else body


def _refused(expected: Observation) -> Observation:
    """What is refused as plain HTTP, before anybody looks at its content type, is refused so again."""
    return expected if expected["http"] not in (200, 415) else {"http": 415, "content-type": PLAIN_TEXT}


def is_spoilt(seen: Observation) -> bool:
    """By grpc/grpc#36066: grpc.aio forgets the status of a call that ends while a message is being written."""
    return seen.get("grpc-message") == b"Internal error from Core"


EVERYTHING = "*"
PLAIN_TEXT = b"text/plain; charset=utf-8"

NO_TRAILERS = "native gRPC needs HTTP trailers, which HTTP/1.1 loses on the way to many a client: 415"
FRAMED = "HTTP/1.1 frames its messages by a header, HTTP/2 by itself (RFC 9113, section 8.2.2)"
NATIVE_TOO = "over HTTP/2 native gRPC is taken, too, and the text says so"
PARSER = "aiohttp's parser refuses the request before anybody sees it, so the answer is a bare 400"
BROKEN_OFF = "grpc's C core breaks the call off"
FORGOTTEN = "grpc's C core forgets a message that it reads together with the end of the call"
MOMENTS = "whether a reply is ready whole is a matter of moments"
PACKED = "replies are packed.ServerStream"
OPENED = "grpcio opens messages itself, and keeps to itself how they came"


def _grpcio(case: str, reason: str, *, status: int | None = None, body: bytes | None = None) -> Iterator[Difference]:
    """Of an odd reply, by the name of the oddity: the status and the messages at the end of grpcio."""
    example = f"odd {case.replace('*', 'Empty')}.ServerStream"
    for field, value in (("grpc-status", status), ("body", body)):
        if value is not None:
            yield Difference(
                field, reason, upstream="grpcio", case=f"odd {case}.*", becomes=_constant(value), example=example
            )


DIFFERENCES: tuple[Difference, ...] = (
    # -- the form
    Difference(EVERYTHING, NO_TRAILERS, front="http1", form="native", becomes=_refused),
    Difference("content-type", "the form", form="text", becomes=_text),
    Difference("content-type", "the form", form="native", becomes=_native),
    # -- the front
    Difference("headers", "the clock moves", b"date", always=False),
    Difference("headers", FRAMED, b"transfer-encoding", front="http2", example="success.ServerStream"),
    Difference("headers", MOMENTS, b"transfer-encoding", front="http1", always=False),
    Difference("headers", MOMENTS, b"content-length", always=False),
    Difference("headers", PARSER, front="http2", case="content type twice", example="content type twice"),
    Difference("body", PARSER, front="http2", case="content type twice", example="content type twice"),
    *(
        Difference("body", NATIVE_TOO, front="http2", case=case, example=example)
        for case, example in (("content type '*", "content type ''"), ("no content type", "no content type"))
    ),
    *(
        Difference(
            "headers",
            "in a Trailers-Only answer the trailers stand in the head, so they are exposed",
            b"access-control-expose-headers",
            upstream=upstream,
            form="native",
            case=case.replace("Unary", kinds),
            example=case,
        )
        for case, kinds, upstream in (
            ("refused by the backend.Unary", "*", None),
            ("odd TrailersAlone.Unary", "*", None),
            ("odd NoStatus.Unary", "Unary", "grpcio"),
        )
    ),
    # -- moments
    Difference("told deadline", "time passes, and grpcio rounds up", case="*deadline*", always=False),
    *(
        Difference("grpc-message", "the gateway and the backend look at the same deadline", case=case, always=False)
        for case in ("deadline.*", "none to a unary method")
    ),
    # -- what the backend is sent
    Difference("sent", "time passes", b"grpc-timeout", case="sent *", always=False),
    Difference("sent", "each end has its name", b"user-agent", upstream="grpcio", case="sent *", example="sent +proto"),
    Difference(
        "sent",
        "grpcio opens messages itself, so it asks for what it can open",
        b"grpc-accept-encoding",
        upstream="grpcio",
        case="sent *",
        example="sent +proto",
    ),
    Difference(
        "sent", "grpcio names no codec", b"content-type", upstream="grpcio", case="sent +*", example="sent +proto"
    ),
    Difference("told metadata", "each end has its name", b"user-agent", upstream="h2", example="metadata.Unary"),
    Difference(
        "told metadata",
        "grpcio puts the values of one name together",
        upstream="h2",
        case="metadata.*",
        alike=_grouped,
        example="metadata.Unary",
    ),
    *(
        Difference(
            field,
            "grpcio cannot send such a message; h2 leaves it to the backend, whose grpc takes the name for malformed",
            upstream="h2",
            case="an encoding nobody knows.*",
            becomes=becomes,
            example="an encoding nobody knows.Unary",
        )
        for field, becomes in (("grpc-status", _constant(13)), ("grpc-message", None))
    ),
    # -- what comes back
    *(
        Difference(
            "headers",
            "grpcio has the head of a unary reply with its end only, and no head of a call that the deadline ends",
            name,
            upstream="h2",
            case="deadline.Unary",
            example="deadline.Unary",
        )
        for name in (b"x-one", b"access-control-expose-headers")
    ),
    *(
        Difference("headers", OPENED, name, upstream="h2", case="replies are packed.*", example=PACKED)
        for name in (b"grpc-encoding", b"access-control-expose-headers")
    ),
    Difference("body", OPENED, upstream="h2", case="replies are packed.*", alike=_opened, example=PACKED),
    # -- what comes back from odd backends
    *_grpcio("HeadConnection", "grpcio takes the header for metadata", status=0, body=ONE),
    *_grpcio("Status*", f"{BROKEN_OFF} for a status that is no number", status=13),
    *_grpcio("DetailsNoBase64", f"{BROKEN_OFF} for details that are no base64", status=13),
    *_grpcio("HeadNoBase64", f"{BROKEN_OFF} for a header that is no base64", status=13, body=b""),
    *_grpcio("Padded", f"{BROKEN_OFF} for padding", status=13, body=b""),
    *_grpcio("EarlyHints", f"{BROKEN_OFF} for an informational answer", status=2, body=b""),
    *(
        each
        for name in ("FlagUnknown", "FlagTrailers", "Truncated")
        for each in _grpcio(name, "grpc's C core drops what is no message, and believes the trailers", status=0)
    ),
    *_grpcio("ResetAmidst", "grpcio has whole messages only: nothing of this one has been sent", status=13),
    *(
        Difference(
            "grpc-status",
            "native gRPC has its trailers outside the body, so they can be read after half a message",
            upstream="h2",
            form="native",
            case=f"odd {name}.*",
            becomes=_constant(13),
            example=f"odd {name}.ServerStream",
        )
        for name in ("Truncated", "ResetAmidst")
    ),
    Difference(
        "grpc-message",
        "grpc's C core has other words when the reset comes first",
        upstream="grpcio",
        case="odd EarlyHints.*",
        always=False,
    ),
    Difference(
        "grpc-message",
        "grpcio takes bytes that are no UTF-8 for Latin-1",
        upstream="grpcio",
        case="odd MessageNoUtf8.*",
        becomes=_constant(b"%C3%A4A"),
        example="odd MessageNoUtf8.ServerStream",
    ),
    *(
        Difference(
            field,
            "libnghttp2 takes a reply with a control character in a header for malformed (RFC 9113, section 8.2.1)",
            upstream="h2",
            case="odd HeadControl.*",
            becomes=_constant(value),
            example="odd HeadControl.ServerStream",
        )
        for field, value in (("grpc-status", 13), ("body", b""))
    ),
    *(
        Difference(
            "body",
            "a unary call of grpcio that fails has no message",
            upstream="grpcio",
            case=f"odd {case}.Unary",
            becomes=_constant(b""),
            example=f"odd {case.replace('*', example)}.Unary",
        )
        for case, example in (
            ("ResetLate*", "8"), ("NoTrailers", ""), ("NoStatus", ""), ("Status*", "Empty"), ("Message*", "NoUtf8"),
            ("DetailsNoBase64", ""),
        )
    ),
    *(
        Difference("body", FORGOTTEN, upstream="grpcio", case=f"odd {case}.[!U]*", alike=_forgotten, always=False)
        for case in ("ResetLate*", "NoTrailers", "NoStatus", "Status*", "Message*", "DetailsNoBase64")
    ),
    *(
        Difference(
            "body",
            "grpc's C core takes what is no message, read together with its head, for an empty one",
            upstream="grpcio",
            case=f"odd {case}.*",
            alike=_forgotten,
            always=False,
        )
        for case in ("Http200", "Flag*", "TooLong")
    ),
    Difference(
        EVERYTHING,
        "grpc.aio forgets the status of a call that ends while a message is being written (grpc/grpc#36066)",
        upstream="grpcio",
        when=is_spoilt,
        always=False,
    ),
)  # fmt: skip


def differences(
    case: str,
    cell: Cell,
    seen: Observation,
    expected: Observation,
    other: Cell | None,
    *,
    table: Sequence[Difference] = DIFFERENCES,
) -> Iterator[str]:
    """Those that no line of the table allows between `cell` and the `other`, whose observation is the expected one.

    `other` None: what is expected is the rule itself. A line about both cells says nothing of their difference, unless
    it is about moments.
    """
    lines = [
        line
        for line in table
        if line.holds(cell, case)
        and not (line.always and other is not None and line.holds(other, case))
        and (line.when is None or line.when(seen) or line.when(expected))
    ]
    for line in (line for line in lines if line.field == EVERYTHING):
        expected = {} if line.becomes is None else line.becomes(expected)
    for field in expected:
        mine = [line for line in lines if line.field == field]
        if any(line.is_free for line in mine):
            continue
        wanted, found = expected[field], seen.get(field)
        for line in mine:
            wanted, found = line.apply(wanted, found)
        if found != wanted:
            yield _told(field, cell, wanted, found)


def _told(field: str, cell: Cell, expected: Any, found: Any) -> str:
    if isinstance(expected, list) and isinstance(found, list):
        missing, added = (
            [each for each in one if each not in other] for one, other in ((expected, found), (found, expected))
        )
        if missing or added:
            return f"{field} in {cell}: without {missing}, with {added}"
    return f"{field} in {cell}: {found!r:.500}, not {expected!r:.500}"
