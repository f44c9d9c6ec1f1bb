import binascii

import pytest

from gateway.protocol import metadata
from gateway.protocol.metadata import (
    Header,
    Headers,
    decode_binary,
    encode_binary,
    forwarded,
    is_carried,
    reply_metadata,
    request_metadata,
)
from gateway.protocol.status import Code, WireError

NOTHING: frozenset[bytes] = frozenset()


def request(headers: Headers, stripped: frozenset[bytes] = NOTHING) -> Headers:
    return request_metadata(headers, stripped=stripped, max_size=8192)


def refused(headers: Headers, max_size: int = 8192) -> Code:
    with pytest.raises(WireError) as error:
        request_metadata(headers, stripped=NOTHING, max_size=max_size)
    return Code(error.value.status.code)


DROPPED_ON_REQUEST = b"""
    connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer transfer-encoding upgrade
    http2-settings expect host content-length content-type content-encoding accept accept-encoding accept-language
    accept-charset origin referer sec-fetch-mode sec-ch-ua sec-websocket-key access-control-request-method cookie
    x-grpc-web grpc-status grpc-message grpc-status-details-bin grpc-previous-rpc-attempts grpc-internal-x forwarded
    grpc-timeout priority x-forwarded-for x-forwarded-proto x-forwarded-host x-forwarded-client-cert x-real-ip
    x-envoy-upstream-rq-timeout-ms x-envoy-retry-on x-envoy-original-path x-envoy-a-bin
""".split()

CROSS_ON_REQUEST = b"""
    grpc-accept-encoding grpc-encoding grpc-trace-bin grpc-tags-bin authorization traceparent x-user-agent
    acceptance secret dnt x-api-key a.b-c.1 x-forwarded x-envoy x-envoys
""".split()

DROPPED_ON_REPLY = b"""
    connection keep-alive proxy-authenticate te trailer transfer-encoding upgrade content-length content-type
    content-encoding server date alt-svc access-control-allow-origin access-control-allow-credentials
    access-control-expose-headers grpc-status grpc-message grpc-status-details-bin grpc-accept-encoding
    :status X-Upper a:b
""".split()


@pytest.mark.parametrize("name", DROPPED_ON_REQUEST)
def test_request_headers_that_do_not_cross(name: bytes) -> None:
    assert request([(b"x-a", b"1"), (name, b"AAAA"), (b"x-b", b"2")]) == [(b"x-a", b"1"), (b"x-b", b"2")]


@pytest.mark.parametrize("name", CROSS_ON_REQUEST)
def test_request_headers_that_cross(name: bytes) -> None:
    assert request([(name, b"AAAA")]) == [(name, b"AAAA")]


def test_request_repeats_stay_in_order() -> None:
    headers = [(b"x-b", b"1"), (b"x-a", b""), (b"x-b", b"0"), (b"x-b", b"1")]
    assert request(headers) == headers


@pytest.mark.parametrize(
    "connection", [b"x-secret", b"keep-alive, X-Secret", b"close,x-secret ,upgrade", b" x-secret\t,", b"X-SECRET"]
)
@pytest.mark.parametrize("first", [True, False])
def test_headers_named_by_connection_do_not_cross(connection: bytes, first: bool) -> None:
    headers = [(b"connection", connection), (b"x-secret", b"1"), (b"x-a", b"1")]
    assert request(headers if first else headers[::-1]) == [(b"x-a", b"1")]


def test_an_ordinary_connection_header_takes_nothing_along() -> None:
    for value in (b"keep-alive", b"close", b""):
        assert request([(b"connection", value), (b"x-a", b"1")]) == [(b"x-a", b"1")]


def test_headers_of_the_gateway_cannot_be_forged() -> None:
    headers = [(b"x-user-id", b"root"), (b"x-user-id-2", b"kept"), (b"x-user-id", b"admin")]
    assert request(headers, frozenset([b"x-user-id"])) == [(b"x-user-id-2", b"kept")]
    assert refused([(b"x_user_id", b"root")]) == Code.INVALID_ARGUMENT


def test_a_mapped_name_is_stripped_too() -> None:
    assert request([(b"user-agent", b"Mozilla/5.0")], frozenset([b"x-user-agent"])) == []


def test_browsers_user_agent_is_kept_under_another_name() -> None:
    headers = [(b"user-agent", b"Mozilla/5.0"), (b"x-user-agent", b"grpc-web-javascript/0.1")]
    assert request(headers) == [(b"x-user-agent", b"Mozilla/5.0"), (b"x-user-agent", b"grpc-web-javascript/0.1")]


@pytest.mark.parametrize("forward", [True, False])
def test_authorization(forward: bool) -> None:
    header = (b"authorization", b"Bearer x")
    kept = request_metadata([header], stripped=NOTHING, max_size=8192, forward_authorization=forward, allow_cookie=True)
    assert kept == ([header] if forward else [])


@pytest.mark.parametrize("allow", [True, False])
def test_cookie(allow: bool) -> None:
    header = (b"cookie", b"a=b")
    kept = request_metadata([header], stripped=NOTHING, max_size=8192, forward_authorization=True, allow_cookie=allow)
    assert kept == ([header] if allow else [])


@pytest.mark.parametrize(
    "name", [b"", b"X-Upper", b"x_y", b"x y", b":path", b"x\0", b"x\n", b"x\r\ny", b"\xc3\xa4", b"x/y"]
)
def test_request_names(name: bytes) -> None:
    assert refused([(b"x-a", b"1"), (name, b"1")]) == Code.INVALID_ARGUMENT


@pytest.mark.parametrize("byte", [*range(0x20), *range(0x7F, 0x100)])
@pytest.mark.parametrize("name", [b"x-a", b"authorization", b"user-agent", b"a-bin"])
def test_request_values(name: bytes, byte: int) -> None:
    assert refused([(b"x-b", b"1"), (name, b"QUJD" + bytes((byte,)) + b"QUJD")]) == Code.INVALID_ARGUMENT


def test_every_printable_value_crosses() -> None:
    header = (b"x-a", bytes(range(0x20, 0x7F)))
    assert request([header]) == [header]


def test_a_refusal_names_the_header_but_not_its_value() -> None:
    with pytest.raises(WireError, match=r"x-b") as error:
        request([(b"x-a", b"fine"), (b"x-b", b"secret\x01")])
    assert "secret" not in error.value.status.message


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (b"", [b""]),
        (b"QQ", [b"QQ"]),
        (b"QQ==", [b"QQ"]),
        (b"QUI", [b"QUI"]),
        (b"QUI=", [b"QUI"]),
        (b"QUJD", [b"QUJD"]),
        (b"+/+/", [b"+/+/"]),
        (b"QR==", [b"QQ"]),  # re-encoded: unused bits are zero
        (b"QQ==,QUI=,QUJD", [b"QQ", b"QUI", b"QUJD"]),
        (b"QQ, QUI\t,,QUJD", [b"QQ", b"QUI", b"", b"QUJD"]),
    ],
)
def test_binary_values(value: bytes, kept: list[bytes]) -> None:
    headers: list[Header] = [(b"a-bin", value), (b"b", b"1")]
    assert request(headers) == reply_metadata(headers) == [*((b"a-bin", one) for one in kept), (b"b", b"1")]


@pytest.mark.parametrize(
    "value",
    [
        *b"Q QQ= QUJD= QUJD== QUJD==== ==== Q=== =QQQ Q=QQ QQ=Q QQ==QQ== -_-_ ! QQ,Q QQ;QQ \xff\xff".split(),
        b"Q Q",
    ],
)
def test_bad_base64(value: bytes) -> None:
    assert refused([(b"a-bin", value)]) == Code.INVALID_ARGUMENT
    assert reply_metadata([(b"a-bin", value), (b"b", b"1")]) == [(b"b", b"1")]
    if b"," not in value:
        with pytest.raises(binascii.Error):
            decode_binary(value)


def test_binary_codec() -> None:
    assert encode_binary(b"\0\1") == b"AAE"
    assert decode_binary(b"AAE=") == decode_binary(b"AAE") == b"\0\1"


def test_size_is_measured_as_http2_does() -> None:
    headers = [(b"x-a", b"12345"), (b"a-bin", b"QUI=")]
    size = (3 + 5 + 32) + (5 + 3 + 32)
    assert request_metadata(headers, stripped=NOTHING, max_size=size) == [(b"x-a", b"12345"), (b"a-bin", b"QUI")]
    assert refused(headers, size - 1) == Code.RESOURCE_EXHAUSTED


def test_size_counts_only_what_crosses() -> None:
    headers = [(b"cookie", b"x" * 9000), (b"accept-language", b"x" * 9000), (b"x-a", b"1")]
    assert request_metadata(headers, stripped=NOTHING, max_size=36) == [(b"x-a", b"1")]


def test_lists_of_nothing_cannot_multiply_past_the_limit() -> None:
    assert refused([(b"a-bin", b"," * 8000)]) == Code.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("name", [*DROPPED_ON_REPLY, b"", b"a b", b"a\r\nb"])
def test_reply_headers_that_do_not_cross(name: bytes) -> None:
    assert reply_metadata([(b"x-a", b"1"), (name, b"AAAA"), (b"x-b", b"2")]) == [(b"x-a", b"1"), (b"x-b", b"2")]


@pytest.mark.parametrize(
    "name", [b"grpc-encoding", b"www-authenticate", b"x-request-id", b"set-cookie", b"x_y", b"x-forwarded-for", b"vary"]
)
def test_reply_headers_that_cross(name: bytes) -> None:
    assert reply_metadata([(name, b"a, b"), (name, b"c")]) == [(name, b"a, b"), (name, b"c")]


@pytest.mark.parametrize("value", [b"", b"a\tb", bytes(range(0x20, 0x7F)), bytes(range(0x80, 0x100)), "grün".encode()])
def test_values_that_a_header_can_have(value: bytes) -> None:
    assert is_carried(value)


@pytest.mark.parametrize("byte", [*range(0x09), *range(0x0A, 0x20), 0x7F])
def test_control_characters_are_no_value_of_a_header(byte: int) -> None:
    assert not is_carried(b"a%cb" % byte)
    assert not is_carried(bytes((byte,)))


@pytest.mark.parametrize("value", [b"a\r\nb: c", b"a\nb", b"a\rb", b"\0", b"a\x01", b"a\x7fb"])
def test_reply_values_that_no_header_can_have_are_left_out(value: bytes) -> None:
    assert reply_metadata([(b"x-a", b"1"), (b"x-b", value), (b"x-c", b"2")]) == [(b"x-a", b"1"), (b"x-c", b"2")]


@pytest.mark.parametrize(
    ("peer", "host", "block"),
    [
        (
            b"192.0.2.1",
            b"api.example.com",
            [(b"x-forwarded-for", b"192.0.2.1"), (b"x-forwarded-host", b"api.example.com")],
        ),
        (b"", b"api.example.com", [(b"x-forwarded-host", b"api.example.com")]),
        (b"2001:db8::1", b"", [(b"x-forwarded-for", b"2001:db8::1")]),
        (b"192.0.2.1", b"evil\r\nx: y", [(b"x-forwarded-for", b"192.0.2.1")]),
        (b"192.0.2.1", b"\xff", [(b"x-forwarded-for", b"192.0.2.1")]),
    ],
)
def test_forwarded(peer: bytes, host: bytes, block: Headers) -> None:
    assert sorted(forwarded(peer, b"https", host)) == sorted([*block, (b"x-forwarded-proto", b"https")])


def test_remembered_names_are_bounded() -> None:
    for number in range(5000):
        request([(b"x-%d" % number, b"1")])
        reply_metadata([(b"x-%d" % number, b"1")])
    assert len(metadata._request_fates) <= metadata._MAX_NAMES
    assert len(metadata._reply_fates) <= metadata._MAX_NAMES
