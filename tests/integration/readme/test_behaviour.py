"""What README.md says in words of calls on their way: numbers, metadata, replies that are not as they should be."""

import re
from typing import Any

import aiohttp
import pytest
from structlog.testing import capture_logs

from gateway import http2
from gateway.front import http2 as front
from gateway.protocol import metadata
from gateway.protocol.status import WireError
from gateway.upstream import h2_stream, pool
from tests.integration.readme.page import TEXT, codes
from tests.support.backends import GRPC_HEAD, HEADERS, HEADERS_END, block, raw_http2
from tests.support.gateway import running


def test_the_numbers_of_http2_are_those_of_the_code() -> None:
    told = " ".join(TEXT.split())
    for number in (
        f"{http2.MAX_STREAMS} at once",
        f"{http2.STREAM_WINDOW >> 20} MiB of a request ahead of the backend",
        f"{front.CONNECTION_WINDOW >> 20} MiB on one connection",
        f"every {pool.RESOLVE_INTERVAL:g} seconds",
        f"after {pool.BACKOFF:g} seconds at first, then by and by up to {pool.BACKOFF_MOST:g}.",
        f"{pool.MAX_WAITING:,} calls may, more get 14",
        f"is sent {'once ' * (h2_stream.REFUSED_ATTEMPTS - 1)}more, if it has no more than {h2_stream.KEPT >> 10} KiB",
        f"no answer comes within {http2.wire.PING_TIMEOUT:g} seconds",
    ):
        assert number in told


def test_what_of_a_request_reaches_a_backend() -> None:
    told = re.search(r"A backend sees the caller's deadline.*?\n\n", TEXT, re.DOTALL)
    assert told is not None
    arriving, dropped = told[0].split("a caller's own")
    dropped, refused = dropped.split("A name of metadata")
    added = {name for name, _ in metadata.forwarded(b"192.0.2.1", b"https", b"api.example.com")}
    assert {name.decode() for name in added} | {"user-agent", "x-user-agent"} == set(codes(arriving))
    assert reaching("user-agent") == ["x-user-agent"]
    assert [reaching(name.replace("*", "a")) for name in codes(dropped)] == [[]] * len(codes(dropped)) != []
    bad, good = codes(refused)
    assert reaching(good) == [good]
    with pytest.raises(WireError) as error:
        reaching(bad)
    assert error.value.status.code == 3


def reaching(name: str) -> list[str]:
    header = (name.encode(), b"a")
    return [kept.decode() for kept, _ in metadata.request_metadata([header], stripped=frozenset(), max_size=8192)]


async def test_a_reply_that_ends_inside_a_message_is_cut_off() -> None:
    piece, end = ((0, 0), b"\0\0\0\0\5he"), (HEADERS_END, block((b"grpc-status", b"0")))
    async with raw_http2((HEADERS, GRPC_HEAD), piece, end) as backend:

        def change(configuration: dict[str, Any]) -> None:
            del configuration["upstreams"]["demo"]["tls"]
            configuration["upstreams"]["demo"] |= backend

        async with running(change) as gateway:
            with pytest.raises(aiohttp.ClientPayloadError):
                await gateway.echo()


@pytest.mark.parametrize("value", [b"a\x01", b"a ", b"\ta"])
@pytest.mark.parametrize(("transport", "status"), [("h2", 13), ("grpcio", 0)])
async def test_what_no_header_may_have_is_refused_and_with_grpcio_is_not(
    value: bytes, transport: str, status: int
) -> None:
    odd = GRPC_HEAD + block((b"x-odd", value))
    message, end = ((0, 0), b"\0\0\0\0\0"), (HEADERS_END, block((b"grpc-status", b"0")))
    async with raw_http2((HEADERS, odd), message, end) as backend:

        def change(configuration: dict[str, Any]) -> None:
            upstream = configuration["upstreams"]["demo"]
            del upstream["tls"]
            upstream |= {**backend, "transport": transport}

        with capture_logs() as events:
            async with running(change) as gateway:
                reply = await gateway.echo()
    assert reply.code == status
    if status:
        assert reply.status is not None
        assert f'**Status 13, "{reply.status.message}".**' in TEXT
        (told,) = (event for event in events if event["event"] == "backend_reset")
        assert (told["method"], told["code"], told["invalid"]) == ("/demo.v1.Demo/Echo", "PROTOCOL_ERROR", True)
