import dataclasses

import pytest

from gateway.protocol.content_type import CallType, parse


@pytest.mark.parametrize(
    ("content_type", "text", "codec"),
    [
        (b"application/grpc-web", False, b""),
        (b"application/grpc-web+proto", False, b"+proto"),
        (b"application/grpc-web-text", True, b""),
        (b"application/grpc-web-text+proto", True, b"+proto"),
        (b"Application/GRPC-Web+Proto", False, b"+proto"),
        (b" application/grpc-web+json \t; charset=utf-8", False, b"+json"),
        (b"application/grpc-web-text;", True, b""),
        (b"application/grpc-web+vnd.x-y_z", False, b"+vnd.x-y_z"),
    ],
)
def test_a_call(content_type: bytes, text: bool, codec: bytes) -> None:
    assert parse(content_type, None) == CallType(text, text, codec)


@pytest.mark.parametrize(
    "content_type",
    [
        b"",
        b"text/plain",
        b"text/plain;application/grpc-web",
        b"text/plain; x=application/grpc-web+proto",
        b"application/grpc",
        b"application/grpc+proto",
        b"application/grpc-web-texts",
        b"application/grpc-webx",
        b"application/grpc-web+",
        b"application/grpc-web+a b",
        b"application/grpc-web+proto+\xff",
        b"application/grpc-web\n",
        b"application/grpc-web/proto",
        b"xapplication/grpc-web",
        b"application/grpc-web, text/plain",
        b"application/grpc-web;x=1, text/plain",
    ],
)
def test_not_a_call(content_type: bytes) -> None:
    assert parse(content_type, None) is None
    assert parse(content_type, b"application/grpc-web") is None


@pytest.mark.parametrize(
    ("content_type", "codec"),
    [
        (b"application/grpc", b""),
        (b"application/grpc+proto", b"+proto"),
        (b" Application/GRPC+json; charset=utf-8", b"+json"),
        (b"application/grpc;", b""),
    ],
)
@pytest.mark.parametrize("accept", [None, b"application/grpc-web-text"])
def test_a_native_call_where_there_are_trailers(content_type: bytes, codec: bytes, accept: bytes | None) -> None:
    call = parse(content_type, accept, trailers=True)
    assert call == CallType(False, False, codec, native=True)
    assert call is not None
    assert call.upstream == call.reply == b"application/grpc" + codec
    assert parse(content_type, accept, trailers=False) is None


@pytest.mark.parametrize(
    "content_type",
    [
        *(b"application/grpc+", b"application/grpc-", b"application/grpcx", b"application/grpc+a b"),
        *(b"application/grpc, application/grpc", b"application/grpc-web-texts", b"text/plain; x=application/grpc", b""),
    ],
)
def test_not_a_native_call(content_type: bytes) -> None:
    assert parse(content_type, None, trailers=True) is None


@pytest.mark.parametrize("text", [False, True])
def test_trailers_change_nothing_for_grpc_web(text: bool) -> None:
    content_type = b"application/grpc-web-text+proto" if text else b"application/grpc-web+proto"
    assert parse(content_type, None, trailers=True) == parse(content_type, None) == CallType(text, text, b"+proto")


@pytest.mark.parametrize(
    ("accept", "reply_text"),
    [
        (b"application/grpc-web-text", True),
        (b"application/grpc-web-text+proto", True),
        (b"application/grpc-web", False),
        (b"application/grpc-web+proto", False),
        (b"*/*, application/grpc-web-text;q=0.5, application/grpc-web", True),
        (b"application/json,application/grpc-web;q=0.1", False),
        (b"APPLICATION/GRPC-WEB-TEXT", True),
        (b"application/grpc-web-text;q=0, application/grpc-web", False),
        (b"application/grpc-web-text; Q=0.000, application/grpc-web", False),
        (b"application/grpc-web-text;q=0.001, application/grpc-web", True),
    ],
)
@pytest.mark.parametrize("request_text", [False, True])
def test_accept_chooses_the_reply(accept: bytes, reply_text: bool, request_text: bool) -> None:
    content_type = b"application/grpc-web-text" if request_text else b"application/grpc-web"
    assert parse(content_type, accept) == CallType(request_text, reply_text, b"")


@pytest.mark.parametrize(
    "accept", [None, b"", b"*/*", b"application/*", b"text/html", b"application/grpc-web-text;q=0"]
)
@pytest.mark.parametrize("text", [False, True])
def test_without_a_grpc_web_accept_the_reply_mirrors_the_request(accept: bytes | None, text: bool) -> None:
    call = parse(b"application/grpc-web-text" if text else b"application/grpc-web", accept)
    assert call is not None
    assert call.reply_text is text


def test_types_for_both_ends() -> None:
    call = CallType(request_text=False, reply_text=True, codec=b"+proto")
    assert (call.upstream, call.reply) == (b"application/grpc+proto", b"application/grpc-web-text+proto")
    call = CallType(request_text=True, reply_text=False, codec=b"")
    assert (call.upstream, call.reply) == (b"application/grpc", b"application/grpc-web")


def test_the_codec_of_the_reply_is_the_requests() -> None:
    call = parse(b"application/grpc-web+proto", b"application/grpc-web-text+json")
    assert call is not None
    assert call.reply == b"application/grpc-web-text+proto"


def test_call_type_is_immutable() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        CallType(True, True, b"").codec = b"+proto"  # type: ignore[misc]


def test_the_cache_is_bounded() -> None:
    for number in range(1000):
        parse(b"application/grpc-web+c%d" % number, None)
    info = parse.cache_info()
    assert info.maxsize is not None
    assert info.currsize <= info.maxsize <= 1000
