"""A hostile client over HTTP/2: requests that are none. Nothing breaks, nobody else notices."""

from collections.abc import Callable

import pytest

from gateway.demo.pb import demo_pb2
from gateway.protocol.metadata import Header, Headers
from tests.support.frames import take_apart
from tests.support.frames_http2 import block, data, headers
from tests.support.gateway import DEMO, RunningGateway, arrived
from tests.support.hostile import (
    ECHO,
    PROTOCOL_ERROR,
    Bystander,
    assert_gives_nothing_away,
    attacker,
    call,
    head,
    open_call,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")


def plus(*fields: Header) -> Callable[[Headers], Headers]:
    return lambda good: [*good, *fields]


def before(*fields: Header) -> Callable[[Headers], Headers]:
    return lambda good: [*fields, *good]


def without(name: bytes) -> Callable[[Headers], Headers]:
    return lambda good: [each for each in good if each[0] != name]


def instead(name: bytes, value: bytes) -> Callable[[Headers], Headers]:
    return lambda good: [(each[0], value) if each[0] == name else each for each in good]


MALFORMED = {
    "no method": without(b":method"),
    "no scheme": without(b":scheme"),
    "no path": without(b":path"),
    "no authority": without(b":authority"),
    "an empty path": instead(b":path", b""),
    "a path that is none": instead(b":path", b"zqxjk"),
    "an asterisk": instead(b":path", b"*"),
    "a method that is none": instead(b":method", b"PO ST"),
    "a scheme that is none": instead(b":scheme", b"1:/"),
    "an authority that is none": instead(b":authority", b"a b"),
    "an authority with a path": instead(b":authority", b"a/zqxjk"),
    "an authority with a user": instead(b":authority", b"zqxjk@gateway.test"),
    "an authority that is empty": instead(b":authority", b""),
    "two methods": before((b":method", b"POST")),
    "two paths": before((b":path", b"/zqxjk")),
    "two schemes": before((b":scheme", b"http")),
    "two authorities": before((b":authority", b"gateway.test")),
    "a path at the end": lambda good: [*without(b":path")(good), (b":path", b"/demo.v1.Demo/Echo")],
    "an unknown pseudo-header": before((b":zqxjk", b"1")),
    "a response's pseudo-header": before((b":status", b"200")),
    "extended CONNECT": before((b":protocol", b"websocket")),
    "CONNECT with a path": instead(b":method", b"CONNECT"),
    "upper case": plus((b"X-Zqxjk", b"1")),
    "connection": plus((b"connection", b"zqxjk")),
    "keep-alive": plus((b"keep-alive", b"timeout=5")),
    "proxy-connection": plus((b"proxy-connection", b"keep-alive")),
    "transfer-encoding": plus((b"transfer-encoding", b"chunked")),
    "upgrade": plus((b"upgrade", b"h2c")),
    "te": plus((b"te", b"gzip")),
    "an empty name": plus((b"", b"zqxjk")),
    "a name with a space": plus((b"x a", b"zqxjk")),
    "a name with a colon": plus((b"x:a", b"zqxjk")),
    "a name beyond ASCII": plus((b"x-\xc3\xb6", b"zqxjk")),
    "NUL in a value": plus((b"x-a", b"1\0zqxjk")),
    "LF in a value": plus((b"x-a", b"1\nzqxjk: 1")),
    "CR in a value": plus((b"x-a", b"1\rzqxjk: 1")),
    "a value with a space around it": plus((b"x-a", b" zqxjk ")),
    "two hosts": plus((b"host", b"gateway.test"), (b"host", b"gateway.test")),
    "two lengths": plus((b"content-length", b"12"), (b"content-length", b"12")),
    "length below zero": plus((b"content-length", b"-1")),
    "length in hex": plus((b"content-length", b"0xc")),
    "length beyond 64 bits": plus((b"content-length", b"99999999999999999999")),
    "a length of less than comes": plus((b"content-length", b"3")),
    "a length of more than comes": plus((b"content-length", b"99")),
}  # fmt: skip


@pytest.mark.parametrize("name", MALFORMED)
async def test_a_malformed_request_is_reset(gateway: RunningGateway, bystander: Bystander, name: str) -> None:
    seen = arrived(gateway)
    async with attacker(gateway) as (peer, _):
        await peer.send(headers(1, block(MALFORMED[name](head(gateway)))), data(1, ECHO, end=True))
        said = await peer.answer(1)
        assert (said.reset, said.heads, said.data) == (PROTOCOL_ERROR, [], b"")
        await call(gateway, peer, 3)
        assert_gives_nothing_away(peer)
    assert arrived(gateway) - seen <= 2  # a wrong length shows at the end
    assert gateway.world.backend.calls["/zqxjk"] == 0


REFUSED: dict[str, tuple[Callable[[Headers], Headers], int]] = {
    "another host": (plus((b"host", b"zqxjk.test")), 400),
    "a host that is none": (instead(b":authority", b"a,zqxjk"), 400),
    "CONNECT": (lambda good: [(b":method", b"CONNECT"), (b":authority", b"zqxjk.test:443")], 404),
    "an absolute path": (instead(b":path", b"/zqxjk"), 404),
    "a path with NUL": (instead(b":path", b"/demo.v1.Demo/Echo%00"), 404),
    "a method unknown": (instead(b":method", b"ZQXJK"), 405),
    "a method in lower case": (instead(b":method", b"post"), 405),
    "a content type unknown": (instead(b"content-type", b"application/zqxjk"), 415),
    "two content types": (plus((b"content-type", b"application/grpc-web")), 400),
    "two origins": (plus((b"origin", b"http://page.test")), 400),
    "a foreign origin": (instead(b"origin", b"http://zqxjk.test"), 403),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_a_request_that_is_no_call_gets_a_bare_answer(gateway: RunningGateway, name: str) -> None:
    change, status = REFUSED[name]
    seen = gateway.world.backend.calls.copy()
    async with attacker(gateway) as (peer, _):
        await peer.send(headers(1, block(change(head(gateway)))), data(1, ECHO, end=True))
        assert (await peer.answer(1)).status == status
        await call(gateway, peer, 3)
        assert_gives_nothing_away(peer)
    seen[DEMO + "Echo"] += 1  # the good one
    assert gateway.world.backend.calls == seen


async def test_trailers_of_a_request_are_no_headers(gateway: RunningGateway) -> None:
    late = [(b"x-late", b"1"), (b"authorization", b"Bearer zqxjk")]
    async with attacker(gateway) as (peer, _):
        await peer.send(headers(1, block(head(gateway, DEMO + "WhoAmI"))), data(1, bytes(5)))
        await peer.send(headers(1, block(late), end=True))
        messages, status, _ = take_apart((await peer.answer(1)).data)
        assert status.code == 0
        assert "x-late" not in demo_pb2.WhoAmIReply.FromString(messages[0]).metadata
        for stream, trailers in ((3, headers(3, block(late))), (5, headers(5, block([(b":path", b"/")]), end=True))):
            await peer.send(open_call(gateway, stream), data(stream, ECHO), trailers)  # no end; a pseudo-header
            assert (await peer.answer(stream)).reset == PROTOCOL_ERROR
