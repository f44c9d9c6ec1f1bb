"""Backends that fail: statuses of every kind, answers that are not gRPC, streams and connections that end."""

import base64

from tests.envoy.corpus.case import HELLO, IN_TEXT, call
from tests.envoy.corpus.scripts import RESETS

LATE = ("InternalError", "Refused", "Cancel")  # each has to be waited for


NAMES = [
    *(f"Status{code}" for code in range(1, 18)), "StatusWord", "StatusNegative", "Status00", "OkWithMessage",
    "TwoStatuses", "StatusTwice", "NoStatus", "HeadAlone", "Refuse", "RefuseWithDetails",
    "FailWithDetails", "PaddedDetails", "Percent", "PercentLoose", "Utf8", "Latin1", "Newline", "LongMessage",
    "TrailersAfterNothing", "FailMidway",
]  # fmt: skip


STATUSES = [call(name, name) for name in NAMES]

NOT_GRPC = [
    *(call(f"HTTP {code}", f"Http{code}") for code in (400, 401, 403, 404, 418, 429, 500, 502, 503, 504)),
    call("HTTP 200 and a page", "HttpOk"),
    call("a redirect", "HttpRedirect"),
    call("HTTP 204", "HttpNoContent"),
    call("HTTP 503 with a grpc-status", "Http503Grpc"),
    call("no content type", "NoType"),
    call("content type of gRPC-Web", "OtherType"),
    call("HTTP 503, in text mode", "Http503", base64.b64encode(HELLO), change=IN_TEXT),
    call("a message cut short", "Truncated"),
    call("half a prefix", "HalfPrefix"),
    call("garbage", "Garbage"),
    call("a trailer frame from the backend", "FlagTrailer"),
    call("an unknown flag", "FlagUnknown"),
    call("compressed without an encoding", "FlagCompressed"),
    call("compressed by an encoding nobody knows", "EncodingUnknown"),
    call("a message over the limit", "TooLarge"),
    call("a message over the limit after one that is not", "OneThenTooLarge"),
    call("4 GiB announced", "Huge"),
]

ENDINGS = [
    *(call(f"RST_STREAM {name} before the head", f"Reset{name}") for name in RESETS),
    *(call(f"RST_STREAM {name} after the head", f"HeadThenReset{name}") for name in ("InternalError",)),
    *(call(f"RST_STREAM {name} after a message", f"MessageThenReset{name}") for name in LATE),
    call("RST_STREAM after a message, in text mode", "MessageThenResetCancel", base64.b64encode(HELLO), change=IN_TEXT),
    call("connection lost before the head", "Lose"),
    call("connection lost after the head", "LoseAfterHead"),
    call("connection lost after a message", "LoseAfterMessage"),
    call("GOAWAY before the head", "GoAway"),
    call("nobody listens", "/test.v1.Dead/Echo"),
    call("nobody listens, in text mode", "/test.v1.Dead/Echo", base64.b64encode(HELLO), change=IN_TEXT),
    call("the certificate is of another authority", "/test.v1.Untrusted/Echo"),
    call("the certificate has another name", "/test.v1.Misnamed/Echo"),
    call("the certificate has expired", "/test.v1.Expired/Echo"),
    call("the backend does not accept our certificate", "/test.v1.Unwelcoming/Echo"),
    call("the backend speaks plaintext", "/test.v1.Cleartext/Echo"),
]
