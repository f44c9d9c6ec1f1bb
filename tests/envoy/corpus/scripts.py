"""The methods of the backend, by name."""

import gzip
from collections.abc import Mapping

from tests.envoy.script import (
    AT_ONCE,
    ECHO,
    FOR_EVER,
    GOAWAY,
    LATER,
    LOSE,
    SOON,
    Data,
    Reset,
    Script,
    alone,
    head,
    message,
    page,
    trailers,
)

ANSWER: Script = (head(), ECHO, trailers(0))
THREE: Script = (
    head(),
    Data(message(b"one")),
    SOON,
    Data(message(b"two")),
    SOON,
    Data(message(b"three")),
    trailers(0),
)
KINDS_OF_METADATA = (
    ("x-one", "1"),
    ("x-two", "a"),
    ("x-two", "b"),
    ("x-raw-bin", "AP8"),
    ("x-padded-bin", "AP8="),
)
RESETS = {
    "NoError": 0,
    "ProtocolError": 1,
    "InternalError": 2,
    "FlowControl": 3,
    "Settings": 4,
    "StreamClosed": 5,
    "FrameSize": 6,
    "Refused": 7,
    "Cancel": 8,
    "Compression": 9,
    "Connect": 10,
    "EnhanceYourCalm": 11,
    "InadequateSecurity": 12,
    "Http11Required": 13,
}

SCRIPTS: Mapping[str, Script] = {
    # What works.
    **dict.fromkeys(("Echo", "Closed", "Either", "Public"), ANSWER),
    **dict.fromkeys(("Check", "Watch"), (head(), Data(message(b"\x08\x01")), trailers(0))),
    "Three": THREE,
    "None": (head(), trailers(0)),
    "Empty": (head(), Data(message(b"")), trailers(0)),
    "Plain": (head(), Data(message(b"hello")), trailers(0)),
    "Early": (AT_ONCE, head(), Data(message(b"early")), trailers(0)),
    "Large": (head(), Data(message(b"x" * 100_000)), trailers(0)),
    "Stay": (AT_ONCE, head(), Data(message(b"one")), FOR_EVER),
    "Silent": (AT_ONCE, FOR_EVER),
    "Split": (head(), Data(message(b"hello")[:3]), SOON, Data(message(b"hello")[3:]), SOON, trailers(0)),
    "Tiny": (head(), *(Data(message(bytes([0x30 + digit]))) for digit in range(10)), trailers(0)),
    "Codec": (head(kind="application/grpc+proto"), ECHO, trailers(0)),
    "Packed": (
        head(("grpc-encoding", "gzip")),
        Data(message(gzip.compress(b"hello", mtime=0), flags=1)),
        trailers(0),
    ),
    # Metadata.
    "Decorated": (head(*KINDS_OF_METADATA), ECHO, trailers(0, ("x-late", "1"), ("x-late", "2"), ("x-late-bin", "AQ"))),
    "Meddling": (
        head(
            ("access-control-allow-origin", "*"),
            ("access-control-allow-credentials", "true"),
            ("access-control-expose-headers", "x-secret"),
            ("vary", "Accept"),
            ("x-own", "1"),
        ),
        ECHO,
        trailers(0),
    ),
    "Identifying": (
        head(("server", "secret/1.0"), ("date", "yesterday"), ("via", "1.1 secret"), ("x-own", "1")),
        ECHO,
        trailers(0, ("server", "secret/1.0")),
    ),
    "Encoded": (head(("content-encoding", "gzip")), ECHO, trailers(0)),
    "Advertising": (head(("alt-svc", 'h2="evil.test:443"'), ("x-own", "1")), ECHO, trailers(0)),
    "SetCookie": (head(("set-cookie", "session=1"), ("x-own", "1")), ECHO, trailers(0)),
    "Challenge": (alone(("grpc-status", "16"), ("www-authenticate", "Bearer"), ("grpc-message", "who?")),),
    "Measured": (head(("content-length", "10")), Data(message(b"hello")), trailers(0)),
    "MisMeasured": (head(("content-length", "3")), Data(message(b"hello")), trailers(0)),
    "ConnectionLevel": (head(("connection", "x-own"), ("keep-alive", "timeout=5"), ("x-own", "1")), ECHO, trailers(0)),
    "Transferring": (head(("transfer-encoding", "chunked")), ECHO, trailers(0)),
    "Accented": (head(("x-odd", "gr\xc3\xbcn"), ("x-own", "1")), ECHO, trailers(0)),
    "Tabbed": (head(("x-odd", "a\tb"), ("x-own", "1")), ECHO, trailers(0)),
    "Control": (head(("x-odd", "a\x01b"), ("x-own", "1")), ECHO, trailers(0)),
    "SplittingHead": (head(("x-odd", "a\r\nset-cookie: x=1"), ("x-own", "1")), ECHO, trailers(0)),
    "SplittingTrailer": (head(), ECHO, trailers(0, ("x-odd", "a\r\ngrpc-status:0"), ("x-own", "1"))),
    "NotBase64": (head(("x-raw-bin", "!!"), ("x-own", "1")), ECHO, trailers(0)),
    "ManyHeaders": (head(*((f"x-{number}", "v" * 100) for number in range(60))), ECHO, trailers(0)),
    # Statuses.
    **{f"Status{code}": (head(), trailers(code, ("grpc-message", f"code {code}"))) for code in range(1, 17)},
    "Status17": (head(), trailers(17, ("grpc-message", "code 17"))),
    "StatusWord": (head(), trailers("abc")),
    "StatusNegative": (head(), trailers("-1")),
    "Status00": (head(), trailers("00")),
    "OkWithMessage": (head(), ECHO, trailers(0, ("grpc-message", "all well"))),
    "TwoStatuses": (head(), ECHO, trailers(5, ("grpc-status", "0"))),
    "StatusTwice": (head(("grpc-status", "0")), ECHO, trailers(5, ("grpc-message", "no"))),
    "NoStatus": (head(), ECHO, trailers(None, ("x-late", "1"))),
    "HeadAlone": (alone(),),
    "Refuse": (alone(("grpc-status", "5"), ("grpc-message", "none such"), ("x-why", "gone")),),
    "RefuseWithDetails": (
        alone(("grpc-status", "9"), ("grpc-message", "no"), ("grpc-status-details-bin", "CAkSAm5v")),
    ),
    "FailWithDetails": (
        head(),
        ECHO,
        trailers(9, ("grpc-message", "no"), ("grpc-status-details-bin", "CAkSAm5v")),
    ),
    "PaddedDetails": (head(), trailers(9, ("grpc-message", "no"), ("grpc-status-details-bin", "CAkSAW4="))),
    "Percent": (head(), trailers(5, ("grpc-message", "100%25 %0A gr%C3%BCn"))),
    "PercentLoose": (head(), trailers(5, ("grpc-message", "100% %zz"))),
    "Utf8": (head(), trailers(5, ("grpc-message", "gr\xc3\xbcn"))),
    "Latin1": (head(), trailers(5, ("grpc-message", "gr\xfcn"))),
    "Newline": (head(), trailers(5, ("grpc-message", "a%0D%0Agrpc-status:0"))),
    "LongMessage": (head(), trailers(5, ("grpc-message", "m" * 10_000))),
    "TrailersAfterNothing": (head(), trailers(3, ("grpc-message", "bad"), ("x-late", "1"))),
    "FailMidway": (head(), Data(message(b"one")), SOON, trailers(13, ("grpc-message", "broke"))),
    # Answers that are not gRPC.
    **{f"Http{code}": page(str(code), b"<h1>no</h1>") for code in (400, 401, 403, 404, 418, 429, 500, 502, 503, 504)},
    "HttpOk": page("200", b"<h1>hello</h1>"),
    "HttpRedirect": page("302", b"", ("location", "http://evil.test/")),
    "HttpNoContent": (alone(status="204", kind=None),),
    "Http503Grpc": (alone(("grpc-status", "8"), ("grpc-message", "full"), status="503"),),
    "NoType": page("200", message(b"hello"), kind=None),
    "OtherType": (head(kind="application/grpc-web+proto"), ECHO, trailers(0)),
    # Frames that are none.
    "Truncated": (head(), Data(message(b"hello")[:-2]), SOON, trailers(0)),
    "HalfPrefix": (head(), Data(b"\0\0"), SOON, trailers(0)),
    "Garbage": (head(), Data(b"garbage!"), SOON, trailers(0)),
    "FlagTrailer": (
        head(),
        Data(message(b"grpc-status:0\r\n", flags=0x80)),
        SOON,
        trailers(5, ("grpc-message", "no")),
    ),
    "FlagUnknown": (head(), Data(message(b"hello", flags=2)), SOON, trailers(0)),
    "FlagCompressed": (head(), Data(message(b"hello", flags=1)), SOON, trailers(0)),
    "EncodingUnknown": (head(("grpc-encoding", "snappy")), Data(message(b"hello", flags=1)), trailers(0)),
    "TooLarge": (head(), Data(message(bytes(300 * 1024))), trailers(0)),
    "Huge": (head(), Data(b"\0\xff\xff\xff\xff" + bytes(1000)), trailers(0)),
    "OneThenTooLarge": (head(), Data(message(b"one")), Data(message(bytes(300 * 1024))), trailers(0)),
    # Streams and connections that end.
    **{f"Reset{name}": (Reset(code),) for name, code in RESETS.items()},
    **{
        f"HeadThenReset{name}": (head(("x-own", "1")), LATER, Reset(code))
        for name, code in RESETS.items()
        if name in ("Cancel", "InternalError")
    },
    **{f"MessageThenReset{name}": (head(), Data(message(b"one")), LATER, Reset(code)) for name, code in RESETS.items()},
    "Lose": (LOSE,),
    "LoseAfterHead": (head(("x-own", "1")), LATER, LOSE),
    "LoseAfterMessage": (head(), Data(message(b"one")), LATER, LOSE),
    "GoAway": (GOAWAY, LATER, LOSE),
    "EarlyRefusal": (AT_ONCE, alone(("grpc-status", "7"), ("grpc-message", "no"))),
    "EarlyRefusalThenReset": (AT_ONCE, alone(("grpc-status", "7"), ("grpc-message", "no")), Reset(0)),
}
