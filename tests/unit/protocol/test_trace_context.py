"""The header `traceparent`."""

import pytest

from gateway.protocol.trace_context import parse

TRACE, SPAN = b"4bf92f3577b34da6a3ce929d0e0e4736", b"00f067aa0ba902b7"


@pytest.mark.parametrize(("flags", "sampled"), [(b"01", True), (b"00", False), (b"02", False), (b"ff", True)])
def test_where_the_caller_is(flags: bytes, sampled: bool) -> None:
    raw = b"00-%s-%s-%s" % (TRACE, SPAN, flags)
    parent = parse(raw)
    assert parent is not None
    assert (parent.trace_id, parent.span_id) == (TRACE.decode(), SPAN.decode())
    assert (parent.flags, parent.sampled) == (int(flags, 16), sampled)
    assert str(parent).encode() == raw


@pytest.mark.parametrize("raw", [b"cc-%s-%s-01", b"cc-%s-%s-01-what-the-future-will-be-like", b"01-%s-%s-01-"])
def test_a_later_version_is_read_as_far_as_it_is_known(raw: bytes) -> None:
    parent = parse(raw % (TRACE, SPAN))
    assert parent is not None
    assert str(parent) == f"00-{TRACE.decode()}-{SPAN.decode()}-01"


@pytest.mark.parametrize(
    "raw",
    [
        None,
        b"",
        b"00-%s-%s-01-" % (TRACE, SPAN),
        b"00-%s-%s-01-more" % (TRACE, SPAN),
        b"cc-%s-%s-01.more" % (TRACE, SPAN),
        b"ff-%s-%s-01" % (TRACE, SPAN),
        b"00-%s-%s-1" % (TRACE, SPAN),
        b"00-%s-%s-0g" % (TRACE, SPAN),
        b"00-%s-%s-01\n" % (TRACE, SPAN),
        b"00-%s-%s-01" % (TRACE.upper(), SPAN),
        b"00-%s-%s-01" % (b"0" * 32, SPAN),
        b"00-%s-%s-01" % (TRACE, b"0" * 16),
        b"00-%s-%s-01" % (TRACE[:-1], SPAN),
        b"00-%s-%s-01, 00-%s-%s-01" % (TRACE, SPAN, TRACE, SPAN),
    ],
)
def test_what_cannot_be_read_is_not_there(raw: bytes | None) -> None:
    assert parse(raw) is None
