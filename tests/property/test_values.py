"""Headers, deadlines, trailers and messages: what goes out comes back, and nothing but WireError comes out of noise."""

import contextlib
import gzip
import math
import re
import zlib

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.protocol import compression, content_type, timeout, trailers
from gateway.protocol.frames import PREFIX_SIZE, frame
from gateway.protocol.metadata import Headers, is_carried, reply_metadata, request_metadata
from gateway.protocol.status import MAX_MESSAGE, Code, Status, WireError, decode_message, encode_message

quick = settings(max_examples=100, deadline=None)
thorough = settings(max_examples=250, deadline=None)

noise = st.binary(max_size=30)
names = st.sampled_from(
    b"x-a a-bin user-agent cookie connection authorization grpc-status grpc-timeout te x_a X-A grpc-message "
    b"grpc-status-details-bin x-user-id date".split()
)
values = st.one_of(noise, st.sampled_from([b"", b"AAE=", b"AA,QQ==", b"x-a, te", b"keep-alive", b"5S", b"a\r\nx: y"]))
blocks = st.lists(st.tuples(st.one_of(names, noise), values), max_size=8)
plain_headers = st.lists(
    st.tuples(
        st.from_regex(rb"x-[0-9a-z.-]{1,12}[a-z]", fullmatch=True).filter(lambda name: not name.endswith(b"-bin")),
        st.from_regex(rb"[!-~]([ -~]{0,20}[!-~])?", fullmatch=True),
    ).filter(
        lambda header: (
            not header[0].startswith((b"x-envoy-", b"x-forwarded-")) and header[0] not in (b"x-grpc-web", b"x-real-ip")
        )
    ),
    max_size=8,
)
statuses = st.builds(Status, st.integers(0, 99), st.text(max_size=40), st.none() | st.binary(max_size=40))


def request_or_code(headers: Headers) -> Headers | int:
    try:
        return request_metadata(headers, stripped=frozenset([b"x-user-id"]), max_size=200)
    except WireError as error:
        return error.status.code


def decompress_or_code(encoding: bytes, message: bytes, limit: int) -> bytes | int:
    try:
        return compression.decompress(encoding, message, limit)
    except WireError as error:
        return error.status.code


@given(blocks)
@thorough
def test_request_metadata_is_fit_to_send_or_refused(headers: Headers) -> None:
    kept = request_or_code(headers)
    if isinstance(kept, int):
        assert kept in (Code.INVALID_ARGUMENT, Code.RESOURCE_EXHAUSTED)
        return
    for name, value in kept:
        assert re.fullmatch(rb"[0-9a-z.-]+", name)
        assert re.fullmatch(rb"[ -~]*", value)
        assert name not in (b"x-user-id", b"cookie", b"connection", b"te", b"grpc-status")
    assert sum(len(name) + len(value) + 32 for name, value in kept) <= 200
    assert request_metadata(kept, stripped=frozenset(), max_size=200) == kept


@given(plain_headers)
@quick
def test_ordinary_headers_cross_both_ways_as_they_are(headers: Headers) -> None:
    assert request_metadata(headers, stripped=frozenset(), max_size=8192) == headers
    assert reply_metadata(headers) == headers


@given(blocks)
@quick
def test_reply_metadata_never_fails_and_never_splits(headers: Headers) -> None:
    kept = reply_metadata(headers)
    for name, value in kept:
        assert re.fullmatch(rb"[0-9a-z_.-]+", name)
        assert is_field_value(value)
    assert reply_metadata(kept) == kept


@given(noise)
@thorough
def test_what_a_header_can_carry_is_said_as_the_grammar_says_it(value: bytes) -> None:
    assert is_carried(value) == is_field_value(value)


def is_field_value(value: bytes) -> bool:
    """RFC 9110, section 5.5, with obs-text; white space around it aside."""
    return re.fullmatch(rb"[\t -~\x80-\xff]*", value) is not None


@given(statuses, plain_headers)
@quick
def test_trailers_come_back(status: Status, metadata: Headers) -> None:
    data = trailers.encode(status, metadata)
    assert data == frame(data[PREFIX_SIZE:], 0x80)
    decoded, rest = trailers.decode(data[PREFIX_SIZE:])
    assert (decoded.code, decoded.details, rest) == (status.code, status.details, metadata)
    assert decoded.message == status.message


@given(statuses, blocks)
@quick
def test_trailers_have_one_status_whatever_the_metadata(status: Status, metadata: Headers) -> None:
    lines = trailers.encode(status, metadata)[PREFIX_SIZE:].split(b"\r\n")
    assert lines.pop() == b""
    assert lines[0] == b"grpc-status:%d" % status.code
    assert all(re.fullmatch(rb"[0-9a-z_.-]+:[^\r\n\0]*", line) for line in lines)
    assert sum(line.startswith(b"grpc-status:") for line in lines) == 1
    assert [b"%b:%b" % field for field in trailers.fields(status, metadata)] == lines


@given(statuses)
@quick
def test_trailers_of_http_have_no_white_space_around_their_values(status: Status) -> None:
    assert all(value == value.strip(b" \t") for _, value in trailers.fields(status, []))


@given(st.one_of(st.binary(max_size=60), st.lists(st.tuples(names, noise).map(b":".join)).map(b"\r\n".join)))
@quick
def test_trailer_decoding_never_fails(block: bytes) -> None:
    trailers.decode(block)


@given(st.text(max_size=60), st.integers(1, 600))
@quick
def test_messages_come_back_as_far_as_they_fit(text: str, times: int) -> None:
    encoded = encode_message(text * times)
    assert len(encoded) <= MAX_MESSAGE
    assert re.fullmatch(rb"([ -$&-~]|%[0-9A-F]{2})*", encoded)
    assert (text * times).startswith(decode_message(encoded))
    if len(text) * times * 12 <= MAX_MESSAGE:
        assert decode_message(encoded) == text * times


@given(noise)
@quick
def test_message_decoding_never_fails(raw: bytes) -> None:
    decode_message(raw)


@given(st.floats())
@thorough
def test_rendered_timeout_is_well_formed_and_never_longer(seconds: float) -> None:
    raw = timeout.render(seconds)
    assert re.fullmatch(rb"[0-9]{1,8}[HMSmun]", raw)
    assert timeout.parse(raw) <= max(seconds, 0.0) or math.isnan(seconds)


@given(st.floats(1e-6, 1e9))
@thorough
def test_rendered_timeout_keeps_what_eight_digits_can(seconds: float) -> None:
    assert timeout.parse(timeout.render(seconds)) >= seconds * (1 - 1e-5) - 1e-9


@given(st.integers(0, 99_999_999), st.sampled_from("HMSmun"))
@thorough
def test_timeout_of_eight_digits_comes_back_exactly(amount: int, unit: str) -> None:
    seconds = timeout.parse(b"%d%b" % (amount, unit.encode()))
    raw = timeout.render(seconds)
    assert timeout.parse(raw) == seconds
    assert len(raw) <= len(f"{amount}{unit}")


@given(st.one_of(noise, st.from_regex(rb"[0-9]{1,30}[HMSmunhs ]", fullmatch=True)))
@quick
def test_timeout_parsing_raises_nothing_else(raw: bytes) -> None:
    with contextlib.suppress(WireError):
        assert 0 <= timeout.parse(raw) <= timeout.MAX_TIMEOUT


types = st.sampled_from(
    [b"", b"application/grpc", b"application/grpc+", b"application/grpc-web", b"application/grpc-web-text+"]
)


@given(noise, st.none() | noise, types, st.booleans())
@quick
def test_content_type_parsing_raises_nothing(
    tail: bytes, accept: bytes | None, head: bytes, http_trailers: bool
) -> None:
    call = content_type.parse(head + tail, accept, trailers=http_trailers)
    if call is not None:
        assert re.fullmatch(rb"application/grpc(\+[!-~]+)?", call.upstream)
        assert call.native == (call.reply == call.upstream)
        assert http_trailers or not call.native


@given(st.lists(st.binary(max_size=50), min_size=1, max_size=4), st.integers(0, 200))
@quick
def test_decompression_stops_at_the_limit(members: list[bytes], limit: int) -> None:
    plain = b"".join(members)
    for encoding, message in ((b"gzip", b"".join(map(gzip.compress, members))), (b"deflate", zlib.compress(plain))):
        expected = plain if len(plain) <= limit else Code.RESOURCE_EXHAUSTED
        assert decompress_or_code(encoding, message, limit) == expected


packed_or_not = st.tuples(st.sampled_from(["packed", "plain", "rubbish"]), st.binary(max_size=40))


@given(st.sampled_from([b"gzip", b"deflate"]), st.lists(packed_or_not, max_size=4), st.integers(1, 50))
@quick
def test_messages_that_pass_by_are_judged_as_if_they_were_opened(
    encoding: bytes, parts: list[tuple[str, bytes]], size: int
) -> None:
    pack = gzip.compress if encoding == b"gzip" else zlib.compress
    body, expected = b"", None
    for kind, data in parts:
        message = pack(data) if kind == "packed" else data
        body += frame(message, kind != "plain")
        judged = message if kind == "plain" else decompress_or_code(encoding, message, 60)
        if expected is None and (len(message) > 60 or isinstance(judged, int)):
            expected = Code.RESOURCE_EXHAUSTED if len(message) > 60 else judged
    sizes, found = compression.MessageOpener(encoding, 60), None
    try:
        for start in range(0, len(body), size):
            for _ in sizes.feed(body[start : start + size]):
                pass
    except WireError as error:
        found = error.status.code
    assert found == expected


@given(st.sampled_from([b"gzip", b"deflate", b"identity"]), noise, noise, st.integers(0, 40))
@quick
def test_decompression_raises_nothing_else(encoding: bytes, head: bytes, tail: bytes, cut: int) -> None:
    for message in (head, gzip.compress(head)[:cut] + tail, zlib.compress(head)[:cut] + tail):
        opened = decompress_or_code(encoding, message, 20)
        assert isinstance(opened, int) or len(opened) <= 20
