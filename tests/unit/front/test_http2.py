"""Connections over HTTP/2: the heads of their requests, and how they end."""

import asyncio

import h2.events
import pytest
from h2.errors import ErrorCodes
from structlog.testing import capture_logs

from gateway.front import http2
from gateway.front.census import Census
from gateway.http2.wire import CLOSE_TIMEOUT, PING_TIMEOUT
from gateway.request import RequestHead
from tests.support.http2 import GoAway
from tests.unit.front.world import DO, ORIGIN, WEB, fields, head, world

# --- the head of a request


async def test_a_head_is_made_of_pseudo_headers_and_fields() -> None:
    here = await world()
    await here.ask(DO, WEB, ORIGIN, (b"x-a", b"1"), (b"x-b", b"2"), (b"x-a", b"3"))
    (found,) = here.reception.heads
    assert found == RequestHead(
        method="POST",
        target=DO.encode(),
        headers=[WEB, ORIGIN, (b"x-a", b"1"), (b"x-b", b"2"), (b"x-a", b"3"), (b"host", b"gateway.test")],
        peer="192.0.2.1",
        scheme=b"http",  # the connection's: the client may say what it likes
        identities=(),
        takes_trailers=True,
    )


async def test_a_connection_over_tls_and_its_certificate() -> None:
    certificate = {"subject": ((("commonName", "batch"),),), "subjectAltName": (("DNS", "ops.internal"),)}
    here = await world(sslcontext=object(), peercert=certificate)
    await here.ask(DO, WEB)
    (found,) = here.reception.heads
    assert (found.scheme, found.identities) == (b"https", ("DNS:ops.internal", "CN:batch"))


async def test_a_unix_socket_has_no_peer() -> None:
    here = await world(peername="")
    await here.ask()
    assert here.reception.heads[0].peer == ""


@pytest.mark.parametrize(
    ("hosts", "found"),
    [
        ([], [b"gateway.test"]),
        ([b"gateway.test"], [b"gateway.test"]),  # said twice, which is once
        ([b"evil.test"], [b"evil.test", b"gateway.test"]),
    ],
)
async def test_host_and_authority(hosts: list[bytes], found: list[bytes]) -> None:
    here = await world()
    stream = await here.ask(DO, WEB, *((b"host", host) for host in hosts))
    (request,) = here.reception.heads
    assert [value for name, value in request.headers if name == b"host"] == found
    if len(found) > 1:
        assert fields(here.peer.headers(stream))[b":status"] == b"400"
    else:
        assert here.up.opened[0][1].metadata[-1] == (b"x-forwarded-host", b"gateway.test")


async def test_two_hosts_are_malformed() -> None:
    here = await world()
    with capture_logs() as events:
        stream = await here.ask(DO, WEB, *[(b"host", b"gateway.test")] * 2)
    assert here.peer.reset(stream) == ErrorCodes.PROTOCOL_ERROR
    assert here.reception.heads == []
    assert events == [{"event": "bad_request", "peer": "192.0.2.1", "reason": "malformed", "log_level": "info"}]


async def test_a_host_without_an_authority() -> None:
    here = await world()
    pseudo = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", DO.encode())]
    here.peer.request([*pseudo, (b"host", b"alone.test"), WEB])
    (request,) = here.reception.heads
    assert [value for name, value in request.headers if name == b"host"] == [b"alone.test"]


async def test_connect_has_no_path() -> None:
    here = await world()
    stream = here.peer.request([(b":method", b"CONNECT"), (b":authority", b"evil.test:443")], end=False)
    await here.peer.talk()
    assert fields(here.peer.headers(stream))[b":status"] == b"404"


# --- connections


async def test_one_connection_too_many() -> None:
    census = Census(1)
    await world(census=census)
    with capture_logs() as events:
        refused = await world(census=census, talk=False)
    assert refused.peer.transport.closed
    refused.peer.hear()
    assert refused.peer.goaways == [GoAway(0, ErrorCodes.NO_ERROR, b"")]
    assert [(event["event"], event["reason"]) for event in events] == [("connection_refused", "max_connections")]
    await asyncio.sleep(0)
    assert census.connections == 1


async def test_a_client_that_never_greets_is_let_go() -> None:
    here = await world(talk=False)
    start = here.link.now
    here.front.tick(start + http2.GREETING_TIMEOUT - 1)
    assert not here.peer.transport.closed
    here.front.tick(start + http2.GREETING_TIMEOUT)
    assert here.peer.transport.closed


async def test_a_connection_without_streams_is_let_go() -> None:
    here = await world()
    await here.wait(http2.IDLE_TIMEOUT - 1)
    assert not here.peer.transport.closed
    stream = await here.ask(DO, WEB)
    await here.wait(http2.IDLE_TIMEOUT + 1)  # one is open
    await here.answer()
    assert here.peer.ended(stream)
    await here.wait(http2.IDLE_TIMEOUT - 1)
    assert not here.peer.transport.closed
    await here.wait(1)
    assert here.peer.transport.closed
    assert here.peer.goaways == [GoAway(stream, ErrorCodes.NO_ERROR, b"")]


async def test_a_silent_client_with_streams_open_is_pinged_and_let_go() -> None:
    here = await world()
    await here.ask(DO, WEB)
    start = here.link.now
    here.front.tick(start + http2.PING_INTERVAL)
    await asyncio.sleep(0)
    here.peer.hear()
    assert len(here.peer.heard(h2.events.PingReceived)) == 1
    here.front.tick(start + http2.PING_INTERVAL + PING_TIMEOUT + 1)
    assert here.peer.transport.aborted
    await asyncio.sleep(0)
    assert here.up.events[-1] == "cancel"


async def test_a_client_without_streams_is_not_pinged() -> None:
    here = await world()
    await here.wait(http2.IDLE_TIMEOUT - 1)
    assert not here.peer.heard(h2.events.PingReceived)


async def test_a_goodbye_that_is_not_taken_is_cut_off() -> None:
    here = await world()
    here.peer.transport.full = True  # the goodbye is what fills it
    here.peer.transport.buffered = 300_000
    here.link.close()
    await here.tick(0)
    await here.tick(CLOSE_TIMEOUT - 0.5)
    assert not here.peer.transport.aborted
    await here.tick(0.5)
    assert here.peer.transport.aborted


async def test_at_the_end_every_connection_is_closed() -> None:
    here = await world()
    stream = await here.ask(DO, WEB)
    here.front.close()
    assert here.peer.transport.closed
    await here.peer.talk()
    assert here.peer.goaways == [GoAway(stream, ErrorCodes.NO_ERROR, b"")]
    assert here.up.events[-1] == "cancel"
    assert here.front.links == set()


async def test_the_engine_gives_up_and_every_call_of_the_connection_ends() -> None:
    here = await world()
    await here.ask(DO, WEB, end=False)
    here.peer.request([*head(DO, WEB), *((b"x-%d" % number, b"v" * 1000) for number in range(70))])
    assert here.peer.transport.closed
    await here.tick(0)
    assert here.up.events == ["cancel"]
    assert here.census.connections == 0
    assert len(here.reception.heads) == 1
