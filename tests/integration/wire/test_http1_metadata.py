"""Over HTTP/1.1: which metadata arrive at the backend, and which come back."""

import contextlib
from typing import Any

import pytest

from tests.integration.wire.ways import CORS_NAMES, assert_cors, told
from tests.support.backends import GRPC_HEAD, HEADERS, HEADERS_END, SCRIPT, ScriptedBackend, block, raw_http2
from tests.support.frames import message
from tests.support.gateway import ORIGIN, RunningGateway, running, untouched
from tests.support.wire import request

pytestmark = pytest.mark.asyncio(loop_scope="module")


# --- metadata in


async def metadata(gateway: RunningGateway, *more: tuple[str, str]) -> list[tuple[str, str]]:
    """What arrives of these."""
    return [(name, value) for name, value in (await told(gateway, *more))["metadata"]]


async def test_metadata_arrives_repeated_and_in_order(gateway: RunningGateway) -> None:
    sent = [("x-a", "1"), ("X-B", "two words"), ("x-a", "2"), ("x-a", "3, 4"), ("x.dot-9", "~!")]
    found = await metadata(gateway, *sent)
    assert [pair for pair in found if pair[0].startswith("x-a")] == [("x-a", "1"), ("x-a", "2"), ("x-a", "3, 4")]
    assert ("x-b", "two words") in found
    assert ("x.dot-9", "~!") in found


async def test_binary_metadata(gateway: RunningGateway) -> None:
    found = await metadata(gateway, ("x-raw-bin", "AP8="), ("x-raw-bin", "AP8"), ("x-raw-bin", "AQ,Ag== , Aw"))
    assert [value for name, value in found if name == "x-raw-bin"] == ["AP8=", "AP8=", "AQ==", "Ag==", "Aw=="]
    answer = await gateway.ask(request(SCRIPT + "Tell", gateway.fields(("x-raw-bin", "A*")), message(b"m")))
    assert answer.code == 3


async def test_what_belongs_to_the_browser_or_the_gateway_is_dropped(gateway: RunningGateway) -> None:
    dropped = [
        ("cookie", "session=1"),
        ("referer", "http://page.test/x"),
        ("accept-language", "de"),
        ("accept-encoding", "gzip, br"),
        ("sec-fetch-mode", "cors"),
        ("access-control-request-method", "POST"),
        ("x-grpc-web", "1"),
        ("te", "trailers"),
        ("keep-alive", "timeout=5"),
        ("proxy-authorization", "Basic eDp5"),
        ("proxy-connection", "keep-alive"),
        ("x-forwarded-for", "203.0.113.1"),
        ("x-forwarded-proto", "gopher"),
        ("x-forwarded-host", "evil.test"),
        ("x-forwarded-port", "1"),
        ("x-real-ip", "203.0.113.1"),
        ("x-envoy-upstream-rq-timeout-ms", "1"),
        ("x-envoy-retry-on", "5xx"),
        ("forwarded", "for=203.0.113.1"),
        ("grpc-status", "0"),
        ("grpc-message", "x"),
        ("grpc-internal-encoding-request", "x"),
        ("x-user-id", "root"),
        ("x-hop", "secret"),
        ("connection", "keep-alive, X-Hop"),
        ("user-agent", "Mozilla/5.0"),
    ]
    found = await metadata(gateway, *dropped, ("x-kept", "1"))
    names = [name for name, _ in found]
    assert sorted(names) == sorted(
        [
            "authorization",
            "user-agent",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-proto",
            "x-kept",
            "x-user-agent",
            "x-user-id",
        ]
    )
    values = dict(found)
    assert values["x-forwarded-for"] == "127.0.0.1"
    assert values["x-forwarded-proto"] == "http"
    assert values["x-forwarded-host"] == "gateway.test"
    assert values["x-user-id"] == "reader@demo"
    assert values["x-user-agent"] == "Mozilla/5.0"
    assert values["user-agent"].startswith("grpcweb-gateway")


async def test_the_trace_context_is_kept(gateway: RunningGateway) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert ("traceparent", trace) in await metadata(gateway, ("traceparent", trace), ("tracestate", "a=b"))


@pytest.mark.parametrize(
    ("name", "value"),
    [("x_user_id", "root"), ("x-a", "caf\xe9"), ("x-a", "ü".encode().decode("latin-1")), ("x!", "1"), ("x-a", "a\tb")],
)
async def test_headers_that_cannot_be_metadata(
    gateway: RunningGateway, backend: ScriptedBackend, name: str, value: str
) -> None:
    async with untouched(gateway, backend):
        answer = await gateway.ask(request(SCRIPT + "Tell", gateway.fields((name, value)), message(b"m")))
    assert answer.code == 3
    assert_cors(answer)


async def test_too_much_metadata(gateway: RunningGateway, backend: ScriptedBackend) -> None:
    async with untouched(gateway, backend):
        much = [(f"x-{number}", "v" * 1000) for number in range(9)]
        assert (await gateway.ask(request(SCRIPT + "Tell", gateway.fields(*much), message(b"m")))).code == 8
    await metadata(gateway, *much[:5])


# --- metadata out


async def test_reply_metadata_is_sent_and_exposed(gateway: RunningGateway) -> None:
    answer = await gateway.ask(request(SCRIPT + "Decorated", gateway.fields(), message(b"m")))
    messages, status, trailing = answer.grpc()
    assert (messages, status.code, status.message) == ([b"x"], 0, "")
    assert answer.values("x-two") == ["a", "b"]
    assert answer.value("x-raw-bin") == "AP8"
    assert answer.value("www-authenticate") == "Bearer"
    assert answer.value("access-control-expose-headers") == CORS_NAMES + ", x-one, x-two, x-raw-bin, www-authenticate"
    assert answer.value("access-control-allow-origin") == ORIGIN
    assert answer.value("server") == "grpcweb-gateway"
    assert answer.value("date") != "yesterday"
    for name in ("content-encoding", "trailer", "access-control-allow-credentials", "x-late"):
        assert answer.value(name) is None, name
    assert trailing == [(b"x-late", b"1"), (b"x-late", b"2"), (b"x-late-bin", b"AQ")]


async def test_trailers_stand_in_the_frame_and_nowhere_else(gateway: RunningGateway) -> None:
    answer = await gateway.ask(request(SCRIPT + "Decorated", gateway.fields(), message(b"m")))
    block = b"grpc-status:0\r\nx-late:1\r\nx-late:2\r\nx-late-bin:AQ\r\n"
    assert answer.body == message(b"x") + message(block, flags=0x80)


async def test_a_reply_of_trailers_alone_is_folded_into_the_frame(gateway: RunningGateway) -> None:
    answer = await gateway.ask(request(SCRIPT + "Refuse", gateway.fields(), message(b"m")))
    assert answer.status == 200
    block = b"grpc-status:5\r\ngrpc-message:none: 100 %25 %0A %C3%BC\r\nx-why:gone\r\n"
    assert answer.body == message(block, flags=0x80)
    assert answer.value("grpc-status") is None
    assert answer.value("x-why") is None
    assert_cors(answer)


ODD = [
    (b"x-odd", b"a\tb"),
    (b"x-odd", "grün".encode()),
    (b"x-odd", b"a\x01b"),
    (b"x-odd", b"a\x7fb"),
    (b"x-odd", b"a\0b"),
    (b"x-odd", b"a\r\nset-cookie: x=1"),
    (b"keep-alive", b"timeout=5"),
]


@pytest.mark.parametrize("transport", ["h2", "grpcio"])
async def test_reply_metadata_that_cannot_be_a_header_does_not_arrive(transport: str) -> None:
    """Such a reply is malformed (RFC 9113, section 8.2); grpcio takes it all the same, and the gateway cleans it."""
    async with contextlib.AsyncExitStack() as stack:
        sections = {}
        for number, odd in enumerate(ODD):
            head = GRPC_HEAD + block(odd, (b"x-even", b"1"))
            frames = [(HEADERS, head), ((0, 0), message(b"m")), (HEADERS_END, block((b"grpc-status", b"0")))]
            section = await stack.enter_async_context(raw_http2(*frames))
            sections[f"odd{number}"] = section | {"services": [f"test.v1.Odd{number}"], "transport": transport}

        def change(configuration: dict[str, Any]) -> None:
            configuration["upstreams"] |= sections
            configuration["authorization"]["default"] = "authenticated"

        gateway = await stack.enter_async_context(running(change))
        for number, (name, value) in enumerate(ODD):
            answer = await gateway.ask(request(f"/test.v1.Odd{number}/Do", gateway.fields(), message(b"")))
            fine = number < 2
            assert [each for other, each in answer.headers if other == name] == [value] * fine
            assert answer.value("set-cookie") is None
            if fine or transport == "grpcio":
                assert (answer.grpc()[0], answer.code) == ([b"m"], 0)
                assert answer.value("x-even") == "1"
            else:
                assert (answer.grpc()[0], answer.code) == ([], 13)
                assert answer.value("x-even") is None
